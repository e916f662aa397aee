import { errorMessage } from '@stowage/errors';
import { StateFile, type Database, type StateFileContent } from '@stowage/sqlite';
import path from 'node:path';
import type { LogPosition } from './find-resumption';

const content: StateFileContent = {
  lost: 'how far the logs of containers are copied; that is found out from the logs',
  steps: [
    `
    CREATE TABLE log_position (
      container_id TEXT PRIMARY KEY,
      -- LogPosition as JSON.
      position TEXT NOT NULL
    ) WITHOUT ROWID;
  `,
  ],
};

export interface LogPositionsOptions {
  readonly stateDir: string;
  /** The file cannot be written for now, or a damaged one was renamed. Copying goes on. */
  readonly problem: (message: string) => void;
  readonly now?: () => Date;
}

/**
 * How far the log of each container is copied, in `<stateDir>/logs.db`. What cannot be written is
 * kept in memory and tried again each second.
 */
export class LogPositions {
  readonly #file: StateFile<Statements>;
  readonly #positions = new Map<string, LogPosition>();
  /** Ids whose position on disk is another one. */
  readonly #unwritten = new Set<string>();

  /**
   * Throws StateFileKindError for what is no regular file, and StateFileNewerError for a file of a
   * newer release.
   */
  constructor({ stateDir, problem, now = () => new Date() }: LogPositionsOptions) {
    const file = path.join(stateDir, 'logs.db');
    this.#file = new StateFile({
      file,
      content,
      makesFolder: true,
      now,
      prepare: (database, isLate) => {
        const statements = prepare(database);
        if (isLate) for (const id of this.#positions.keys()) this.#unwritten.add(id);
        for (const { container_id, position } of statements.all.all()) {
          if (!this.#positions.has(container_id) && !this.#unwritten.has(container_id)) {
            this.#positions.set(container_id, JSON.parse(position) as LogPosition);
          }
        }
        return statements;
      },
      onSetAside: (aside, reason) =>
        problem(`${file} is recreated, the old one is ${aside}: ${reason}`),
      onRefused: (error, before) => {
        if (before === undefined) problem(`${file} is not written: ${errorMessage(error)}`);
      },
      retry: () => this.#write(true),
    });
    this.#file.open();
  }

  get(id: string): LogPosition | undefined {
    return this.#positions.get(id);
  }

  put(positions: readonly (readonly [string, LogPosition])[]): void {
    for (const [id, position] of positions) {
      this.#positions.set(id, position);
      this.#unwritten.add(id);
    }
    this.#write();
  }

  remove(id: string): void {
    if (!this.#positions.delete(id)) return;
    this.#unwritten.add(id);
    this.#write();
  }

  /** Removes all but those of these containers. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const id of [...this.#positions.keys()]) if (!ids.has(id)) this.remove(id);
  }

  close(): void {
    this.#write();
    this.#file.close();
  }

  #write(now = false): void {
    if (!this.#file.isDue(now)) return;
    const isWritten = this.#file.write(({ put, remove }) => {
      for (const id of this.#unwritten) {
        const position = this.#positions.get(id);
        if (position === undefined) remove.run(id);
        else put.run(id, JSON.stringify(position));
      }
    });
    if (isWritten) this.#unwritten.clear();
  }
}

type Statements = ReturnType<typeof prepare>;

const prepare = (database: Database) => ({
  all: database.prepare<[], { container_id: string; position: string }>(
    'SELECT * FROM log_position',
  ),
  put: database.prepare<[string, string]>('INSERT OR REPLACE INTO log_position VALUES (?, ?)'),
  remove: database.prepare<[string]>('DELETE FROM log_position WHERE container_id = ?'),
});
