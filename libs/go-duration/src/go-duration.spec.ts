import { formatGoDuration, parseGoDuration, shortGoDuration } from './go-duration';

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
});

describe('formatGoDuration', () => {
  it.each([
    [0, '0s'],
    [120_000, '2m0s'],
    [60_000, '1m0s'],
    [-1000, '-1s'],
    [1500, '1.5s'],
    [500, '500ms'],
    [1.5, '1.5ms'],
    [0.5, '500µs'],
    [0.0005, '500ns'],
    [3_600_000, '1h0m0s'],
    [3_600_500, '1h0m0.5s'],
    [90_061_001, '25h1m1.001s'],
    [-61_000, '-1m1s'],
  ])('prints %d ms as %s, as Go does, and it is read back', (ms, text) => {
    expect(formatGoDuration(ms)).toBe(text);
    expect(parseGoDuration(text)).toBeCloseTo(ms, 6);
  });
});

describe('shortGoDuration', () => {
  it.each([
    [0, '0'],
    [250, '250ms'],
    [1500, '1.5s'],
    [120_000, '2m'],
    [600_000, '10m'],
    [3_605_000, '1h5s'],
    [5_400_000, '1h30m'],
    [72_000_000, '20h'],
    [604_800_000, '168h'],
    [-10_000, '-10s'],
  ])('prints %d ms as %s, and it is read back', (ms, text) => {
    expect(shortGoDuration(ms)).toBe(text);
    expect(parseGoDuration(text)).toBe(ms);
  });
});
