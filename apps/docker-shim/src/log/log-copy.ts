import { statSync, truncateSync } from 'node:fs';
import { CriLog } from './cri-log';
import { EngineLog } from './engine-log';
import { findResumption, type LogPosition } from './find-resumption';
import { readBatch, type CopyBuffers } from './read-batch';

const lineEnd = Buffer.from('\n');

/** What a copy is about. */
export interface CopiedLog {
  readonly id: string;
  /** The file that the engine writes. */
  readonly enginePath: string;
  /** The file in the CRI's format. */
  readonly logPath: string;
}

/** What has happened since it was asked for last. */
export interface CopyNumbers {
  /** Written into the target. */
  bytes: number;
  gaps: number;
  malformed: number;
}

/** Reading the engine's log or writing the target failed. It can be tried again. */
export class LogCopyError extends Error {
  override readonly name = 'LogCopyError';

  constructor(
    readonly side: 'source' | 'target',
    override readonly cause: unknown,
  ) {
    super(cause instanceof Error ? cause.message : String(cause));
  }

  /** The system's code, such as ENOSPC. */
  get code(): string | undefined {
    return (this.cause as NodeJS.ErrnoException).code;
  }
}

/**
 * Copies the log of one container, a batch at a time. What fails throws a {@link LogCopyError} and
 * leaves the copy where it was: the next step tries again.
 */
export class LogCopy {
  readonly #source: EngineLog;
  readonly #target: CriLog;
  #isResumed = false;
  /** Bytes of CRI log from the source's offset on that are in targets already. */
  #written = 0;
  #breaksLine = false;
  /** While {@link #written} bytes may be in more than one file: a position that they come after. */
  #held: LogPosition | undefined;
  #numbers: CopyNumbers = { bytes: 0, gaps: 0, malformed: 0 };

  constructor(
    { enginePath, logPath }: CopiedLog,
    private readonly kept: LogPosition | undefined,
    private readonly buffers: CopyBuffers,
  ) {
    this.#source = new EngineLog(enginePath);
    this.#target = new CriLog(logPath);
  }

  /**
   * Copies what fits into the buffers: `full` when there may be more at once, `some` when there was
   * less, `end` when there was nothing.
   */
  step(): 'full' | 'some' | 'end' {
    if (!this.#isResumed) this.#resume();
    const batch = on('source', () => readBatch(this.#source, this.buffers));
    this.#numbers.gaps += batch.gaps;
    // Emptied while a part of it could not be written: the rest of that is gone.
    if (batch.gaps > 0 && this.#written > 0) on('target', () => this.#beginAnew());
    if (batch.consumed > 0) this.#write(batch.produced);
    this.#numbers.malformed += batch.malformed;
    if (batch.consumed === 0) return 'end';
    this.#source.offset += batch.consumed;
    this.#written = Math.max(0, this.#written - batch.produced);
    if (this.#written === 0) this.#held = undefined;
    return batch.isFull ? 'full' : 'some';
  }

  /** Continues in a new file at the target's path, with a whole line. */
  reopen(): void {
    if (!this.#isResumed) this.#resumeIfReadable();
    on('target', () => {
      this.#forgetLost();
      const held = this.#written === 0 ? undefined : this.position();
      const unfinished = this.#breaksLine
        ? 0
        : Math.min(this.#written, this.#target.unfinishedBytes());
      this.#target.reopen(unfinished);
      this.#written -= unfinished;
      this.#held = held;
      this.#breaksLine &&= this.#target.unfinishedBytes() > 0;
    });
  }

  /** Where the copy stands, to be kept on disk; undefined while that is not known. */
  position(): LogPosition | undefined {
    if (this.#held !== undefined) return this.#held;
    const source = this.#source.position();
    const target = this.#target.stats();
    if (source === undefined || target === undefined || target.size < this.#written)
      return undefined;
    return {
      ...source,
      targetInode: target.inode,
      targetBytes: target.size - this.#written,
    };
  }

  /** Bytes of the engine's log that are not copied; later files than the open one not counted. */
  lagBytes(): number {
    return this.#source.remaining();
  }

  /** Returns the numbers and starts them at 0. */
  takeNumbers(): CopyNumbers {
    const numbers = this.#numbers;
    this.#numbers = { bytes: 0, gaps: 0, malformed: 0 };
    return numbers;
  }

  close(): void {
    this.#source.close();
    this.#target.close();
  }

  /** So that a line which the old file has in part is taken from there before the answer. */
  #resumeIfReadable(): void {
    try {
      this.#resume();
    } catch (error) {
      if (!(error instanceof LogCopyError) || error.side === 'target') throw error;
    }
  }

  #resume(): void {
    const fd = on('target', () => this.#target.open());
    const { kept, buffers } = this;
    const target = { fd, path: this.#target.path };
    const found = on('source', () => findResumption(this.#source, target, kept, buffers));
    this.#written = found.written;
    if (found.splitLine !== undefined) {
      const { file, bytes } = found.splitLine;
      on('target', () => truncateSync(file, statSync(file).size - bytes));
      this.#written -= bytes;
    }
    this.#breaksLine = found.breaksLine;
    if (found.written > 0) this.#held = kept;
    if (found.isGap) this.#numbers.gaps += 1;
    this.#isResumed = true;
  }

  /**
   * What somebody has removed from the end of the target is written again, as far as it was read.
   */
  #forgetLost(): void {
    const lost = this.#target.takeLost();
    if (lost === 0) return;
    if (lost > this.#written) this.#beginAnew();
    else this.#written -= lost;
    if (this.#written === 0) this.#held = undefined;
  }

  /** Nothing in the target belongs to the source's offset. */
  #beginAnew(): void {
    this.#written = 0;
    this.#held = undefined;
    this.#breaksLine = this.#target.unfinishedBytes() > 0;
  }

  /** Writes so many bytes of the target buffer, but for those that were written before. */
  #write(produced: number): void {
    on('target', () => {
      this.#forgetLost();
      if (this.#breaksLine) {
        const { error } = this.#target.append(lineEnd, 0, lineEnd.length);
        if (error !== undefined) throw error;
        this.#breaksLine = false;
      }
      const from = Math.min(this.#written, produced);
      const { written, error } = this.#target.append(this.buffers.target, from, produced);
      this.#numbers.bytes += written;
      if (error === undefined) return;
      this.#written = from + written;
      throw error;
    });
  }
}

function on<T>(side: LogCopyError['side'], run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new LogCopyError(side, error);
  }
}
