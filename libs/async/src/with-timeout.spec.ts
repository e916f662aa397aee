import { DeadlineExceededError } from '@stowage/errors';
import { withTimeout } from './with-timeout';

describe('withTimeout', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  /** Work that ends when its signal is aborted, as a call to a runtime does. */
  const untilAborted = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      const end = () => reject(signal.reason as Error);
      if (signal.aborted) end();
      signal.addEventListener('abort', end);
    });
  const limits = { what: 'removal of the image', timeoutMs: 100 };
  /** How the promise ended so far. */
  const settled = async (promise: Promise<unknown>) => {
    let state: unknown = 'pending';
    void promise.then(
      (value) => (state = value),
      (error: unknown) => (state = error),
    );
    await jest.advanceTimersByTimeAsync(0);
    return state;
  };

  it('returns what the work returns, and leaves no timer behind', async () => {
    expect(await withTimeout(() => Promise.resolve('done'), limits)).toBe('done');
    await expect(withTimeout(() => Promise.reject(new Error('refused')), limits)).rejects.toThrow(
      'refused',
    );
    expect(jest.getTimerCount()).toBe(0);
  });

  it('ends the work when its time is over, and says what took too long', async () => {
    const work = withTimeout(untilAborted, limits);
    const failed = expect(work).rejects.toEqual(
      new DeadlineExceededError('removal of the image', 100),
    );
    await jest.advanceTimersByTimeAsync(99);
    expect(await settled(work)).toBe('pending');
    await jest.advanceTimersByTimeAsync(1);
    await failed;
  });

  it('ends the work with the reason of its signal, also of one aborted before', async () => {
    const stop = new AbortController();
    const work = withTimeout(untilAborted, { ...limits, signal: stop.signal });
    const reason = new Error('stopping');
    stop.abort(reason);
    expect(await settled(work)).toBe(reason);
    expect(await settled(withTimeout(untilAborted, { ...limits, signal: stop.signal }))).toBe(
      reason,
    );
    expect(jest.getTimerCount()).toBe(0);
  });

  it.each(['during the work', 'before'])(
    'after a stop %s leaves work the grace time',
    async (when) => {
      const stop = new AbortController();
      const reason = new Error('stopping');
      if (when === 'before') stop.abort(reason);
      const work = withTimeout(untilAborted, { ...limits, signal: stop.signal, graceMs: 20 });
      if (when !== 'before') stop.abort(reason);
      const failed = expect(work).rejects.toBe(reason);
      await jest.advanceTimersByTimeAsync(19);
      expect(await settled(work)).toBe('pending');
      await jest.advanceTimersByTimeAsync(1);
      await failed;
    },
  );

  it('waits for work that does not look at its signal', async () => {
    let finish: (value: string) => void = () => {};
    const work = withTimeout(() => new Promise<string>((resolve) => (finish = resolve)), limits);
    await jest.advanceTimersByTimeAsync(1000);
    expect(await settled(work)).toBe('pending');
    finish('late');
    expect(await work).toBe('late');
  });
});
