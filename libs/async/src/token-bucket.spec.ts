import { TokenBucket } from './token-bucket';

describe('TokenBucket', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  const takeTimes = (bucket: TokenBucket, times: number): number[] =>
    Array.from({ length: times }, () => bucket.take());

  it('lets the burst through at once, and says how long each further one waits', () => {
    expect(takeTimes(new TokenBucket(10, 3), 5)).toEqual([0, 0, 0, 100, 200]);
    expect(takeTimes(new TokenBucket(2), 3)).toEqual([0, 0, 500]);
  });

  it('is filled again with time, no further than the burst', () => {
    const bucket = new TokenBucket(10, 3);
    takeTimes(bucket, 3);
    jest.advanceTimersByTime(200);
    expect(takeTimes(bucket, 3)).toEqual([0, 0, 100]);
    jest.advanceTimersByTime(60_000);
    expect(takeTimes(bucket, 4)).toEqual([0, 0, 0, 100]);
  });

  it('what was taken ahead of its time is waited for before the next', () => {
    const bucket = new TokenBucket(10, 1);
    expect(takeTimes(bucket, 3)).toEqual([0, 100, 200]);
    jest.advanceTimersByTime(200);
    expect(bucket.take()).toBe(100);
  });

  it('does not look at the wall clock', () => {
    const bucket = new TokenBucket(1);
    bucket.take();
    jest.setSystemTime(Date.now() + 3_600_000);
    expect(bucket.take()).toBe(1000);
    jest.setSystemTime(Date.now() - 7_200_000);
    expect(bucket.take()).toBe(2000);
  });
});
