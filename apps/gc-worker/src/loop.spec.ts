import { Loop } from './loop';

describe('Loop', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  const counting = (options: { result?: number; minPauseMs?: number } = {}) => {
    const stop = new AbortController();
    let runs = 0;
    const loop = new Loop({
      intervalMs: 1000,
      ...options,
      signal: stop.signal,
      run: () => {
        runs += 1;
        return Promise.resolve(options.result);
      },
    });
    return { loop, stop, runs: () => runs };
  };

  it('runs at once, then after each interval, until it is stopped', async () => {
    const { loop, stop, runs } = counting();
    loop.start();
    expect(runs()).toBe(1);
    await jest.advanceTimersByTimeAsync(999);
    expect(runs()).toBe(1);
    await jest.advanceTimersByTimeAsync(1);
    expect(runs()).toBe(2);
    stop.abort();
    await loop.ended();
    await jest.advanceTimersByTimeAsync(5000);
    expect(runs()).toBe(2);
  });

  it('waits as long as a run asks for', async () => {
    const { loop, stop, runs } = counting({ result: 50 });
    loop.start();
    await jest.advanceTimersByTimeAsync(100);
    expect(runs()).toBe(3);
    stop.abort();
  });

  it('runs earlier when woken, but not more often than its shortest pause', async () => {
    const { loop, stop, runs } = counting({ minPauseMs: 100 });
    loop.start();
    for (let time = 0; time < 10; time += 1) {
      loop.wake();
      await jest.advanceTimersByTimeAsync(20);
    }
    expect(runs()).toBe(3);
    loop.wake();
    await jest.advanceTimersByTimeAsync(100);
    expect(runs()).toBe(4);
    stop.abort();
  });
});
