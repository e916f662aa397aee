import { readFileSync, statSync } from 'node:fs';

/**
 * Identity, size and times of a file (links followed) as one text, or why it cannot be looked at.
 * It changes when the file does.
 */
export function fileSignature(path: string): string {
  try {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined) return 'ENOENT';
    const { dev, ino, size, mtimeNs, ctimeNs } = stats;
    return [dev, ino, size, mtimeNs, ctimeNs].join(':');
  } catch (error) {
    return errorCode(error);
  }
}

/** `ENOENT` and the like; the message where there is no code. */
export function errorCode(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

/** True for codes that mean "there is no such file". */
export function isAbsent(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Far above the largest Kubernetes secret (1 MiB) and any docker config. */
const maxConfigBytes = 16 * 1024 * 1024;

/**
 * Content of a file. Throws what reading throws, and for a pipe or device, which reading could wait
 * for without end, or a huge file.
 */
export function readConfigFile(path: string): Buffer {
  const stats = statSync(path);
  if (!stats.isFile() && !stats.isDirectory()) throw new Error('it is no regular file');
  if (stats.size > maxConfigBytes) throw new Error(`it has more than ${maxConfigBytes} bytes`);
  return readFileSync(path);
}
