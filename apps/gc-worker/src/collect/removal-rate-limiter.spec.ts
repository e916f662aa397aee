import { RemovalPace } from './removal-rate-limiter';

describe('RemovalPace', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());
  const { signal } = new AbortController();

  it('lets removals begin evenly, the first at once, and a pause earns no burst', async () => {
    const pace = new RemovalPace(
      () => 60,
      () => Date.now(),
    );
    const start = Date.now();
    const begun: number[] = [];
    const wait = async () => {
      await pace.wait({ signal });
      begun.push(Date.now() - start);
    };
    const all = Promise.all([wait(), wait(), wait()]);
    await jest.advanceTimersByTimeAsync(2000);
    await all;
    await jest.advanceTimersByTimeAsync(10_000);
    const more = Promise.all([wait(), wait()]);
    await jest.advanceTimersByTimeAsync(1000);
    await more;
    expect(begun).toEqual([0, 1000, 2000, 12_000, 13_000]);
  });

  it('does not wait without a rate, nor after the stop', async () => {
    const stop = new AbortController();
    await new RemovalPace(() => 0).wait({ signal });
    const pace = new RemovalPace(() => 1);
    await pace.wait({ signal: stop.signal });
    const waiting = pace.wait({ signal: stop.signal });
    stop.abort();
    await waiting;
    await pace.wait({ signal: stop.signal });
  });
});
