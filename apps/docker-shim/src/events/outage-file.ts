import { StateValue, type StateFileContent } from '@stowage/sqlite';
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

/**
 * When the outage of the engine began that was published and has not ended, over restarts;
 * milliseconds since the epoch, undefined when there is none.
 */
export type OutageFile = StateValue<number | undefined>;

export function openOutageFile({ stateDir, now, log }: OutageFileOptions): OutageFile {
  const file = path.join(stateDir, 'engine.db');
  return new StateValue<number | undefined>({
    file,
    content,
    initial: undefined,
    now: () => new Date(now()),
    prepare: (database) => {
      const read = database.prepare<[], number>('SELECT since_ms FROM outage').pluck();
      const clear = database.prepare('DELETE FROM outage');
      const add = database.prepare<[number]>('INSERT INTO outage VALUES (?)');
      return {
        read: () => read.get(),
        replace: (sinceMs) => {
          clear.run();
          if (sinceMs !== undefined) add.run(sinceMs);
        },
      };
    },
    onSetAside: (aside, reason) =>
      log.warn({ path: file, aside, reason }, 'the state of the engine could not be read'),
    onProblem: (reason) =>
      log.warn({ path: file, reason }, 'the state of the engine is not written'),
  });
}
