import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';

const newline = 0x0a;
/** Longer than any line, as the engine cuts at 16 KiB. */
const tailBytes = 64 * 1024;
const folderMode = 0o755;
const fileMode = 0o640;

const flags =
  constants.O_RDWR |
  constants.O_APPEND |
  constants.O_NOFOLLOW |
  // A pipe would make the opening wait for a reader.
  constants.O_NONBLOCK;

/**
 * A log file in the CRI's format, at the path that kubelet asked for. Errors of the system are
 * thrown.
 */
export class CriLog {
  #fd: number | undefined;
  /** Of the file when it was opened or written last, bytes. */
  #length = 0;

  constructor(readonly path: string) {}

  /** Makes the folder, and the file where there is none, and opens it; the descriptor. */
  open(): number {
    return this.#fd ?? this.#use(openCriLog(this.path));
  }

  /**
   * Opens the path anew, and continues in that file. Bytes at the end of the old one that are only
   * a part of a line are removed from it. When the path cannot be opened, the old file stays.
   */
  reopen(unfinishedBytes = 0): void {
    const fd = openCriLog(this.path);
    try {
      if (this.#fd !== undefined && unfinishedBytes > 0) {
        ftruncateSync(this.#fd, fstatSync(this.#fd).size - unfinishedBytes);
      }
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.close();
    this.#use(fd);
  }

  /** Length of what stands behind the last newline. */
  unfinishedBytes(): number {
    if (this.#fd === undefined) return 0;
    const tail = readEnd(this.#fd, fstatSync(this.#fd).size);
    return tail.length - (tail.lastIndexOf(newline) + 1);
  }

  /**
   * Looks whether somebody has removed or shortened the file since it was written last: how many
   * bytes at its end are gone. The path is opened anew when the file has no name any more.
   */
  takeLost(): number {
    if (this.#fd === undefined) return 0;
    const { nlink, size } = fstatSync(this.#fd);
    const before = this.#length;
    if (nlink === 0) {
      this.reopen();
      return before;
    }
    this.#length = size;
    return Math.max(0, before - size);
  }

  /**
   * Appends bytes of the buffer. Returns how many were written, and when they are fewer than asked
   * for, as on a full disk, the error.
   */
  append(buffer: Buffer, from: number, to: number): { written: number; error?: Error } {
    let at = from;
    try {
      const fd = this.open();
      while (at < to) {
        const written = writeSync(fd, buffer, at, to - at);
        at += written;
        this.#length += written;
      }
      return { written: at - from };
    } catch (error) {
      return { written: at - from, error: error as Error };
    }
  }

  /** Undefined when nothing is open. */
  stats(): { readonly inode: number; readonly size: number } | undefined {
    if (this.#fd === undefined) return undefined;
    const { ino, size } = fstatSync(this.#fd);
    return { inode: ino, size };
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #use(fd: number): number {
    this.#fd = fd;
    this.#length = fstatSync(fd).size;
    return fd;
  }
}

/** Makes the folder, and the file where there is none. */
export function makeCriLog(file: string): void {
  closeSync(openCriLog(file));
}

/** The end of a file, with its last lines; all of a short one. */
export function readEnd(fd: number, size: number): Buffer {
  const tail = Buffer.alloc(Math.min(size, tailBytes));
  const read = readSync(fd, tail, 0, tail.length, size - tail.length);
  return tail.subarray(0, read);
}

function openCriLog(file: string): number {
  makeFolder(path.dirname(file));
  const existing = lstatSync(file, { throwIfNoEntry: false });
  // Left by another runtime: what is written through it would end in the engine's own file.
  if (existing?.isSymbolicLink() === true) unlinkSync(file);
  const fd = openOrCreate(file);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw Object.assign(new Error(`${file} is not a regular file`), { code: 'EINVAL' });
}

/** The umask decides about neither mode. */
function openOrCreate(file: string): number {
  try {
    const fd = openSync(file, flags | constants.O_CREAT | constants.O_EXCL, fileMode);
    fchmodSync(fd, fileMode);
    return fd;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return openSync(file, flags | constants.O_CREAT, fileMode);
  }
}

function makeFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  try {
    mkdirSync(folder, { mode: folderMode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const above = path.dirname(folder);
    if (code !== 'ENOENT' || existsSync(above)) throw error;
    makeFolder(above);
    mkdirSync(folder, { mode: folderMode });
  }
  chmodSync(folder, folderMode);
}
