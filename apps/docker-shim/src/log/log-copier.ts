import { watch, type FSWatcher } from 'node:fs';
import path from 'node:path';
import { LogCopy, LogCopyError, type CopiedLog, type CopyNumbers } from './log-copy';
import type { LogPosition } from './find-resumption';
import { copyBuffers } from './read-batch';

/** Pause between two readings of a log that is written; longest time that a line waits, ms. */
const batchMs = 100;
/** How often positions are reported, and what has failed is tried again, ms. */
const roundMs = 1000;
/** A log whose changes are watched is looked at all the same once in so many rounds. */
const quietRounds = 2;
/** Notices of changes in one round from which on reading without them is cheaper. */
const manyNotices = 50;
/** Readings without a line after which a log is watched again. */
const idleReadings = 10;
/** Read at once of one container; then it is another one's turn. */
const bufferBytes = 512 * 1024;

/** What a copier reports. */
export interface CopierListener {
  /** At most once in a second, and only of logs that have moved. */
  positions(positions: ReadonlyMap<string, LogPosition>): void;
  /** Likewise: what happened since the last report, and how it stands. */
  numbers(numbers: CopierNumbers): void;
  /** The container has ended, and its log is copied to the end. */
  drained(id: string): void;
  /** The first failure of a log; it is tried again each second. */
  blocked(id: string, side: LogCopyError['side'], reason: string): void;
  resumed(id: string): void;
  /** Changes of a log cannot be watched, so it is read each second. */
  unwatched(reason: string): void;
}

export interface CopierNumbers extends CopyNumbers {
  readonly sourceErrors: number;
  readonly targetErrors: number;
  /** Bytes of the engine's logs that are not copied. */
  readonly lagBytes: number;
  /** Logs that cannot be copied at present. */
  readonly blocked: number;
}

interface Followed {
  readonly log: CopiedLog;
  readonly copy: LogCopy;
  /** Waits for its turn. */
  isReady: boolean;
  /** Is read again soon, without a notice. */
  isActive: boolean;
  isBlocked: boolean;
  isEnded: boolean;
  /** Has moved since the last report. */
  isMoved: boolean;
  idle: number;
  notices: number;
  watcher: FSWatcher | undefined;
}

/**
 * Copies the logs of all containers, in turns. A log that is written is read each 100 ms; one that
 * is not costs a notice of the system when that changes, and a look every other second. It reads
 * and writes synchronously: it belongs into a thread of its own.
 */
export class LogCopier {
  readonly #followed = new Map<string, Followed>();
  readonly #buffers = copyBuffers(bufferBytes);
  #ready: Followed[] = [];
  #turn: NodeJS.Immediate | undefined;
  #batch: NodeJS.Timeout | undefined;
  #round: NodeJS.Timeout | undefined;
  #rounds = 0;
  #sourceErrors = 0;
  #targetErrors = 0;
  /** Of logs that are not followed any more. */
  #numbers: CopyNumbers = { bytes: 0, gaps: 0, malformed: 0 };
  #reported = '0 0';

  constructor(private readonly listener: CopierListener) {}

  /** Copies from a position on; one that is followed already goes on. */
  follow(log: CopiedLog, kept: LogPosition | undefined): void {
    const present = this.#followed.get(log.id);
    if (present !== undefined) {
      present.isEnded = false;
      this.#makeReady(present);
      return;
    }
    const followed: Followed = {
      log,
      copy: new LogCopy(log, kept, this.#buffers),
      isReady: false,
      isActive: true,
      isBlocked: false,
      isEnded: false,
      isMoved: false,
      idle: 0,
      notices: 0,
      watcher: undefined,
    };
    this.#followed.set(log.id, followed);
    this.#round ??= setInterval(() => this.#nextRound(), roundMs);
    this.#makeReady(followed);
  }

  /** Copies to the end, and then follows no more. */
  ended(id: string): void {
    const followed = this.#followed.get(id);
    if (followed === undefined) {
      this.listener.drained(id);
      return;
    }
    followed.isEnded = true;
    this.#makeReady(followed);
  }

  /** Throws a {@link LogCopyError} when the path cannot be opened; the old file stays then. */
  reopen(id: string): void {
    const followed = this.#followed.get(id);
    if (followed === undefined) return;
    followed.copy.reopen();
    followed.isMoved = true;
    this.#makeReady(followed);
  }

  /** Follows no more, at once. */
  removed(id: string): void {
    const followed = this.#followed.get(id);
    if (followed !== undefined) this.#drop(followed);
  }

  /** Reports the positions and ends. */
  close(): void {
    this.#report();
    clearInterval(this.#round);
    clearTimeout(this.#batch);
    clearImmediate(this.#turn);
    this.#ready = [];
    for (const { copy, watcher } of this.#followed.values()) {
      copy.close();
      watcher?.close();
    }
    this.#followed.clear();
  }

  #makeReady(followed: Followed): void {
    if (followed.isReady) return;
    followed.isReady = true;
    this.#ready.push(followed);
    this.#turn ??= setImmediate(() => this.#takeTurn());
  }

  /** One batch of one container, so that messages are received between two of them. */
  #takeTurn(): void {
    this.#turn = undefined;
    const followed = this.#ready.shift();
    if (followed !== undefined && this.#followed.get(followed.log.id) === followed) {
      followed.isReady = false;
      this.#copySome(followed);
    }
    if (this.#ready.length > 0) this.#turn ??= setImmediate(() => this.#takeTurn());
  }

  #copySome(followed: Followed): void {
    let copied: ReturnType<LogCopy['step']>;
    try {
      copied = followed.copy.step();
    } catch (error) {
      this.#failed(followed, error);
      return;
    }
    if (followed.isBlocked) {
      followed.isBlocked = false;
      this.listener.resumed(followed.log.id);
    }
    if (copied === 'end') {
      this.#atEnd(followed);
      return;
    }
    followed.isMoved = true;
    followed.idle = 0;
    followed.isActive = true;
    if (copied === 'full' || followed.isEnded) this.#makeReady(followed);
    else this.#readSoon();
  }

  #atEnd(followed: Followed): void {
    if (followed.isEnded) {
      this.#finish(followed);
      return;
    }
    if (followed.watcher !== undefined) {
      // Every change since the last reading has been noticed.
      followed.isActive = false;
      return;
    }
    followed.idle += 1;
    if (followed.idle < idleReadings) {
      followed.isActive = true;
      this.#readSoon();
    } else if (followed.idle === idleReadings) {
      followed.isActive = false;
      this.#watch(followed);
      // What was written before the watching began.
      this.#makeReady(followed);
    }
  }

  #finish(followed: Followed): void {
    const position = followed.copy.position();
    if (position !== undefined) this.listener.positions(new Map([[followed.log.id, position]]));
    this.#drop(followed);
    this.listener.drained(followed.log.id);
  }

  #failed(followed: Followed, error: unknown): void {
    if (!(error instanceof LogCopyError)) throw error;
    followed.isActive = false;
    // The engine has removed the container: there is nothing left to copy.
    if (followed.isEnded && error.side === 'source' && error.code === 'ENOENT') {
      this.#finish(followed);
      return;
    }
    if (error.side === 'source') this.#sourceErrors += 1;
    else this.#targetErrors += 1;
    followed.isMoved = true;
    if (followed.isBlocked) return;
    followed.isBlocked = true;
    this.listener.blocked(followed.log.id, error.side, error.message);
  }

  #drop(followed: Followed): void {
    add(this.#numbers, followed.copy.takeNumbers());
    followed.copy.close();
    followed.watcher?.close();
    this.#followed.delete(followed.log.id);
  }

  #readSoon(): void {
    this.#batch ??= setTimeout(() => {
      this.#batch = undefined;
      for (const followed of this.#followed.values()) {
        if (followed.isActive && !followed.isBlocked) this.#makeReady(followed);
      }
    }, batchMs);
  }

  /** Each second: what failed is tried again, what is quiet is looked at now and then. */
  #nextRound(): void {
    this.#rounds += 1;
    for (const followed of this.#followed.values()) {
      if (followed.notices > manyNotices) {
        followed.watcher?.close();
        followed.watcher = undefined;
        followed.idle = 0;
        followed.isActive = true;
        this.#readSoon();
      }
      followed.notices = 0;
      const isDue = followed.watcher === undefined || this.#rounds % quietRounds === 0;
      if (followed.isBlocked || (!followed.isActive && isDue)) this.#makeReady(followed);
    }
    this.#report();
    if (this.#followed.size === 0) {
      clearInterval(this.#round);
      this.#round = undefined;
    }
  }

  #watch(followed: Followed): void {
    const { enginePath, id } = followed.log;
    const name = path.basename(enginePath);
    try {
      const watcher = watch(path.dirname(enginePath), (_change, file) => {
        if (file?.startsWith(name) === false) return;
        followed.notices += 1;
        if (followed.isActive || followed.isBlocked) return;
        if (this.#followed.get(id) === followed) this.#makeReady(followed);
      });
      watcher.on('error', () => {
        watcher.close();
        if (followed.watcher === watcher) followed.watcher = undefined;
      });
      followed.watcher = watcher;
    } catch (error) {
      this.listener.unwatched(error instanceof Error ? error.message : String(error));
    }
  }

  #report(): void {
    const positions = new Map<string, LogPosition>();
    const numbers = this.#numbers;
    this.#numbers = { bytes: 0, gaps: 0, malformed: 0 };
    let lagBytes = 0;
    let blocked = 0;
    for (const followed of this.#followed.values()) {
      if (followed.isBlocked) blocked += 1;
      if (!followed.isMoved) continue;
      add(numbers, followed.copy.takeNumbers());
      try {
        lagBytes += followed.copy.lagBytes();
        const position = followed.copy.position();
        if (position !== undefined) positions.set(followed.log.id, position);
      } catch {
        continue; // The next step fails likewise, and reports it.
      }
      followed.isMoved = followed.isBlocked;
    }
    if (positions.size > 0) this.listener.positions(positions);
    const report: CopierNumbers = {
      ...numbers,
      sourceErrors: this.#sourceErrors,
      targetErrors: this.#targetErrors,
      lagBytes,
      blocked,
    };
    this.#sourceErrors = 0;
    this.#targetErrors = 0;
    const state = `${lagBytes} ${blocked}`;
    const { bytes, gaps, malformed, sourceErrors, targetErrors } = report;
    const hasCounted = bytes + gaps + malformed + sourceErrors + targetErrors > 0;
    if (hasCounted || state !== this.#reported) this.listener.numbers(report);
    this.#reported = state;
  }
}

function add(sum: CopyNumbers, more: CopyNumbers): void {
  sum.bytes += more.bytes;
  sum.gaps += more.gaps;
  sum.malformed += more.malformed;
}
