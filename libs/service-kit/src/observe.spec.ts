import { Registry } from 'prom-client';
import { Health } from './health';
import { observeEventBus, observeRuntime } from './observe';

const clock = () => 10_000;

describe('observeEventBus', () => {
  it('says degraded while NATS is away, and shows depth, age and totals', async () => {
    const health = new Health(() => new Date(0));
    const metrics = new Registry();
    let listener: () => void = () => undefined;
    let status = {
      connected: false,
      reason: 'connection refused' as string | undefined,
      pending: 3,
      pendingBytes: 900,
      oldestPendingAt: new Date(4000) as Date | undefined,
      published: 7,
      dropped: 1,
    };
    const stop = observeEventBus(
      { health, metrics },
      {
        status: () => status,
        onStatus: (on) => {
          listener = on;
          return () => (listener = () => undefined);
        },
      },
      clock,
    );
    expect(health.readiness().components.get('nats')).toEqual({
      state: 'degraded',
      reason: 'connection refused',
      since: new Date(0),
    });
    const text = await metrics.metrics();
    for (const line of [
      'stowage_nats_connected 0',
      'stowage_outbox_events 3',
      'stowage_outbox_bytes 900',
      'stowage_outbox_oldest_event_age_seconds 6',
      'stowage_events_published_total 7',
      'stowage_events_dropped_total 1',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    status = { ...status, connected: true, reason: undefined, oldestPendingAt: undefined };
    listener();
    expect(health.readiness().components.get('nats')?.state).toBe('ok');
    const after = (await metrics.metrics()).split('\n');
    expect(after).toContain('stowage_outbox_oldest_event_age_seconds 0');
    expect(after).toContain('stowage_events_published_total 7');
    stop();
  });
});

describe('observeRuntime', () => {
  it('says down with endpoint and reason until the runtime answers', () => {
    const health = new Health(() => new Date(0));
    let available = false;
    let listener: () => void = () => undefined;
    observeRuntime(
      { health },
      {
        endpoint: 'unix:///run/c.sock',
        availability: () => (available ? { available } : { available, reason: 'connect ENOENT' }),
        onAvailability: (on) => {
          listener = on;
          return () => undefined;
        },
      },
    );
    expect(health.readiness().components.get('runtime')).toMatchObject({
      state: 'down',
      reason: 'unix:///run/c.sock: connect ENOENT',
    });
    available = true;
    listener();
    expect(health.readiness().components.get('runtime')).toMatchObject({ state: 'ok' });
  });
});
