import path from 'node:path';
import { checkSchema, StateFile, type Database, type StateFileContent } from '@stowage/sqlite';
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

/** Timestamps that outlive the process, in milliseconds since the epoch. */
export type TimestampName = 'observing-since' | 'unavailable-since';

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

type Statements = ReturnType<typeof prepare>;
type Write = (statements: Statements) => void;

const prepare = (database: Database) => ({
  put: database.prepare('INSERT OR REPLACE INTO object VALUES (?, ?, ?)'),
  drop: database.prepare('DELETE FROM object WHERE kind = ? AND id = ?'),
  read: database.prepare<[string], string>('SELECT record FROM object WHERE kind = ?').pluck(),
  setTimestamp: database.prepare('INSERT OR REPLACE INTO moment VALUES (?, ?)'),
  dropTimestamp: database.prepare('DELETE FROM moment WHERE name = ?'),
  timestamps: database.prepare<[], [TimestampName, number]>('SELECT name, at_ms FROM moment').raw(),
  empty: [database.prepare('DELETE FROM object'), database.prepare('DELETE FROM moment')],
});

const fileOf = (stateDir: string): string => path.join(stateDir, 'objects.db');

/**
 * Throws StateFileNewerError for a file that {@link ObjectsFile} would refuse, also while another
 * process has it.
 */
export function checkObjectsFile(stateDir: string): void {
  checkSchema(fileOf(stateDir), content);
}

/**
 * Known objects over restarts, in SQLite. Each change is written in the call that makes it, so that
 * a killed process repeats nothing. While the file cannot be written (disk full, read-only) changes
 * wait in memory and are written once that works again; a damaged file is set aside and a new one
 * begun.
 */
export class ObjectsFile implements ObjectStore {
  readonly #file: StateFile<Statements>;
  #remembered: RememberedObjects = { sandboxes: [], containers: [] };
  #timestamps = new Map<TimestampName, number>();
  readonly #unwritten = new Map<string, Write>();
  /**
   * Nothing was read from the file: everything known was learnt since the start, and waits here.
   */
  #isUnread = true;

  /**
   * Throws StateFileKindError for what is no regular file and StateFileNewerError for a file of a
   * newer release. Never throws for trouble with the file: that is reported through `onStatus`.
   */
  constructor({ stateDir, now, log, onStatus }: ObjectsFileOptions) {
    const file = fileOf(stateDir);
    this.#file = new StateFile({
      file,
      content,
      makesFolder: true,
      now: () => new Date(now()),
      prepare: (database, isLate) => {
        const statements = prepare(database);
        if (!isLate) this.#read(statements);
        return statements;
      },
      onSetAside: (aside, reason) => {
        const message =
          'known objects could not be read: starting again from what the runtime lists';
        log.warn({ path: file, aside, reason }, message);
      },
      onProblem: (reason) => {
        log.warn({ path: file, reason }, 'known objects are not written');
        onStatus?.(`${file}: ${reason}`);
      },
      onWritten: () => {
        log.info({ path: file }, 'known objects are written again');
        onStatus?.(undefined);
      },
      retry: () => this.#retry(),
    });
    if (this.#file.open()) onStatus?.(undefined);
  }

  get remembered(): RememberedObjects {
    return this.#remembered;
  }

  put(kind: ObjectKind, object: KnownSandbox | KnownContainer): void {
    const record = JSON.stringify(object);
    this.#write(`${kind} ${object.id}`, ({ put }) => put.run(kind, object.id, record));
  }

  drop(kind: ObjectKind, ids: readonly string[]): void {
    for (const id of ids) {
      // Without a file there is nothing to delete: one that is opened late is emptied first.
      if (this.#isUnread) this.#unwritten.delete(`${kind} ${id}`);
      else this.#write(`${kind} ${id}`, ({ drop }) => drop.run(kind, id));
    }
  }

  timestamp(name: TimestampName): number | undefined {
    return this.#timestamps.get(name);
  }

  setTimestamp(name: TimestampName, atMs: number | undefined): void {
    if (atMs === undefined) this.#timestamps.delete(name);
    else this.#timestamps.set(name, atMs);
    this.#write(`moment ${name}`, ({ setTimestamp, dropTimestamp }) =>
      atMs === undefined ? dropTimestamp.run(name) : setTimestamp.run(name, atMs),
    );
  }

  /** Never throws. */
  close(): void {
    this.#retry();
    this.#file.close();
  }

  #read({ read, timestamps }: Statements): void {
    const records = <T>(kind: ObjectKind) => read.all(kind).map((text) => JSON.parse(text) as T);
    this.#remembered = { sandboxes: records('sandbox'), containers: records('container') };
    this.#timestamps = new Map(timestamps.all());
    this.#isUnread = false;
  }

  #write(key: string, write: Write): void {
    if (this.#unwritten.size > 0 || !this.#file.write(write)) this.#unwritten.set(key, write);
  }

  /** Writes what waits, when there is something or there was trouble. */
  #retry(): void {
    if (this.#file.problem === undefined || !this.#file.isDue(true)) return;
    const isWritten = this.#file.write((statements) => {
      if (this.#isUnread) for (const empty of statements.empty) empty.run();
      for (const write of this.#unwritten.values()) write(statements);
    });
    if (!isWritten) return;
    this.#unwritten.clear();
    this.#isUnread = false;
  }
}
