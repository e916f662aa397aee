import { Registry } from 'prom-client';
import { Health } from '../health';
import { observeGivenUp } from './observe-given-up';

describe('observeGivenUp', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('counts each, logs once a minute, and is degraded until a minute has gone by without one', async () => {
    const health = new Health();
    const metrics = new Registry();
    const lines: object[] = [];
    const report = observeGivenUp({
      health,
      metrics,
      log: { warn: (fields: object) => void lines.push(fields) },
    });
    const state = () => health.readiness().components.get('forwarding');
    expect(state()).toBeUndefined();
    report('/run/c.sock', 'it took nothing');
    report('/run/c.sock', 'it took nothing');
    expect(lines).toEqual([{ address: '/run/c.sock', reason: 'it took nothing', count: 1 }]);
    expect(state()).toMatchObject({
      state: 'degraded',
      reason: 'a connection to /run/c.sock was given up within the last minute: it took nothing',
    });
    jest.advanceTimersByTime(59_000);
    report('/run/c.sock', 'again');
    expect(lines).toHaveLength(1);
    jest.advanceTimersByTime(59_000);
    expect(state()).toMatchObject({ state: 'degraded' });
    report('/run/c.sock', 'again');
    expect(lines[1]).toMatchObject({ count: 3 });
    jest.advanceTimersByTime(60_000);
    expect(state()).toMatchObject({ state: 'ok' });
    expect(
      await metrics.getSingleMetricAsString('stowage_runtime_connections_given_up_total'),
    ).toMatch(/ 4$/);
  });
});
