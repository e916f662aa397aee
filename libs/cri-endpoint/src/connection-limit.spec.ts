import { connectionLimit } from './connection-limit';

describe('the most connections of a socket', () => {
  it.each([
    ['Max open files            1048576              1048576              files', 12_000],
    ['Max open files            4096                 4096                 files', 1_024],
    ['Max open files            unlimited            unlimited            files', 12_000],
    ['', 12_000],
  ])('leave descriptors to others: %s', (line, expected) => {
    const limits = `Limit                     Soft Limit           Hard Limit           Units\n${line}\n`;
    expect(connectionLimit(() => limits)).toBe(expected);
  });

  it('are of this process', () => {
    expect(connectionLimit()).toBeGreaterThanOrEqual(64);
  });
});
