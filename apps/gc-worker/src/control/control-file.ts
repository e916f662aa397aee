import path from 'node:path';
import { errorMessage } from '@stowage/errors';
import {
  openStateFileCopy,
  StateFileNewerError,
  StateValue,
  type Database,
  type StateFileContent,
  type ValueStatements,
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
  readonly pause?: Pause | undefined;
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

function prepare(database: Database): ValueStatements<Control> {
  const all = database.prepare<[], [string, string]>('SELECT name, value FROM entry').raw();
  const clear = database.prepare('DELETE FROM entry');
  const add = database.prepare<[string, string]>('INSERT INTO entry VALUES (?, ?)');
  return {
    read: () => ({
      ...nothing,
      ...(Object.fromEntries(
        all.all().map(([name, value]) => [name, JSON.parse(value) as unknown]),
      ) as Partial<Control>),
    }),
    replace: (control) => {
      clear.run();
      for (const [name, value] of Object.entries(control)) {
        if (value !== undefined) add.run(name, JSON.stringify(value));
      }
    },
  };
}

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
    const control = prepare(database).read();
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
  readonly #control: StateValue<Control>;

  constructor({ stateDir, now, log }: ControlFileOptions) {
    const file = fileIn(stateDir);
    this.#control = new StateValue<Control>({
      file,
      content,
      initial: nothing,
      now: () => new Date(now()),
      prepare,
      onSetAside: (setAsideAs, reason) =>
        log.warn({ path: file, setAsideAs, reason }, 'what operators asked could not be read'),
      onProblem: (reason) =>
        log.warn({ path: file, reason }, 'what operators ask is not written: kept in memory only'),
    });
  }

  get pause(): Pause | undefined {
    return this.#control.get().pause;
  }

  setPause(pause: Pause | undefined): void {
    this.#set({ pause });
  }

  /** Holds of images, also those whose time is over. */
  get holds(): readonly Hold[] {
    return this.#control.get().holds;
  }

  setHolds(holds: readonly Hold[]): void {
    this.#set({ holds });
  }

  /** Plans of collections in shadow, the oldest first. */
  get shadowPlans(): readonly ShadowPlan[] {
    return this.#control.get().shadowPlans;
  }

  setShadowPlans(shadowPlans: readonly ShadowPlan[]): void {
    this.#set({ shadowPlans });
  }

  /** When the image records began; undefined when that is not known. */
  get recordsBegan(): number | undefined {
    return this.#control.get().recordsBegan;
  }

  setRecordsBegan(recordsBegan: number): void {
    this.#set({ recordsBegan });
  }

  /** Never throws. */
  close(): void {
    this.#control.close();
  }

  #set(change: Partial<Control>): void {
    this.#control.set({ ...this.#control.get(), ...change });
  }
}
