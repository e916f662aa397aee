import type { Database } from 'better-sqlite3';
import { StateFileNewerError } from './errors';
import { StateFile, type StateFileOptions } from './state-file';

/** What a {@link StateValue} reads and writes with. */
export interface ValueStatements<V> {
  read(): V;
  /** Runs in a transaction. */
  replace(value: V): void;
}

export interface StateValueOptions<V> extends Pick<
  StateFileOptions<unknown>,
  'file' | 'content' | 'now' | 'onSetAside' | 'onProblem'
> {
  /** The value where the file has none. */
  readonly initial: V;
  /** Called for each opening; see {@link StateFileOptions.prepare}. */
  readonly prepare: (database: Database) => ValueStatements<V>;
}

/**
 * A small value over restarts, in a {@link StateFile} whose folder is made when it is missing. It
 * is kept in memory and written as a whole; what the file refuses is written once it takes writes
 * again.
 */
export class StateValue<V> {
  readonly #file: StateFile<ValueStatements<V>>;
  #value: V;

  /**
   * Throws what {@link StateFile.open} throws. A file that cannot be opened for writing (read-only,
   * no inodes) is read all the same: what is written later would else take the place of its value.
   */
  constructor({ initial, prepare, ...options }: StateValueOptions<V>) {
    this.#value = initial;
    this.#file = new StateFile({
      ...options,
      makesFolder: true,
      prepare: (database, isLate) => {
        const statements = prepare(database);
        if (!isLate) this.#value = statements.read();
        return statements;
      },
      retry: () => {
        if (this.#file.problem !== undefined && this.#file.isDue(true)) this.#write();
      },
    });
    if (!this.#file.open()) this.#readCopy();
  }

  get(): V {
    return this.#value;
  }

  set(value: V): void {
    this.#value = value;
    this.#write();
  }

  /** Never throws. */
  close(): void {
    this.#file.close();
  }

  #readCopy(): void {
    try {
      this.#file.openCopy();
    } catch (error) {
      // Of a file that cannot be read either there is the initial value.
      if (error instanceof StateFileNewerError) throw error;
    }
  }

  #write(): void {
    this.#file.write((statements) => statements.replace(this.#value));
  }
}
