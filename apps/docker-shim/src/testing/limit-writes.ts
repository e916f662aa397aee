import fs from 'node:fs';

/** What a disk has room for. */
export interface DiskRoom {
  bytes: number;
}

/**
 * From now on `writeSync` writes what there is room for, and fails with ENOSPC on a full disk,
 * until Jest restores its mocks. `isLimited` is called before each write.
 */
export function limitWrites(room: DiskRoom, isLimited: () => boolean = () => true): void {
  const write = fs.writeSync as (fd: number, buffer: Buffer, at: number, length: number) => number;
  jest.spyOn(fs, 'writeSync').mockImplementation(((...args: Parameters<typeof write>) => {
    if (!isLimited()) return write(...args);
    const [fd, buffer, at, length] = args;
    const written = Math.min(length, room.bytes);
    if (written === 0) throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
    room.bytes -= written;
    return write(fd, buffer, at, written);
  }) as never);
}
