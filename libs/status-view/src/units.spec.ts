import { ageText, parseSpan, sizeText, spanText } from './units';

describe('units', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1_048_575, '1.0 MiB'],
    [71_300_000, '68.0 MiB'],
    [-(2 ** 30), '-1.0 GiB'],
    [2 ** 60, '1024.0 PiB'],
  ])('%d bytes', (sizeBytes, text) => expect(sizeText(sizeBytes)).toBe(text));

  it.each([
    [0, '0ms'],
    [999.6, '1s'],
    [61_000, '1m1s'],
    [3_600_000, '1h'],
    [90_061_000, '1d1h'],
    [-5, '0ms'],
  ])('%d ms', (spanMs, text) => expect(spanText(spanMs)).toBe(text));

  it('ages leave out what does not matter any more', () => {
    const now = Date.parse('2026-11-20T12:00:00Z');
    expect(ageText('2026-11-17T10:00:00Z', now)).toBe('3d');
    expect(ageText('2026-11-20T11:58:30Z', now)).toBe('1m30s');
    expect([ageText(null, now), ageText(undefined, now)]).toEqual(['-', '-']);
  });

  it.each([
    ['90s', 90_000],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
    ['1.5s', 1500],
    ['5', undefined],
    ['h', undefined],
    ['-1s', undefined],
    ['', undefined],
  ])('the span %j', (text, spanMs) => expect(parseSpan(text)).toBe(spanMs));
});
