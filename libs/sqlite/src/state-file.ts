import path from 'node:path';
import { errorMessage, StowageError } from '@stowage/errors';
import type { Database } from 'better-sqlite3';
import { StateFileUnusableError } from './errors';
import {
  checkSchema,
  openStateFile,
  openStateFileCopy,
  setAside,
  type StateFileContent,
} from './open-state-file';
import { isBusy, isUnusable, sqliteCode } from './sqlite-error';
import { useStateFolder } from './state-folder';

/** After a refusal the file is retried at most this often, milliseconds. */
const retryAfterMs = 1000;

/** Why a file refuses writes. */
export interface StateFileProblem {
  readonly reason: string;
  readonly since: Date;
}

/**
 * The options of a {@link StateFile}. `T` is what its owner reads and writes with: prepared
 * statements, or an object that wraps them.
 */
export interface StateFileOptions<T> {
  readonly file: string;
  readonly content: StateFileContent;
  /** Creates the folder if it is missing; else it must exist. */
  readonly makesFolder: boolean;
  readonly now: () => Date;
  /**
   * Called for each opening, also of a copy, to prepare statements and read the state. `isLate`
   * when the file could not be opened at the start or was damaged in use: then the owner's memory
   * is newer. An error about the content means damage.
   */
  readonly prepare: (database: Database, isLate: boolean) => T;
  /** A damaged file, or one of another program, was renamed; a new one follows. */
  readonly onSetAside: (aside: string, reason: string, isLate: boolean) => void;
  /**
   * A write, a read or an opening failed; `before` is the previous problem. The owner keeps what
   * must be written.
   */
  readonly onRefused?: (error: unknown, before: StateFileProblem | undefined) => void;
  /** The same, but only where the reason is not that of the time before. */
  readonly onProblem?: (reason: string) => void;
  /** A write succeeded after a refusal. */
  readonly onWritten?: () => void;
  /**
   * Called every second while the file refuses writes: check {@link StateFile.isDue}, then write
   * what waits.
   */
  readonly retry: () => void;
  /**
   * What {@link StateFile.open} throws when another process has the file; without it that counts as
   * a refusal.
   */
  readonly heldError?: (cause: unknown) => Error;
}

/**
 * A SQLite file with the durable state of a service, locked by this process. Disk errors never
 * throw: a refused write returns false, its owner keeps it in memory, and the file is retried every
 * second. A damaged file is renamed and a new one is created, at the start and in use; a file of a
 * newer release is never touched.
 */
export class StateFile<T> {
  #database: Database | undefined;
  #tables: T | undefined;
  #transaction: ((change: () => void) => void) | undefined;
  #isCopy = false;
  #isLate = false;
  #isClosed = false;
  #problem: StateFileProblem | undefined;
  #attemptedMs = -Infinity;
  #retrying: NodeJS.Timeout | undefined;

  constructor(private readonly options: StateFileOptions<T>) {}

  /** Undefined when writes are possible. */
  get problem(): StateFileProblem | undefined {
    return this.#problem;
  }

  /** Whether there is something to read from: the file, or a copy of it. */
  get isOpen(): boolean {
    return this.#database !== undefined;
  }

  /**
   * Opens the file at the start; false when it cannot be opened now. Throws errors that do not pass
   * by waiting: StateFileKindError, StateFileNewerError, SqliteBindingError, and the owner's
   * `heldError`.
   */
  open(): boolean {
    const { file, content, heldError } = this.options;
    try {
      this.#open();
      return true;
    } catch (error) {
      if (heldError !== undefined && isBusy(error)) throw heldError(error);
      if (error instanceof StowageError) throw error;
      checkSchema(file, content);
      this.#refused(error);
      return false;
    } finally {
      this.#isLate = true;
    }
  }

  /**
   * Reads a file that {@link open} could not open through a copy in memory. False when there is
   * none. Throws when it cannot be read.
   */
  openCopy(): boolean {
    const database = openStateFileCopy(this.options.file, this.options.content);
    if (database !== undefined) this.#use(database, true);
    return database !== undefined;
  }

  /** Reads; undefined when there is no file or the disk fails. */
  read<R>(read: (tables: T) => R): R | undefined {
    if (this.#tables === undefined) return undefined;
    try {
      return read(this.#tables);
    } catch (error) {
      this.#refused(error);
      return undefined;
    }
  }

  /** Writes in one transaction; false when the file refuses or is not open. */
  write(change: (tables: T) => void): boolean {
    const tables = this.#tables;
    if (tables === undefined || this.#isCopy) return false;
    try {
      this.#transaction?.(() => change(tables));
    } catch (error) {
      this.#refused(error);
      return false;
    }
    if (this.#problem !== undefined) {
      this.#problem = undefined;
      clearInterval(this.#retrying);
      this.options.onWritten?.();
    }
    return true;
  }

  /**
   * Whether to attempt a write: always while there is no problem, else once a second, or `now`.
   * Opens the file if it is not open. A clock that was set back does not delay the next attempt.
   */
  isDue(now = false): boolean {
    if (this.#problem === undefined) return true;
    const ms = this.options.now().getTime();
    if (this.#isClosed || (!now && Math.abs(ms - this.#attemptedMs) < retryAfterMs)) return false;
    this.#attemptedMs = ms;
    if (this.#database !== undefined && !this.#isCopy) return true;
    try {
      this.#open();
      return true;
    } catch (error) {
      this.#refused(error);
      return false;
    }
  }

  /**
   * Closes the file for good. Never throws: a full disk can refuse the last checkpoint, but the log
   * keeps what was written.
   */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#retrying);
    this.#release();
  }

  #open(): void {
    const { file, content, makesFolder, now, onSetAside } = this.options;
    if (makesFolder) useStateFolder(path.dirname(file));
    const openOnce = () => {
      this.#use(openStateFile(file, content), false);
    };
    try {
      openOnce();
    } catch (error) {
      if (!isUnusable(error)) throw error;
      const aside = setAside(file, now());
      onSetAside(aside, errorMessage(error), this.#isLate);
      openOnce();
    }
  }

  #use(database: Database, isCopy: boolean): void {
    let tables: T;
    try {
      tables = this.options.prepare(database, this.#isLate && !isCopy);
    } catch (error) {
      database.close();
      // Tables or values are not as they were written.
      const isContent = error instanceof SyntaxError || sqliteCode(error) === 'SQLITE_ERROR';
      throw isContent ? new StateFileUnusableError(errorMessage(error), { cause: error }) : error;
    }
    this.#release();
    this.#database = database;
    this.#tables = tables;
    this.#transaction = database.transaction((change: () => void) => change());
    this.#isCopy = isCopy;
  }

  #release(): void {
    try {
      this.#database?.close();
    } catch {
      // Its log keeps the writes.
    }
    this.#database = undefined;
    this.#tables = undefined;
  }

  #refused(error: unknown): void {
    const { now, retry, onRefused, onProblem } = this.options;
    const before = this.#problem;
    const at = now();
    const reason = errorMessage(error);
    this.#problem = { reason, since: before?.since ?? at };
    this.#attemptedMs = at.getTime();
    if (isUnusable(error) && this.#database !== undefined) {
      // It was damaged while in use: the next attempt opens it again and renames it.
      this.#release();
      this.#attemptedMs = -Infinity;
    }
    if (before === undefined) this.#retrying = setInterval(retry, retryAfterMs).unref();
    onRefused?.(error, before);
    if (before?.reason !== reason) onProblem?.(reason);
  }
}
