import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

/**
 * Where in the engine's log a reader stands. A file is known by its beginning, which never changes:
 * inode numbers are given to new files again.
 */
export interface EnginePosition {
  readonly inode: number;
  /** How many of the file's first bytes the hash is of. */
  readonly headBytes: number;
  readonly headHash: string;
  /** Of the next line, in bytes. */
  readonly offset: number;
}

/** Longest beginning of a file that it is known by. */
const maxHeadBytes = 4096;
/** Names in a row that are absent before the list of rotated files counts as complete. */
const maxAbsent = 2;
/** How often a list is taken again because the engine rotated meanwhile. */
const maxScans = 20;

interface OpenFile {
  readonly fd: number;
  readonly inode: number;
  readonly size: number;
}

/**
 * A container's log as the engine's json-file driver keeps it: the file that is written, and older
 * ones with `.1`, `.2` … behind the name. Read from the oldest line to the newest, over rotations
 * of the engine. Not found and other errors of the system are thrown.
 */
export class EngineLog {
  #file: OpenFile | undefined;
  #head: { readonly bytes: number; readonly hash: string } | undefined;
  /** Whether another file has taken the place of this one, so that its end is final. */
  #isRotated = false;
  /** How far the open file was read, in bytes. */
  #end = 0;
  /** Of the next line in the open file, in bytes. */
  offset = 0;

  /** @param path of the file that the engine writes. */
  constructor(readonly path: string) {}

  get isOpen(): boolean {
    return this.#file !== undefined;
  }

  /** Opens the oldest file at its beginning. */
  openOldest(): void {
    const files = scan(this.path);
    const oldest = files.pop();
    files.forEach(close);
    if (oldest === undefined) throw notFound(this.path);
    this.#use(oldest, 0);
  }

  /**
   * Opens the file of a position there. False when that file is gone, and nothing is open then; a
   * file that has become shorter than the position is read from its new end.
   */
  openAt(position: EnginePosition): boolean {
    this.close();
    const files = scan(this.path);
    if (files.length === 0) throw notFound(this.path);
    const alike = files.filter((file) => hasHead(file, position));
    const found = alike.find(({ inode }) => inode === position.inode) ?? alike[0];
    for (const file of files) if (file !== found) close(file);
    if (found === undefined) return false;
    this.#use(found, Math.min(position.offset, found.size));
    return true;
  }

  /** Reads from the offset on, which stays; the number of bytes, 0 at the end of the open file. */
  read(buffer: Buffer): number {
    if (this.#file === undefined) throw notFound(this.path);
    const read = readSync(this.#file.fd, buffer, 0, buffer.length, this.offset);
    const end = this.offset + read;
    // Emptied since then: what stands there now is not what follows the offset.
    if (end < this.#end && read < buffer.length) return 0;
    this.#end = Math.max(this.#end, end);
    return read;
  }

  /**
   * To call at the end of the open file. `same` when there is nothing more now; `more` when reading
   * may bring something, in this file or in the next one, which is open then; `gap` likewise, but
   * lines may be missing: the engine has removed or emptied a file that was not read to its end.
   */
  next(): 'same' | 'more' | 'gap' {
    const current = this.#file;
    if (current === undefined) throw notFound(this.path);
    if (!this.#isRotated) {
      const written = statSync(this.path, { throwIfNoEntry: false });
      // Between the two steps of a rotation there is none.
      if (written === undefined) return 'same';
      if (written.ino === current.inode) {
        if (written.size >= this.#end) return 'same';
        this.offset = 0;
        this.#end = 0;
        this.#head = undefined;
        return 'gap';
      }
      // What was written between the last read and the rotation is read first.
      this.#isRotated = true;
      return 'more';
    }
    const files = scan(this.path);
    const at = files.findIndex(({ inode }) => inode === current.inode);
    // The files behind the one that was read are older.
    const following = at < 0 ? files.at(-1) : files[at - 1];
    for (const file of files) if (file !== following) close(file);
    if (following === undefined) return 'same';
    this.#use(following, 0);
    return at < 0 ? 'gap' : 'more';
  }

  /** Bytes of the open file behind the offset. */
  remaining(): number {
    if (this.#file === undefined) return 0;
    return Math.max(0, fstatSync(this.#file.fd).size - this.offset);
  }

  /** Undefined when nothing is open. */
  position(): EnginePosition | undefined {
    if (this.#file === undefined) return undefined;
    const { fd, inode } = this.#file;
    const bytes = Math.min(maxHeadBytes, this.offset);
    if (this.#head?.bytes !== bytes) this.#head = { bytes, hash: headHash(fd, bytes) };
    return { inode, headBytes: bytes, headHash: this.#head.hash, offset: this.offset };
  }

  close(): void {
    if (this.#file !== undefined) close(this.#file);
    this.#file = undefined;
  }

  #use(file: OpenFile, offset: number): void {
    this.close();
    this.#file = file;
    this.#head = undefined;
    this.#isRotated = false;
    this.#end = offset;
    this.offset = offset;
  }
}

/**
 * Opens all files of a log, newest first. The engine renames them from the oldest to the newest, so
 * who goes the other way misses none, and sees at most one twice.
 */
function scan(path: string): OpenFile[] {
  for (let scans = 1; ; scans += 1) {
    const files: OpenFile[] = [];
    let isSound = true;
    for (let index = 0, absent = 0; absent < maxAbsent; index += 1) {
      const file = openFile(index === 0 ? path : `${path}.${index}`);
      if (file === undefined) {
        // Its place may be empty for a moment while the engine rotates.
        if (index > 0) absent += 1;
        continue;
      }
      absent = 0;
      if (files.some(({ inode }) => inode === file.inode)) {
        isSound = false;
        close(file);
      } else files.push(file);
    }
    const written = statSync(path, { throwIfNoEntry: false });
    if ((isSound && written?.ino === files[0]?.inode) || scans === maxScans) return files;
    files.forEach(close);
  }
}

function openFile(path: string): OpenFile | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const { ino, size } = fstatSync(fd);
  return { fd, inode: ino, size };
}

const close = ({ fd }: OpenFile): void => closeSync(fd);

function headHash(fd: number, bytes: number): string {
  const head = Buffer.alloc(bytes);
  const read = readSync(fd, head, 0, bytes, 0);
  return createHash('sha256').update(head.subarray(0, read)).digest('base64url');
}

/** Of nothing, every file has the beginning: then the inode decides. */
const hasHead = (file: OpenFile, position: EnginePosition): boolean =>
  position.headBytes === 0
    ? file.inode === position.inode
    : file.size >= position.headBytes &&
      headHash(file.fd, position.headBytes) === position.headHash;

function notFound(path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`ENOENT: no such file, open '${path}'`), { code: 'ENOENT' });
}
