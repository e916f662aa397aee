import { eventCatalog } from '@stowage/events';
import { Registry } from 'prom-client';
import { instrumentEventBus } from './event-bus-metrics';
import type { EventBus, EventBusStatus } from './types';

describe('metrics', () => {
  const status: EventBusStatus = {
    connected: true,
    since: new Date(),
    pending: 3,
    pendingBytes: 1200,
    oldestPendingAt: new Date(Date.now() - 60_000),
    published: 40,
    dropped: 2,
    failures: 5,
    isOnDisk: true,
    isLocal: false,
  };
  const inner: EventBus = {
    publish: jest.fn(() => 'id-1'),
    publishAll: jest.fn(() => ['id-2', 'id-3']),
    status: () => status,
    recent: () => ({ events: [], next: 46, more: false, kept: 0 }),
    nextSequence: () => 46,
    onStatus: jest.fn(),
    natsConnection: () => undefined,
    onConnected: jest.fn(),
    flush: jest.fn(() => Promise.resolve(true)),
    release: jest.fn(() => Promise.resolve()),
    close: jest.fn(() => Promise.resolve()),
  };

  it('report the status of the bus and count what goes through', async () => {
    const registry = new Registry();
    const bus = instrumentEventBus(inner, registry);
    const { example } = eventCatalog.RuntimeUnavailable;
    expect(bus.publish('RuntimeUnavailable', example)).toBe('id-1');
    expect(inner.publish).toHaveBeenCalledWith('RuntimeUnavailable', example);
    expect(bus.publishAll('RuntimeUnavailable', [example, example])).toEqual(['id-2', 'id-3']);
    const value = async (name: string) => {
      const metric = await registry.getSingleMetric(name)?.get();
      return metric?.values[0]?.value;
    };
    expect(await value('stowage_events_published_total')).toBe(40);
    expect(await value('stowage_events_published_total')).toBe(40);
    expect(await value('stowage_events_publish_failures_total')).toBe(5);
    expect(await value('stowage_events_dropped_total')).toBe(2);
    expect(await value('stowage_events_pending')).toBe(3);
    expect(await value('stowage_events_pending_bytes')).toBe(1200);
    expect(await value('stowage_events_oldest_pending_seconds')).toBeGreaterThanOrEqual(60);
    expect(await value('stowage_events_nats_connected')).toBe(1);
    expect(await value('stowage_events_outbox_on_disk')).toBe(1);
    expect(bus.nextSequence()).toBe(46);
    const text = await registry.metrics();
    expect(text).toContain('stowage_events_recorded_total{event="RuntimeUnavailable"} 3');
    expect(text).toContain('stowage_events_outbox_write_seconds_count 3');
  });

  it('does not count an event that was refused', async () => {
    const registry = new Registry();
    const bus = instrumentEventBus(
      {
        ...inner,
        publish: () => {
          throw new Error('no');
        },
      },
      registry,
    );
    const { example } = eventCatalog.RuntimeUnavailable;
    expect(() => bus.publish('RuntimeUnavailable', example)).toThrow('no');
    expect(await registry.metrics()).not.toContain('stowage_events_recorded_total{');
  });
});
