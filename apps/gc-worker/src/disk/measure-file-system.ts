import { execFile } from 'node:child_process';
import { stat, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { MeasuredFileSystem } from './disk-watch';

/** What statfs(2) says; `frsize` where Node.js tells it. */
export interface StatFs {
  readonly bsize: bigint;
  readonly frsize?: bigint;
  readonly blocks: bigint;
  readonly bfree: bigint;
  readonly bavail: bigint;
  readonly files: bigint;
  readonly ffree: bigint;
}

/**
 * Measures with statfs(2), in bytes. Throws when the path is not there. Blocks are counted in units of `f_frsize`, which is mostly, but not on
 * ZFS and some FUSE file systems, `f_bsize`; where Node.js does not tell it, `stat` of coreutils does.
 */
export async function measureFileSystem(path: string): Promise<MeasuredFileSystem> {
  const [{ dev }, found] = await Promise.all([
    stat(path, { bigint: true }),
    statfs(path, { bigint: true }) as Promise<StatFs>,
  ]);
  const device = String(dev);
  const frsize = found.frsize ?? (await blockSizeOf(path, device)) ?? found.bsize;
  return { device, ...bytesOf({ ...found, frsize }) };
}

/** Whole numbers that events and records can hold. */
const largest = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * The figures of one file system as numbers. What is negative is nothing (statfs has unsigned fields, and some file systems put a deficit in
 * them); a file system too large for exact numbers is scaled down, so that the ratios stay.
 */
export function bytesOf({
  bsize,
  frsize = bsize,
  blocks,
  bfree,
  bavail,
  files,
  ffree,
}: StatFs): Omit<MeasuredFileSystem, 'device'> {
  const unit = frsize > 0n ? frsize : bsize;
  const capacity = notNegative(blocks) * unit;
  const scaled = (value: bigint, total: bigint) =>
    Number(total <= largest ? value : (value * largest) / total);
  const bytes = (count: bigint) => scaled(least(notNegative(count) * unit, capacity), capacity);
  const inodes = files < 0n ? 0n : files;
  return {
    capacityBytes: scaled(capacity, capacity),
    availableBytes: bytes(bavail),
    usedBytes: bytes(notNegative(blocks) - notNegative(bfree)),
    inodes: scaled(inodes, inodes),
    inodesFree: scaled(least(notNegative(ffree), inodes), inodes),
  };
}

const notNegative = (value: bigint): bigint => {
  const signed = BigInt.asIntN(64, value);
  return signed < 0n ? 0n : signed;
};

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** Block sizes by device: that of a mounted file system does not change. */
const blockSizes = new Map<string, bigint | undefined>();

/** Longest wait for `stat`, milliseconds. */
const statTimeoutMs = 5000;

/** `f_frsize` as `stat` of coreutils (or busybox) tells it; undefined where there is no such program. Never throws. */
async function blockSizeOf(path: string, device: string): Promise<bigint | undefined> {
  if (blockSizes.has(device)) return blockSizes.get(device);
  try {
    const options = { timeout: statTimeoutMs };
    const { stdout } = await promisify(execFile)('stat', ['-f', '-c', '%S', path], options);
    const size = /^\d+$/.test(stdout.trim()) ? BigInt(stdout.trim()) : undefined;
    blockSizes.set(device, size);
    return size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') blockSizes.set(device, undefined);
    return undefined;
  }
}
