import type { EventName } from '@stowage/events';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { EventBus, PublishedEvent } from './types';

/**
 * The same bus with metrics of what is written, delivered, waiting and dropped. Everything except
 * the write times is read from the bus's status when metrics are collected.
 */
export function instrumentEventBus(bus: EventBus, registry: Registry): EventBus {
  const registers = [registry];
  const recorded = new Counter({
    name: 'stowage_events_recorded_total',
    help: 'Events written to the outbox, by name. EventsDropped is not counted.',
    labelNames: ['event'],
    registers,
  });
  // A local write without fsync takes tens of microseconds; a checkpoint of the journal,
  // milliseconds.
  const writeSeconds = new Histogram({
    name: 'stowage_events_outbox_write_seconds',
    help: 'Time to check an event and write it to the outbox; events that are written together each count with their share.',
    buckets: [0.00005, 0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25],
    registers,
  });
  total(
    'stowage_events_published_total',
    'Events JetStream acknowledged.',
    () => bus.status().published,
  );
  total(
    'stowage_events_publish_failures_total',
    'Attempts JetStream did not acknowledge; the event is sent again.',
    () => bus.status().failures,
  );
  total(
    'stowage_events_dropped_total',
    'Events dropped: outbox full, event too large, or outbox file unreadable. Events in an unreadable file of an earlier run are not counted.',
    () => bus.status().dropped,
  );
  gauge(
    'stowage_events_pending',
    'Events JetStream has not acknowledged.',
    () => bus.status().pending,
  );
  gauge(
    'stowage_events_pending_bytes',
    'Size of the waiting messages.',
    () => bus.status().pendingBytes,
  );
  gauge(
    'stowage_events_oldest_pending_seconds',
    'Age of the oldest waiting event; 0 when none waits.',
    () => {
      const { oldestPendingAt } = bus.status();
      return oldestPendingAt ? Math.max(0, (Date.now() - oldestPendingAt.getTime()) / 1000) : 0;
    },
  );
  gauge('stowage_events_nats_connected', '1 while NATS is connected, else 0.', () =>
    bus.status().connected ? 1 : 0,
  );
  gauge(
    'stowage_events_outbox_on_disk',
    '0 while the outbox file takes no writes (full or read-only disk) and events wait in memory, else 1.',
    () => (bus.status().isOnDisk ? 1 : 0),
  );

  function total(name: string, help: string, value: () => number): void {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  }

  function gauge(name: string, help: string, value: () => number): void {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  }

  return {
    publish<N extends EventName>(name: N, event: PublishedEvent<N>): string {
      const end = writeSeconds.startTimer();
      const id = bus.publish(name, event);
      end();
      recorded.inc({ event: name });
      return id;
    },
    publishAll<N extends EventName>(name: N, events: readonly PublishedEvent<N>[]): string[] {
      const began = performance.now();
      const ids = bus.publishAll(name, events);
      const seconds = (performance.now() - began) / 1000;
      ids.forEach(() => writeSeconds.observe(seconds / ids.length));
      recorded.inc({ event: name }, ids.length);
      return ids;
    },
    status: () => bus.status(),
    recent: (query) => bus.recent(query),
    nextSequence: () => bus.nextSequence(),
    onStatus: (listener) => bus.onStatus(listener),
    natsConnection: () => bus.natsConnection(),
    onConnected: (listener) => bus.onConnected(listener),
    flush: (options) => bus.flush(options),
    release: () => bus.release(),
    close: (options) => bus.close(options),
  };
}
