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

  it('runs once more when woken during a run, unless the run forgets it', async () => {
    const stop = new AbortController();
    const wakesDuringRun: (() => void)[] = [
      () => loop.wake(),
      () => {
        loop.wake();
        loop.forgetWake();
      },
    ];
    let runs = 0;
    const loop = new Loop({
      intervalMs: 1000,
      signal: stop.signal,
      run: () => {
        wakesDuringRun[runs]?.();
        runs += 1;
        return Promise.resolve(undefined);
      },
    });
    loop.start();
    await jest.advanceTimersByTimeAsync(100);
    expect(runs).toBe(2);
    await jest.advanceTimersByTimeAsync(999);
    expect(runs).toBe(2);
    await jest.advanceTimersByTimeAsync(1);
    expect(runs).toBe(3);
    stop.abort();
  });

  it.each([
    ['shortest pause', 50],
    ['rest of the pause', 500],
  ])('a stop ends the %s', async (_, atMs) => {
    const { loop, stop, runs } = counting();
    loop.start();
    await jest.advanceTimersByTimeAsync(atMs);
    stop.abort();
    await loop.ended();
    expect(runs()).toBe(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('lets the run that is going on finish after a stop', async () => {
    const stop = new AbortController();
    let finish = () => {};
    const finished = new Promise<undefined>((resolve) => {
      finish = () => resolve(undefined);
    });
    const loop = new Loop({ intervalMs: 1000, signal: stop.signal, run: () => finished });
    loop.start();
    stop.abort();
    let hasEnded = false;
    const ended = loop.ended().then(() => (hasEnded = true));
    await jest.advanceTimersByTimeAsync(5000);
    expect(hasEnded).toBe(false);
    finish();
    await ended;
  });
});
