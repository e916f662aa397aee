import { BackOff, kubeletBackOff } from './back-off';

describe('back-off', () => {
  it('doubles with each failure up to the maximum', () => {
    const backOff = new BackOff();
    let now = 0;
    const delays: number[] = [];
    for (let count = 0; count < 7; count++) {
      const delayMs = backOff.failed('a', now);
      delays.push(delayMs / 1000);
      now += delayMs;
    }
    expect(delays).toEqual([10, 20, 40, 80, 160, 300, 300]);
  });

  it.each([
    ['one millisecond before the end of the delay', 9999, { until: 10_000, message: 'why' }],
    ['at the end of the delay', 10_000, undefined],
    ['when time went backwards', -1, { until: 10_000, message: 'why' }],
  ])('%s', (_what, now, expected) => {
    const backOff = new BackOff();
    backOff.failed('a', 0, 'why');
    expect(backOff.inBackOff('a', now)).toEqual(expected);
    expect(backOff.inBackOff('b', now)).toBeUndefined();
  });

  it.each([
    ['twice the maximum later the delay still doubles', 600_000, 20_000],
    ['after that it starts anew', 600_001, 10_000],
  ])('%s', (_what, now, delayMs) => {
    const backOff = new BackOff();
    backOff.failed('a', 0);
    expect(backOff.failed('a', now)).toBe(delayMs);
  });

  it('forgets what no longer counts, and stays bounded', () => {
    const backOff = new BackOff();
    backOff.failed('a', 0);
    backOff.failed('b', 1);
    backOff.forgetExpired(600_001);
    expect(backOff.size).toBe(1);
    for (let key = 0; key < 11_000; key++) backOff.failed(String(key), 2);
    expect(backOff.size).toBe(10_000);
    expect(backOff.inBackOff('b', 3)).toBeUndefined();
    expect(backOff.inBackOff('10999', 3)).toBeDefined();
  });

  it('refuses a policy that cannot be', () => {
    expect(() => new BackOff({ ...kubeletBackOff, initialMs: 0 })).toThrow(
      'back-off initialMs 0, maxMs 300000: allowed: 0 < initialMs <= maxMs',
    );
  });
});
