import { pause } from './pause';

describe('pause', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  const endsWith = async (waiting: Promise<void>, afterMs: number) => {
    let hasEnded = false;
    void waiting.then(() => (hasEnded = true));
    await jest.advanceTimersByTimeAsync(afterMs);
    return hasEnded;
  };

  it('ends when its time is over', async () => {
    const waiting = pause(100);
    expect(await endsWith(waiting, 99)).toBe(false);
    expect(await endsWith(waiting, 1)).toBe(true);
  });

  it('ends with its signal and leaves no timer behind', async () => {
    const stop = new AbortController();
    const waiting = pause(100, { signal: stop.signal });
    expect(await endsWith(waiting, 10)).toBe(false);
    stop.abort();
    expect(await endsWith(waiting, 0)).toBe(true);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('ends at once when its signal is aborted already', async () => {
    expect(await endsWith(pause(100, { signal: AbortSignal.abort() }), 0)).toBe(true);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('leaves no listener at a signal that lives longer', async () => {
    const { signal } = new AbortController();
    const removed = jest.spyOn(signal, 'removeEventListener');
    const waiting = pause(100, { signal });
    await jest.advanceTimersByTimeAsync(100);
    await waiting;
    expect(removed).toHaveBeenCalledTimes(1);
  });
});
