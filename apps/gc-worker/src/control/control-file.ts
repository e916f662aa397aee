import path from 'node:path';
import { errorMessage } from '@stowage/errors';
import { StateFile, type Database, type StateFileContent } from '@stowage/sqlite';

const content: StateFileContent = {
  lost: 'a pause of collections, which then ends, and the plans of collections in shadow',
  steps: ['CREATE TABLE entry (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;'],
};

/** A pause of collections. Milliseconds since the epoch. */
export interface Pause {
  readonly since: number;
  readonly until: number;
  /** Why, in the words of who asked. */
  readonly reason: string;
}

/** A plan of a collection in shadow: its id, and the bytes that were asked for, if any. */
export interface ShadowPlan {
  readonly planId: string;
  readonly bytes?: number;
}

export interface ControlFileOptions {
  /** Folder of the file `control.db`; made when it is missing. */
  readonly stateDir: string;
  readonly now: () => number;
  readonly log: { warn(fields: object, message: string): void };
}

const prepare = (database: Database) => ({
  read: database.prepare<[], { name: string; value: string }>('SELECT name, value FROM entry'),
  clear: database.prepare('DELETE FROM entry'),
  add: database.prepare<[string, string]>('INSERT INTO entry VALUES (?, ?)'),
});

type Statements = ReturnType<typeof prepare>;

/**
 * What operators have asked of this worker, over restarts. While the file cannot be written it is
 * kept in memory, and written once that works again.
 */
export class ControlFile {
  readonly #file: StateFile<Statements>;
  #pause: Pause | undefined;
  #shadowPlans: readonly ShadowPlan[] = [];

  constructor({ stateDir, now, log }: ControlFileOptions) {
    const file = path.join(stateDir, 'control.db');
    this.#file = new StateFile({
      file,
      content,
      makesFolder: true,
      now: () => new Date(now()),
      prepare: (database, isLate) => {
        const statements = prepare(database);
        if (!isLate) this.#load(statements);
        return statements;
      },
      onSetAside: (setAsideAs, reason) =>
        log.warn({ path: file, setAsideAs, reason }, 'what operators asked could not be read'),
      onRefused: (error, before) => {
        const reason = errorMessage(error);
        if (before?.reason === reason) return;
        log.warn({ path: file, reason }, 'what operators ask is not written: kept in memory only');
      },
      retry: () => {
        if (this.#file.problem !== undefined && this.#file.isDue(true)) this.#write();
      },
    });
    this.#file.open();
  }

  get pause(): Pause | undefined {
    return this.#pause;
  }

  setPause(pause: Pause | undefined): void {
    this.#pause = pause;
    this.#write();
  }

  /** Plans of collections in shadow, the oldest first. */
  get shadowPlans(): readonly ShadowPlan[] {
    return this.#shadowPlans;
  }

  setShadowPlans(plans: readonly ShadowPlan[]): void {
    this.#shadowPlans = plans;
    this.#write();
  }

  /** Never throws. */
  close(): void {
    this.#file.close();
  }

  #load({ read }: Statements): void {
    const entries = new Map(read.all().map(({ name, value }) => [name, JSON.parse(value)]));
    this.#pause = entries.get('pause') as Pause | undefined;
    this.#shadowPlans = (entries.get('shadowPlans') ?? []) as ShadowPlan[];
  }

  #write(): void {
    const entries = { pause: this.#pause, shadowPlans: this.#shadowPlans };
    this.#file.write(({ clear, add }) => {
      clear.run();
      for (const [name, value] of Object.entries(entries)) {
        if (value !== undefined) add.run(name, JSON.stringify(value));
      }
    });
  }
}
