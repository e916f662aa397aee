import { errorMessage } from '@stowage/errors';
import { StateFile, type Database, type StateFileContent } from '@stowage/sqlite';
import path from 'node:path';

const content: StateFileContent = {
  lost: 'that an outage of the engine was published',
  steps: ['CREATE TABLE outage (since_ms INTEGER NOT NULL) STRICT;'],
};

export interface OutageFileOptions {
  /** Folder of the file `engine.db`; made when it is missing. */
  readonly stateDir: string;
  readonly now: () => number;
  readonly log: { warn(fields: object, message: string): void };
}

const prepare = (database: Database) => ({
  read: database.prepare<[], number>('SELECT since_ms FROM outage').pluck(),
  clear: database.prepare('DELETE FROM outage'),
  add: database.prepare<[number]>('INSERT INTO outage VALUES (?)'),
});

type Statements = ReturnType<typeof prepare>;

/**
 * The outage of the engine that was published and has not ended, over restarts. While the file
 * cannot be written it is kept in memory, and written once that works again.
 */
export class OutageFile {
  readonly #file: StateFile<Statements>;
  #sinceMs: number | undefined;

  constructor({ stateDir, now, log }: OutageFileOptions) {
    const file = path.join(stateDir, 'engine.db');
    this.#file = new StateFile({
      file,
      content,
      makesFolder: true,
      now: () => new Date(now()),
      prepare: (database, isLate) => {
        const statements = prepare(database);
        if (!isLate) this.#sinceMs = statements.read.get();
        return statements;
      },
      onSetAside: (aside, reason) =>
        log.warn({ path: file, aside, reason }, 'the state of the engine could not be read'),
      onRefused: (error, before) => {
        const reason = errorMessage(error);
        if (before?.reason === reason) return;
        log.warn({ path: file, reason }, 'the state of the engine is not written');
      },
      retry: () => {
        if (this.#file.problem !== undefined && this.#file.isDue(true)) this.#write();
      },
    });
    this.#file.open();
  }

  /** When the outage began, milliseconds since the epoch; undefined when there is none. */
  get(): number | undefined {
    return this.#sinceMs;
  }

  set(sinceMs: number | undefined): void {
    this.#sinceMs = sinceMs;
    this.#write();
  }

  /** Never throws. */
  close(): void {
    this.#file.close();
  }

  #write(): void {
    const sinceMs = this.#sinceMs;
    this.#file.write(({ clear, add }) => {
      clear.run();
      if (sinceMs !== undefined) add.run(sinceMs);
    });
  }
}
