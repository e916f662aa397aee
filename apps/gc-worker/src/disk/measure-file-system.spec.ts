import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { bytesOf, measureFileSystem } from './measure-file-system';

const all = 2n ** 64n - 1n;
const fs = {
  bsize: 4096n,
  blocks: 1000n,
  bfree: 400n,
  bavail: 300n,
  files: 100n,
  ffree: 40n,
};

describe('bytesOf', () => {
  it('counts blocks in units of f_bsize where that is all there is', () => {
    expect(bytesOf(fs)).toEqual({
      capacityBytes: 4_096_000,
      availableBytes: 1_228_800,
      usedBytes: 2_457_600,
      inodes: 100,
      inodesFree: 40,
    });
  });

  it('counts blocks in units of f_frsize, as on ZFS, whose blocks of 512 bytes are read 128 KiB at a time', () => {
    expect(bytesOf({ ...fs, bsize: 131_072n, frsize: 512n })).toMatchObject({
      capacityBytes: 512_000,
      availableBytes: 153_600,
      usedBytes: 307_200,
    });
    expect(bytesOf({ ...fs, frsize: 0n })).toMatchObject({ capacityBytes: 4_096_000 });
  });

  it.each([
    ['a deficit in what is available', { bavail: all - 99n }, { availableBytes: 0 }],
    ['more available than there is', { bavail: 2000n }, { availableBytes: 4_096_000 }],
    ['more free than there is', { bfree: 2000n }, { usedBytes: 0 }],
    ['more inodes free than there are', { ffree: 200n }, { inodes: 100, inodesFree: 100 }],
    ['no inodes', { files: 0n, ffree: 0n }, { inodes: 0, inodesFree: 0 }],
    ['no blocks', { blocks: 0n, bfree: 0n, bavail: 0n }, { capacityBytes: 0, availableBytes: 0 }],
    ['a deficit in its blocks', { blocks: all }, { capacityBytes: 0 }],
  ])('makes whole numbers of %s', (_, values, expected) => {
    expect(bytesOf({ ...fs, ...values })).toMatchObject(expected);
  });

  it('keeps the ratios of a file system that is too large for exact numbers', () => {
    const huge = { blocks: 2n ** 60n, bfree: 2n ** 58n, bavail: 2n ** 58n };
    const { capacityBytes, availableBytes, usedBytes } = bytesOf({ ...fs, ...huge });
    expect(capacityBytes).toBe(Number.MAX_SAFE_INTEGER);
    expect(Number.isSafeInteger(availableBytes)).toBe(true);
    expect(availableBytes! / capacityBytes!).toBeCloseTo(0.25);
    expect(usedBytes! / capacityBytes!).toBeCloseTo(0.75);
    expect(bytesOf({ ...fs, files: all, ffree: all - 1n }).inodes).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe('measureFileSystem', () => {
  it('says of a real one what df says', async () => {
    const { capacityBytes, inodes } = await measureFileSystem(tmpdir());
    const df = execFileSync('df', ['-B1', '--output=size,itotal', tmpdir()], { encoding: 'utf8' });
    const [size, total] = df.trim().split('\n')[1]!.trim().split(/\s+/).map(Number);
    expect([capacityBytes, inodes]).toEqual([size, Number.isNaN(total) ? 0 : total]);
  });

  it('throws for what is not there', async () => {
    await expect(measureFileSystem('/absent/folder')).rejects.toThrow('ENOENT');
  });
});
