import { stat, statfs } from 'node:fs/promises';
import type { MeasuredFileSystem } from './disk-watch';

/** Measures with statfs(2). Throws when the path is not there. */
export async function measureFileSystem(path: string): Promise<MeasuredFileSystem> {
  const [{ dev }, { bsize, blocks, bavail, bfree, files, ffree }] = await Promise.all([
    stat(path, { bigint: true }),
    statfs(path, { bigint: true }),
  ]);
  return {
    device: String(dev),
    capacityBytes: Number(bsize * blocks),
    availableBytes: Number(bsize * bavail),
    usedBytes: Number(bsize * (blocks - bfree)),
    inodes: Number(files),
    inodesFree: Number(ffree),
  };
}
