import { inTime } from './in-time';

describe('inTime', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('returns what comes in time, and leaves no timer behind', async () => {
    expect(await inTime(Promise.resolve('answer'), 100)).toBe('answer');
    expect(jest.getTimerCount()).toBe(0);
  });

  it('passes a rejection on, and leaves no timer behind', async () => {
    await expect(inTime(Promise.reject(new Error('refused')), 100)).rejects.toThrow('refused');
    expect(jest.getTimerCount()).toBe(0);
  });

  it('returns undefined when the time is over, and drops what comes later', async () => {
    let refuse: (error: Error) => void = () => {};
    const waiting = inTime(new Promise((_, reject) => (refuse = reject)), 100);
    await jest.advanceTimersByTimeAsync(100);
    expect(await waiting).toBeUndefined();
    refuse(new Error('too late'));
    await jest.advanceTimersByTimeAsync(0);
  });
});
