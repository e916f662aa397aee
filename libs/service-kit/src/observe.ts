import type { HealthRegistry } from './health';

/** What the kit reads of an event bus; `EventBus` of `@stowage/event-bus` fits. */
export interface ObservedEventBus {
  status(): { readonly connected: boolean; readonly reason?: string };
  onStatus(listener: () => void): () => void;
}

/** What the kit reads of a CRI client; the clients of `@stowage/cri-client` fit. */
export interface ObservedRuntime {
  readonly endpoint: string;
  availability(): { readonly available: boolean; readonly reason?: string };
  onAvailability(listener: () => void): () => void;
}

interface Observing {
  readonly health: HealthRegistry;
}

/**
 * Health component `nats`: never worse than degraded, since events wait in the outbox. Returns how to stop.
 * The bus's metrics are `instrumentEventBus` of `@stowage/event-bus`.
 */
export function observeEventBus({ health }: Observing, bus: ObservedEventBus): () => void {
  const report = () => {
    const { connected, reason } = bus.status();
    health.report(
      'nats',
      connected && reason === undefined
        ? { state: 'ok' }
        : { state: 'degraded', reason: reason ?? 'not connected yet' },
    );
  };
  report();
  return bus.onStatus(report);
}

/** Health component `runtime` (or `name`): down while the CRI socket does not answer. Returns how to stop. */
export function observeRuntime(
  { health }: Observing,
  runtime: ObservedRuntime,
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
