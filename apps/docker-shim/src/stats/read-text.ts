import { closeSync, openSync, readSync } from 'node:fs';

/** The file, the control group or the process is gone, or the kernel does not have it. */
const absentCodes = new Set(['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR', 'EOPNOTSUPP']);

export const isAbsent = (error: unknown): boolean =>
  absentCodes.has((error as NodeJS.ErrnoException).code ?? '');

/** The file is there and must not be read by this process. */
export function isForbidden(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
}

/** Most files of the kernel are shorter. */
const buffer = Buffer.allocUnsafe(16_384);

/**
 * A small file of the kernel; undefined when it is not there (any more). Read at once: the kernel
 * has it in memory, and handing each of three calls to another thread and back takes ten times as
 * long as they do.
 */
export function readText(path: string): string | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    let text = '';
    for (;;) {
      // Of files with many entries the kernel gives about a page at a time.
      const bytes = readSync(fd, buffer);
      if (bytes === 0) return text;
      text += buffer.toString('latin1', 0, bytes);
    }
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
