import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import path from 'node:path';
import { readEnd } from './cri-log';
import type { EngineLog, EnginePosition } from './engine-log';
import { readBatch, type CopyBuffers } from './read-batch';

/** How far a log was copied. */
export interface LogPosition extends EnginePosition {
  readonly targetInode: number;
  /** Length of the target when the line at the engine's offset was the next one, bytes. */
  readonly targetBytes: number;
}

/**
 * The file that a copy writes. kubelet may have moved it away from the path since it was opened.
 */
export interface OpenTarget {
  readonly fd: number;
  readonly path: string;
}

/** Where a copy continues: at the offset at which the engine's log is open. */
export interface Resumption {
  /** Bytes of CRI log from that offset on that the target has already. */
  readonly written: number;
  /** Whether the target ends in a part of a line with which the engine's log does not continue. */
  readonly breaksLine: boolean;
  /**
   * A rotated target that ends in a part of a line, of so many bytes. They are counted in
   * `written`; removed from there, the line can stand in the new target as a whole.
   */
  readonly splitLine?: { readonly file: string; readonly bytes: number };
  /** Whether the engine has removed lines that were not copied. */
  readonly isGap: boolean;
}

const newline = 0x0a;

/**
 * Opens the engine's log where the copying into a target continues, so that every line is in the
 * target once, whenever the copying was ended.
 *
 * What the target has got since the position was kept is compared with what the engine's log has
 * from there on: as the same log always gives the same bytes, the comparison ends where the copying
 * ended, which may be inside a line. Where the two differ (there is no position, the target was
 * removed or shortened, or the engine has removed the position's file), the target's last lines are
 * looked for in the whole of the engine's log.
 *
 * kubelet may rotate at any moment: each file is opened once, and known by its descriptor from then
 * on.
 */
export function findResumption(
  log: EngineLog,
  target: OpenTarget,
  kept: LogPosition | undefined,
  buffers: CopyBuffers,
): Resumption {
  const files = openTargets(target);
  try {
    return findAmong(files, log, kept, buffers);
  } finally {
    for (const file of files.slice(1)) if (file !== undefined) closeSync(file.fd);
  }
}

function findAmong(
  files: TargetFiles,
  log: EngineLog,
  kept: LogPosition | undefined,
  buffers: CopyBuffers,
): Resumption {
  const [target] = files;
  const isKept = kept !== undefined && log.openAt(kept);
  if (isKept) {
    const since = writtenSince(files, kept);
    const written = since && compare(log, pieces(since), 0, buffers);
    if (written !== undefined) {
      const split = splitLine(lastLines(files), target, written);
      return { written, breaksLine: false, splitLine: split, isGap: false };
    }
  }
  // One that was emptied on purpose is not filled again.
  const isSameFile = isKept && target.inode === kept.targetInode;
  const end = lastLines(isSameFile ? [target] : files);
  const { file, lines, rest } = end;
  let found: Found | undefined;
  if (lines.length > 0) {
    log.openOldest();
    found = findLines(log, lines, buffers);
  }
  const isOpen = found !== undefined ? log.openAt(found.at) : isKept && log.openAt(kept);
  if (!isOpen) log.openOldest();
  const isGap = kept !== undefined && !isKept && found === undefined;
  const written = found?.written ?? 0;
  if (rest.length === 0) return { written, breaksLine: false, isGap };
  const at = log.position();
  const continued = compare(log, [rest], written, buffers);
  if (continued !== undefined) {
    const split = splitLine(end, target, continued);
    return { written: continued, breaksLine: false, splitLine: split, isGap };
  }
  if (at !== undefined) log.openAt(at);
  return { written, breaksLine: file === target, isGap };
}

/** A file that has been the target, as it was when it was opened. */
interface TargetFile extends OpenTarget {
  readonly inode: number;
  readonly size: number;
}

/**
 * The target, and those that kubelet has moved, newest first. Undefined stands for one that cannot
 * be read: kubelet compresses and removes the older ones.
 */
type TargetFiles = readonly [TargetFile, ...(TargetFile | undefined)[]];

function openTargets(open: OpenTarget): TargetFiles {
  const target = targetFile(open);
  const rotated: (TargetFile | undefined)[] = [];
  for (const file of rotatedLogs(open.path)) {
    const fd = file.endsWith('.gz') ? undefined : openIfThere(file);
    const one = fd === undefined ? undefined : targetFile({ fd, path: file });
    if (one?.inode === target.inode) closeSync(one.fd);
    else rotated.push(one);
  }
  return [target, ...rotated];
}

function targetFile({ fd, path: file }: OpenTarget): TargetFile {
  const { ino, size } = fstatSync(fd);
  return { fd, path: file, inode: ino, size };
}

/** Where kubelet has moved a log when it rotated it, newest first. */
function rotatedLogs(targetPath: string): string[] {
  const folder = path.dirname(targetPath);
  const beginning = `${path.basename(targetPath)}.`;
  try {
    return readdirSync(folder)
      .filter((name) => name.startsWith(beginning) && !name.endsWith('.tmp'))
      .sort()
      .reverse()
      .map((name) => path.join(folder, name));
  } catch {
    return [];
  }
}

function openIfThere(file: string): number | undefined {
  try {
    return openSync(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A file of which a part is read. */
type Part = { readonly file: TargetFile; readonly from: number };

/** What targets have got since a position, oldest first; undefined where that cannot be known. */
function writtenSince(
  files: TargetFiles,
  { targetInode, targetBytes }: LogPosition,
): Part[] | undefined {
  const later: Part[] = [];
  for (const file of files) {
    if (file === undefined) return undefined;
    // When it was renamed, the copying has gone on in newer files, or was about to.
    if (file.inode !== targetInode) later.unshift({ file, from: 0 });
    else if (file.size < targetBytes) return undefined;
    else return [{ file, from: targetBytes }, ...later];
  }
  return undefined;
}

/** A part of a log, in pieces. */
type Pieces = Iterable<Buffer>;

function* pieces(parts: readonly Part[]): Pieces {
  const piece = Buffer.alloc(64 * 1024);
  for (const { file, from } of parts) {
    for (let at = from; ;) {
      const read = readSync(file.fd, piece, 0, piece.length, at);
      if (read === 0) break;
      at += read;
      yield piece.subarray(0, read);
    }
  }
}

/**
 * Whether the engine's log goes on with these bytes: how many of them belong to the batch at which
 * the log stands then. Undefined where they differ.
 *
 * @param written bytes of the first batch that stand in front of the pieces.
 */
function compare(
  log: EngineLog,
  pieces: Pieces,
  written: number,
  buffers: CopyBuffers,
): number | undefined {
  let batch = readBatch(log, buffers);
  let at = written;
  for (const piece of pieces) {
    let compared = 0;
    while (compared < piece.length) {
      if (at >= batch.produced) {
        if (batch.consumed === 0) return undefined;
        log.offset += batch.consumed;
        at -= batch.produced;
        batch = readBatch(log, buffers);
        continue;
      }
      const length = Math.min(piece.length - compared, batch.produced - at);
      const isSame =
        piece.compare(buffers.target, at, at + length, compared, compared + length) === 0;
      if (!isSame) return undefined;
      compared += length;
      at += length;
    }
  }
  return at;
}

interface Found {
  readonly at: EnginePosition;
  /** Bytes of CRI log from there on to the end of the lines. */
  readonly written: number;
}

/** Looks for lines, and where they are not all there, for as many of the last ones as there are. */
function findLines(log: EngineLog, lines: Buffer, buffers: CopyBuffers): Found | undefined {
  const last = lines.subarray(lines.lastIndexOf(newline, -2) + 1);
  let best: (Found & { readonly length: number }) | undefined;
  let before = Buffer.alloc(0);
  for (;;) {
    const { consumed, produced } = readBatch(log, buffers);
    const position = log.position();
    if (consumed === 0 || position === undefined) return best;
    const all = Buffer.concat([before, buffers.target.subarray(0, produced)]);
    const first = Math.max(0, before.length - last.length + 1);
    for (let at = all.indexOf(last, first); at >= 0; at = all.indexOf(last, at + 1)) {
      const end = at + last.length;
      if (end <= before.length || (at > 0 && all[at - 1] !== newline)) continue;
      const length = commonEnd(lines, all, end);
      if (length <= (best?.length ?? 0)) continue;
      best = { at: position, written: end - before.length, length };
      if (length === lines.length) return best;
    }
    before = Buffer.from(all.subarray(Math.max(0, all.length - lines.length)));
    log.offset += consumed;
  }
}

/** How many of the last bytes of `lines` stand in front of `end`. */
function commonEnd(lines: Buffer, all: Buffer, end: number): number {
  const longest = Math.min(lines.length, end);
  let length = 0;
  while (length < longest && lines[lines.length - 1 - length] === all[end - 1 - length])
    length += 1;
  return length;
}

/** In the target itself a line is continued where it stands. */
function splitLine(
  { file, rest }: LastLines,
  target: TargetFile,
  written: number,
): Resumption['splitLine'] {
  if (file === undefined || file === target) return undefined;
  if (rest.length === 0 || rest.length > written) return undefined;
  return { file: file.path, bytes: rest.length };
}

interface LastLines {
  /** Undefined when all files are empty. */
  readonly file: TargetFile | undefined;
  /** Whole lines; those of the file before where this one has none. */
  readonly lines: Buffer;
  /** What stands behind them. */
  readonly rest: Buffer;
}

/** The end of the first of the files that is not empty. */
function lastLines(files: readonly (TargetFile | undefined)[]): LastLines {
  const [last, before] = files.filter((file) => file !== undefined && file.size > 0);
  if (last === undefined) {
    return { file: undefined, lines: Buffer.alloc(0), rest: Buffer.alloc(0) };
  }
  const end = endOf(last);
  if (end.lines.length > 0 || before === undefined) return end;
  // The disk was full before the first line of the file was whole.
  const { lines, rest } = endOf(before);
  return rest.length > 0 ? end : { ...end, lines };
}

function endOf(file: TargetFile): LastLines {
  const tail = readEnd(file.fd, file.size);
  const from = tail.length < file.size ? tail.indexOf(newline) + 1 : 0;
  const to = tail.lastIndexOf(newline) + 1;
  return { file, lines: tail.subarray(Math.min(from, to), to), rest: tail.subarray(to) };
}
