import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { HealthRegistry } from './health';

/** What the kit reads of an event bus; `EventBus` of `@stowage/event-bus` fits. */
export interface ObservedEventBus {
  status(): {
    readonly connected: boolean;
    readonly reason?: string;
    readonly pending: number;
    readonly pendingBytes: number;
    readonly oldestPendingAt?: Date;
    readonly published: number;
    readonly dropped: number;
  };
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
  readonly metrics: Registry;
}

/**
 * Health component `nats` (never worse than degraded: events wait) and the outbox metrics of an app's event
 * bus. Returns how to stop.
 */
export function observeEventBus(
  { health, metrics }: Observing,
  bus: ObservedEventBus,
  now: () => number = Date.now,
): () => void {
  const report = () => {
    const { connected, reason } = bus.status();
    health.report(
      'nats',
      connected && reason === undefined
        ? { state: 'ok' }
        : { state: 'degraded', reason: reason ?? 'not connected yet' },
    );
  };
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [metrics],
      collect() {
        this.set(read());
      },
    });
  gauge('stowage_nats_connected', '1 while NATS is connected, else 0.', () =>
    bus.status().connected ? 1 : 0,
  );
  gauge(
    'stowage_outbox_events',
    'Events on disk that JetStream has not acknowledged yet.',
    () => bus.status().pending,
  );
  gauge(
    'stowage_outbox_bytes',
    'Bytes of the events that JetStream has not acknowledged yet. Space of the database beside them is not counted.',
    () => bus.status().pendingBytes,
  );
  gauge(
    'stowage_outbox_oldest_event_age_seconds',
    'Age of the oldest event that JetStream has not acknowledged yet, 0 when there is none.',
    () => {
      const oldest = bus.status().oldestPendingAt;
      return oldest === undefined ? 0 : Math.max(0, now() - oldest.getTime()) / 1000;
    },
  );
  total(
    metrics,
    'stowage_events_published_total',
    'Events that JetStream acknowledged. Those of earlier runs of the process are not counted.',
    () => bus.status().published,
  );
  total(
    metrics,
    'stowage_events_dropped_total',
    'Events that left a full outbox without being delivered. Those of earlier runs of the process are not counted.',
    () => bus.status().dropped,
  );
  report();
  return bus.onStatus(report);
}

/** A counter whose value is kept elsewhere. */
function total(metrics: Registry, name: string, help: string, read: () => number): void {
  new Counter({
    name,
    help,
    registers: [metrics],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}

/** Health component `runtime` (or `name`): down while the CRI socket does not answer. Returns how to stop. */
export function observeRuntime(
  { health }: Pick<Observing, 'health'>,
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
