import { newUlid, ulidGenerator } from './ulid';

describe('ULIDs', () => {
  it('begin with the time', () => {
    const next = ulidGenerator((digits) => digits.fill(0));
    expect(next(new Date(0))).toBe('00000000000000000000000000');
    expect(next(new Date(1469918176385))).toBe('01ARYZ6S410000000000000000');
  });

  it('hold 80 random bits of which the first is 0', () => {
    const next = ulidGenerator();
    const firsts = Array.from({ length: 300 }, (_, ms) => next(new Date(ms))[10]);
    expect([...new Set(firsts)].sort().join('')).toBe('0123456789ABCDEF');
  });

  it('count up over all their random bits', () => {
    const next = ulidGenerator((digits) => digits.fill(31).fill(15, 0, 1).fill(14, 1, 2));
    expect(next(new Date(1))).toBe('0000000001FEZZZZZZZZZZZZZZ');
    expect(next(new Date(1))).toBe('0000000001FF00000000000000');
  });

  it('rise within a millisecond and when the clock steps back', () => {
    const next = ulidGenerator();
    const ids = [5, 5, 5, 3, 5, 6].map((ms) => next(new Date(ms)));
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('are of the form that envelopes want', () => {
    expect(newUlid()).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
  });
});
