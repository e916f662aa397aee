import { Health } from './health';
import { observeEventBus, observeRuntime } from './observe';

describe('observeEventBus', () => {
  it.each([
    ['ok while events flow', { connected: true }, { state: 'ok' }],
    [
      'degraded while NATS is away',
      { connected: false, reason: 'connection refused' },
      { state: 'degraded', reason: 'connection refused' },
    ],
    [
      'degraded when connected but events do not get through',
      { connected: true, reason: 'no stream' },
      { state: 'degraded', reason: 'no stream' },
    ],
    [
      'degraded before the first connect',
      { connected: false },
      { state: 'degraded', reason: 'not connected yet' },
    ],
  ])('says %s', (_what, status, health) => {
    const registry = new Health(() => new Date(0));
    let listener: () => void = () => undefined;
    let now: { connected: boolean; reason?: string } = { connected: false, reason: 'first' };
    const stop = observeEventBus(
      { health: registry },
      {
        status: () => now,
        onStatus: (on) => {
          listener = on;
          return () => (listener = () => undefined);
        },
      },
    );
    expect(registry.readiness().components.get('nats')).toMatchObject({ reason: 'first' });
    now = status;
    listener();
    expect(registry.readiness().components.get('nats')).toMatchObject(health);
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
