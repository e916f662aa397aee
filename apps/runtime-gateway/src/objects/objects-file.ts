import path from 'node:path';
import { errorMessage } from '@stowage/errors';
import {
  isUnusable,
  makeStateFolder,
  openStateFile,
  setAside,
  sqliteCode,
  StateFileKindError,
} from '@stowage/sqlite';
import type { Database, StateFileContent } from '@stowage/sqlite';
import type { ObjectKind, ObjectStore } from './known-objects';
import type { KnownContainer, KnownSandbox } from './types';

const content: StateFileContent = {
  lost: 'what changed while the gateway was not running',
  steps: [
    `
  CREATE TABLE object (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (kind, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE moment (name TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;
`,
  ],
};

/** While writing fails it is tried again this often, milliseconds. */
const retryAfterMs = 1000;

/** Moments that outlive the process, in milliseconds since the epoch. */
export type MomentName = 'observing-since' | 'unavailable-since';

export interface ObjectsFileOptions {
  /** Folder of the file `objects.db`; made when it is missing. */
  readonly stateDir: string;
  readonly now: () => number;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  /** Called at the start and when it changes: why nothing is written, undefined when it is. */
  readonly onStatus?: (problem: string | undefined) => void;
}

/** What an earlier run knew. */
export interface RememberedObjects {
  readonly sandboxes: readonly KnownSandbox[];
  readonly containers: readonly KnownContainer[];
}

type Write = (database: Database) => void;

/**
 * Known objects over restarts, in SQLite. Each change is written in the call that makes it, so that a killed process
 * repeats nothing. While the file cannot be written (disk full, read-only) changes wait in memory and are written once that
 * works again; a damaged file is set aside and a new one begun.
 */
export class ObjectsFile implements ObjectStore {
  readonly remembered: RememberedObjects;
  readonly #moments = new Map<MomentName, number>();
  readonly #unwritten = new Map<string, Write>();
  #database: Database | undefined;
  #problem: string | undefined;
  #retrying: NodeJS.Timeout | undefined;
  #isClosed = false;

  /**
   * Throws StateFileKindError for what is no regular file. Never throws for trouble with the file: that is told through
   * `onStatus`.
   */
  constructor(private readonly options: ObjectsFileOptions) {
    let remembered: RememberedObjects = { sandboxes: [], containers: [] };
    try {
      remembered = this.#read(this.#open());
      this.options.onStatus?.(undefined);
    } catch (error) {
      if (error instanceof StateFileKindError) throw error;
      this.#failed(error);
    }
    this.remembered = remembered;
  }

  put(kind: ObjectKind, object: KnownSandbox | KnownContainer): void {
    const record = JSON.stringify(object);
    this.#write(`${kind} ${object.id}`, (database) => {
      database
        .prepare('INSERT OR REPLACE INTO object VALUES (?, ?, ?)')
        .run(kind, object.id, record);
    });
  }

  drop(kind: ObjectKind, ids: readonly string[]): void {
    for (const id of ids) {
      // Without a file there is nothing to delete: one that is opened late is emptied first.
      if (this.#database === undefined) {
        this.#unwritten.delete(`${kind} ${id}`);
        continue;
      }
      this.#write(`${kind} ${id}`, (database) => {
        database.prepare('DELETE FROM object WHERE kind = ? AND id = ?').run(kind, id);
      });
    }
  }

  moment(name: MomentName): number | undefined {
    return this.#moments.get(name);
  }

  setMoment(name: MomentName, atMs: number | undefined): void {
    if (atMs === undefined) this.#moments.delete(name);
    else this.#moments.set(name, atMs);
    this.#write(`moment ${name}`, (database) => {
      if (atMs === undefined) database.prepare('DELETE FROM moment WHERE name = ?').run(name);
      else database.prepare('INSERT OR REPLACE INTO moment VALUES (?, ?)').run(name, atMs);
    });
  }

  /** Never throws. */
  close(): void {
    this.#retry();
    this.#isClosed = true;
    clearTimeout(this.#retrying);
    try {
      this.#database?.close();
    } catch {
      // A full disk can refuse the last checkpoint; the WAL keeps the commits.
    }
    this.#database = undefined;
  }

  get #path(): string {
    return path.join(this.options.stateDir, 'objects.db');
  }

  /** The file, made or set aside and made anew where needed. */
  #open(): Database {
    makeStateFolder(this.options.stateDir);
    try {
      this.#database = openStateFile(this.#path, content);
      // Content that cannot be read is damage too.
      this.#read(this.#database);
    } catch (error) {
      this.#database?.close();
      this.#database = undefined;
      if (!isDamage(error)) throw error;
      const aside = setAside(this.#path, new Date(this.options.now()));
      this.options.log.warn(
        { path: this.#path, aside, reason: errorMessage(error) },
        'known objects could not be read: begun anew from what the runtime lists',
      );
      this.#database = openStateFile(this.#path, content);
    }
    return this.#database;
  }

  #read(database: Database): RememberedObjects {
    const records = <T>(kind: ObjectKind) =>
      database
        .prepare<[string], { record: string }>('SELECT record FROM object WHERE kind = ?')
        .all(kind)
        .map(({ record }) => JSON.parse(record) as T);
    for (const { name, at_ms } of database
      .prepare<[], { name: MomentName; at_ms: number }>('SELECT * FROM moment')
      .all()) {
      if (!this.#moments.has(name)) this.#moments.set(name, at_ms);
    }
    return { sandboxes: records('sandbox'), containers: records('container') };
  }

  #write(key: string, write: Write): void {
    if (this.#database !== undefined && this.#unwritten.size === 0) {
      try {
        write(this.#database);
        return;
      } catch (error) {
        this.#failed(error);
      }
    }
    // Written with the next attempt, which the failure before it has ordered.
    this.#unwritten.set(key, write);
  }

  /** Writes what waits, when there is something or there was trouble. Never throws. */
  #retry(): void {
    if (this.#isClosed || (this.#unwritten.size === 0 && this.#problem === undefined)) return;
    try {
      const openedLate = this.#database === undefined;
      const database = this.#database ?? this.#open();
      database.transaction(() => {
        // Everything known was learnt since the start, and waits here.
        if (openedLate) database.exec('DELETE FROM object; DELETE FROM moment');
        for (const write of this.#unwritten.values()) write(database);
      })();
      this.#unwritten.clear();
      if (this.#problem === undefined) return;
      this.#problem = undefined;
      this.options.log.info({ path: this.#path }, 'known objects are written again');
      this.options.onStatus?.(undefined);
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    clearTimeout(this.#retrying);
    this.#retrying = setTimeout(() => this.#retry(), retryAfterMs).unref();
    const problem = `${this.#path}: ${errorMessage(error)}`;
    if (this.#problem === problem) return;
    this.#problem = problem;
    this.options.log.warn(
      { path: this.#path, reason: errorMessage(error) },
      'known objects are not written',
    );
    this.options.onStatus?.(problem);
  }
}

/** True when the content is at fault: a damaged file, no database, or not as written by this program. */
function isDamage(error: unknown): boolean {
  return isUnusable(error) || error instanceof SyntaxError || sqliteCode(error) === 'SQLITE_ERROR';
}
