import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { checkFileKind } from './open-sqlite';

const walHeaderBytes = 32;
const frameHeaderBytes = 24;

/**
 * Content of a SQLite file with the commits of its write-ahead log, as one database in rollback
 * mode for `new Database(content)`. Reads two files and needs no write, no lock and no disk space:
 * SQLite itself cannot open a WAL database on a read-only file system. Empty when there is no file.
 * Throws when a file cannot be read or is not a regular one. The caller ensures that nobody writes
 * meanwhile.
 */
export function databaseCopy(file: string): Buffer {
  const main = ifThere(file, readFileSync);
  if (main.length === 0) return main;
  const content = withWal(main, ifThere(`${file}-wal`, readFileSync));
  // Bytes 18 and 19 of the header say "WAL", which a database in memory cannot do.
  content[18] = 1;
  content[19] = 1;
  return content;
}

/** Bytes of the header at the beginning of a SQLite file. */
export const databaseHeaderBytes = 100;

/**
 * The header of {@link databaseCopy} alone, for which a large file need not be read. Empty when
 * there is no file, short when it is none of SQLite.
 */
export function databaseHeader(file: string): Buffer {
  const main = ifThere(file, () => firstBytes(file, databaseHeaderBytes));
  if (main.length === 0) return main;
  const wal = ifThere(`${file}-wal`, readFileSync);
  const from = commitsOf(wal)?.pages.get(1);
  return from === undefined ? main : wal.subarray(from, from + databaseHeaderBytes);
}

function firstBytes(file: string, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = openSync(file, 'r');
  try {
    return bytes.subarray(0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}

function ifThere(file: string, read: (file: string) => Buffer): Buffer {
  checkFileKind(file);
  try {
    return read(file);
  } catch (error) {
    if (/^(ENOENT|ENOTDIR)$/.test((error as NodeJS.ErrnoException).code ?? ''))
      return Buffer.alloc(0);
    throw error;
  }
}

/** The file's pages with those of the log's commits applied. */
function withWal(main: Buffer, wal: Buffer): Buffer {
  const commits = commitsOf(wal);
  if (commits === undefined) return main;
  const { pageSize, pageCount, pages } = commits;
  const content = resized(main, pageCount * pageSize);
  for (const [page, from] of pages) {
    wal.copy(content, (page - 1) * pageSize, from, from + pageSize);
  }
  return content;
}

/** What the commits of a log come to. */
interface Commits {
  readonly pageSize: number;
  /** Pages of the database after the last of them. */
  readonly pageCount: number;
  /** Where in the log each page stands that they have written. */
  readonly pages: ReadonlyMap<number, number>;
}

/**
 * Undefined when there is none. A log of another file, or one that ends in the middle of a commit,
 * is read up to that point.
 */
function commitsOf(wal: Buffer): Commits | undefined {
  const log = walHeader(wal);
  if (log === undefined) return undefined;
  const { pageSize } = log;
  const frameBytes = frameHeaderBytes + pageSize;
  const pages = new Map<number, number>();
  let pageCount = 0;
  let uncommitted = new Map<number, number>();
  let sum = log.sum;
  for (let at = walHeaderBytes; at + frameBytes <= wal.length; at += frameBytes) {
    if (wal.compare(wal, 16, 24, at + 8, at + 16) !== 0) break;
    sum = checksum(wal.subarray(at, at + 8), log.isBigEndian, sum);
    sum = checksum(wal.subarray(at + frameHeaderBytes, at + frameBytes), log.isBigEndian, sum);
    if (sum[0] !== wal.readUInt32BE(at + 16) || sum[1] !== wal.readUInt32BE(at + 20)) break;
    uncommitted.set(wal.readUInt32BE(at), at + frameHeaderBytes);
    const pagesAfterCommit = wal.readUInt32BE(at + 4);
    if (pagesAfterCommit === 0) continue;
    for (const [page, from] of uncommitted) pages.set(page, from);
    if (pagesAfterCommit < pageCount) {
      for (const page of pages.keys()) if (page > pagesAfterCommit) pages.delete(page);
    }
    pageCount = pagesAfterCommit;
    uncommitted = new Map();
  }
  return pageCount === 0 ? undefined : { pageSize, pageCount, pages };
}

type Sum = readonly [number, number];

/** The log's header; undefined when there is no log or its header is incomplete. */
function walHeader(wal: Buffer): { pageSize: number; isBigEndian: boolean; sum: Sum } | undefined {
  if (wal.length < walHeaderBytes) return undefined;
  const magic = wal.readUInt32BE(0);
  if (magic !== 0x377f0682 && magic !== 0x377f0683) return undefined;
  const isBigEndian = magic === 0x377f0683;
  const sum = checksum(wal.subarray(0, 24), isBigEndian, [0, 0]);
  if (sum[0] !== wal.readUInt32BE(24) || sum[1] !== wal.readUInt32BE(28)) return undefined;
  return { pageSize: wal.readUInt32BE(8), isBigEndian, sum };
}

/** SQLite's running checksum over pairs of 32-bit words. */
function checksum(bytes: Buffer, isBigEndian: boolean, [first, second]: Sum): Sum {
  let [a, b] = [first, second];
  for (let at = 0; at < bytes.length; at += 8) {
    const x = isBigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
    const y = isBigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4);
    a = (a + x + b) >>> 0;
    b = (b + y + a) >>> 0;
  }
  return [a, b];
}

function resized(content: Buffer, bytes: number): Buffer {
  if (content.length === bytes) return content;
  const other = Buffer.alloc(bytes);
  content.copy(other, 0, 0, Math.min(bytes, content.length));
  return other;
}
