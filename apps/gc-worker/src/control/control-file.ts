import path from 'node:path';
import { errorMessage } from '@stowage/errors';
import {
  openStateFileCopy,
  StateFile,
  StateFileNewerError,
  type Database,
  type StateFileContent,
} from '@stowage/sqlite';

const content: StateFileContent = {
  lost: 'a pause of collections and holds of images, which then end, and the plans of collections in shadow',
  steps: ['CREATE TABLE entry (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;'],
};

/** A pause of collections. Milliseconds since the epoch. */
export interface Pause {
  readonly since: number;
  readonly until: number;
  /** Why, in the words of who asked. */
  readonly reason: string;
}

/** A hold of an image by the command `hold`. Milliseconds since the epoch. */
export interface Hold {
  readonly imageId: string;
  /** What it was called by who asked, without a login. */
  readonly image: string;
  readonly since: number;
  readonly until: number;
  /** Why, in the words of who asked. */
  readonly reason: string;
}

/** A plan of a collection in shadow: its id, and what was asked for, if anything. */
export interface ShadowPlan {
  readonly planId: string;
  readonly bytes?: number;
  readonly assumedAgeMs?: number;
}

/** What is kept for operators over restarts. */
interface Control {
  readonly pause?: Pause;
  readonly holds: readonly Hold[];
  /** Oldest first. */
  readonly shadowPlans: readonly ShadowPlan[];
  /**
   * Time of the first detection of the image records, milliseconds since the epoch: what was there
   * then may be older. Absent when it is not known.
   */
  readonly recordsBegan?: number;
}

const nothing: Control = { holds: [], shadowPlans: [] };

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

const controlOf = ({ read }: Statements): Control => ({
  ...nothing,
  ...(Object.fromEntries(
    read.all().map(({ name, value }) => [name, JSON.parse(value) as unknown]),
  ) as Partial<Control>),
});

const fileIn = (stateDir: string): string => path.join(stateDir, 'control.db');

/**
 * Reads what a worker with this state directory keeps, and writes nothing. What cannot be read is
 * nothing, and logged. Throws StateFileNewerError.
 */
export function readControl({
  stateDir,
  log,
}: Pick<ControlFileOptions, 'stateDir' | 'log'>): Control {
  const file = fileIn(stateDir);
  try {
    const database = openStateFileCopy(file, content);
    if (database === undefined) return nothing;
    const control = controlOf(prepare(database));
    database.close();
    return control;
  } catch (error) {
    if (error instanceof StateFileNewerError) throw error;
    const reason = errorMessage(error);
    log.warn({ path: file, reason }, 'what operators asked could not be read');
    return nothing;
  }
}

/**
 * What operators have asked of this worker, over restarts. While the file cannot be written it is
 * kept in memory, and written once that works again.
 */
export class ControlFile {
  readonly #file: StateFile<Statements>;
  #control = nothing;

  constructor({ stateDir, now, log }: ControlFileOptions) {
    const file = fileIn(stateDir);
    this.#file = new StateFile({
      file,
      content,
      makesFolder: true,
      now: () => new Date(now()),
      prepare: (database, isLate) => {
        const statements = prepare(database);
        if (!isLate) this.#control = controlOf(statements);
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
    return this.#control.pause;
  }

  setPause(pause: Pause | undefined): void {
    this.#set({ pause });
  }

  /** Holds of images, also those whose time is over. */
  get holds(): readonly Hold[] {
    return this.#control.holds;
  }

  setHolds(holds: readonly Hold[]): void {
    this.#set({ holds });
  }

  /** Plans of collections in shadow, the oldest first. */
  get shadowPlans(): readonly ShadowPlan[] {
    return this.#control.shadowPlans;
  }

  setShadowPlans(shadowPlans: readonly ShadowPlan[]): void {
    this.#set({ shadowPlans });
  }

  /** When the image records began; undefined when that is not known. */
  get recordsBegan(): number | undefined {
    return this.#control.recordsBegan;
  }

  setRecordsBegan(recordsBegan: number): void {
    this.#set({ recordsBegan });
  }

  /** Never throws. */
  close(): void {
    this.#file.close();
  }

  #set(change: Partial<Control>): void {
    this.#control = { ...this.#control, ...change };
    this.#write();
  }

  #write(): void {
    this.#file.write(({ clear, add }) => {
      clear.run();
      for (const [name, value] of Object.entries(this.#control)) {
        if (value !== undefined) add.run(name, JSON.stringify(value));
      }
    });
  }
}
