import type { CriConnectionView } from '@stowage/cri-client';
import type { EventBus } from '@stowage/event-bus';
import type { HealthRegistry } from '../health';

interface Observing {
  readonly health: HealthRegistry;
}

/**
 * Health component `nats`: never worse than degraded, since events wait in the outbox, and ok where
 * there shall be no NATS. Returns how to stop.
 */
export function observeEventBus(
  { health }: Observing,
  bus: Pick<EventBus, 'status' | 'onStatus'>,
): () => void {
  const report = () => {
    const { connected, isLocal, reason } = bus.status();
    health.report(
      'nats',
      (connected || isLocal) && reason === undefined
        ? { state: 'ok' }
        : { state: 'degraded', reason: reason ?? 'not connected yet' },
    );
  };
  report();
  return bus.onStatus(report);
}

/**
 * Health component `runtime` (or `name`): down while the CRI socket does not answer. Returns how to
 * stop.
 */
export function observeRuntime(
  { health }: Observing,
  runtime: Pick<CriConnectionView, 'endpoint' | 'availability' | 'onAvailability'>,
  name = 'runtime',
): () => void {
  const report = () => {
    const { available, reason } = runtime.availability();
    health.report(
      name,
      available
        ? { state: 'ok' }
        : { state: 'down', reason: `${runtime.endpoint}: ${reason ?? 'not connected yet'}` },
    );
  };
  report();
  return runtime.onAvailability(report);
}
