import path from 'node:path';
import { StateValue, type StateFileContent } from '@stowage/sqlite';

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

interface Control {
  readonly pause?: Pause | undefined;
  readonly shadowPlans?: readonly ShadowPlan[];
}

/**
 * What operators have asked of this worker, over restarts. While the file cannot be written it is
 * kept in memory, and written once that works again.
 */
export class ControlFile {
  readonly #control: StateValue<Control>;

  constructor({ stateDir, now, log }: ControlFileOptions) {
    const file = path.join(stateDir, 'control.db');
    this.#control = new StateValue<Control>({
      file,
      content,
      initial: {},
      now: () => new Date(now()),
      prepare: (database) => {
        const all = database.prepare<[], [string, string]>('SELECT name, value FROM entry').raw();
        const clear = database.prepare('DELETE FROM entry');
        const add = database.prepare<[string, string]>('INSERT INTO entry VALUES (?, ?)');
        return {
          read: () =>
            Object.fromEntries(all.all().map(([name, value]) => [name, JSON.parse(value)])),
          replace: (control) => {
            clear.run();
            for (const [name, value] of Object.entries(control)) {
              if (value !== undefined) add.run(name, JSON.stringify(value));
            }
          },
        };
      },
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
    this.#control.set({ ...this.#control.get(), pause });
  }

  /** Plans of collections in shadow, the oldest first. */
  get shadowPlans(): readonly ShadowPlan[] {
    return this.#control.get().shadowPlans ?? [];
  }

  setShadowPlans(shadowPlans: readonly ShadowPlan[]): void {
    this.#control.set({ ...this.#control.get(), shadowPlans });
  }

  /** Never throws. */
  close(): void {
    this.#control.close();
  }
}
