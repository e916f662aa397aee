import { formatGoDuration, parseGoDuration } from './go-duration';

describe('parseGoDuration', () => {
  it.each([
    ['0', 0],
    ['0s', 0],
    ['-0s', 0],
    ['2m0s', 120_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['.5s', 500],
    ['1.s', 1000],
    ['250ms', 250],
    ['1us', 0.001],
    ['1µs', 0.001],
    ['-10s', -10_000],
    ['+10s', 10_000],
    ['24h0m0s', 86_400_000],
  ])('reads %s', (text, ms) => expect(parseGoDuration(text)).toBe(ms));

  it.each(['', '-', '10', '1d', 's', '1 s', '1h 2m', '1s2', 'abc', '1e3s', ' 1s'])(
    'refuses %j',
    (text) => expect(parseGoDuration(text)).toBeUndefined(),
  );

  it.each([
    [0, '0'],
    [250, '250ms'],
    [1500, '1.5s'],
    [120_000, '2m'],
    [5_400_000, '1h30m'],
    [604_800_000, '168h'],
    [-10_000, '-10s'],
  ])('is written as %d → %s and read back', (ms, text) => {
    expect(formatGoDuration(ms)).toBe(text);
    expect(parseGoDuration(text)).toBe(ms);
  });
});
