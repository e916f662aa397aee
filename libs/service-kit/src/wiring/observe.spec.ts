import { Health } from '../health';
import type { RuntimeAvailability } from '@stowage/cri-client';
import type { EventBusStatus } from '@stowage/event-bus';
import { observeEventBus, observeRuntime } from './observe';

const flowing: EventBusStatus = {
  connected: true,
  since: new Date(0),
  pending: 0,
  pendingBytes: 0,
  published: 0,
  dropped: 0,
  failures: 0,
  isOnDisk: true,
  isLocal: false,
};

describe('observeEventBus', () => {
  it.each([
    ['ok while events flow', { connected: true }, { state: 'ok' }],
    ['ok where there is no NATS', { connected: false, isLocal: true }, { state: 'ok' }],
    [
      'degraded where there is no NATS and no disk',
      { connected: false, isLocal: true, reason: 'outbox file cannot be written: full' },
      { state: 'degraded', reason: 'outbox file cannot be written: full' },
    ],
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
    let now: Partial<EventBusStatus> = { connected: false, reason: 'first' };
    const stop = observeEventBus(
      { health: registry },
      {
        status: () => ({ ...flowing, ...now }),
        onStatus: (on) => {
          listener = () => on(flowing);
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
    const connected: RuntimeAvailability = { available: true, since: new Date(0), connections: 1 };
    let availability: RuntimeAvailability = {
      available: false,
      since: new Date(0),
      reason: 'connect ENOENT',
      connections: 0,
    };
    let listener: () => void = () => undefined;
    observeRuntime(
      { health },
      {
        endpoint: 'unix:///run/c.sock',
        availability: () => availability,
        onAvailability: (on) => {
          listener = () => on(availability);
          return () => undefined;
        },
      },
    );
    expect(health.readiness().components.get('runtime')).toMatchObject({
      state: 'down',
      reason: 'unix:///run/c.sock: connect ENOENT',
    });
    availability = connected;
    listener();
    expect(health.readiness().components.get('runtime')).toMatchObject({ state: 'ok' });
  });
});
