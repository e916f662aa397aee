import { errorMessage } from '@stowage/errors';
import { isUnusable, openStateFile, setAside, StateFileKindError } from '@stowage/sqlite';
import type { Database, StateFileContent } from '@stowage/sqlite';
import path from 'node:path';
import type { Pull, PullAnswer } from './pull-image';

/** A pull that an earlier run of the service began and whose end it did not tell. */
export interface UnfinishedPull {
  readonly pull: Pull;
  readonly startedAt: Date;
  /** What the runtime answered; absent when the service ended before. */
  readonly answer?: PullAnswer;
}

/** Notes how far each pull is, so that a service that was killed can tell the end of its pulls when it is back. */
export interface PullJournal {
  /** Before the start of the pull is told. */
  began(pull: Pull): void;
  /** Before the caller is answered. */
  answered(pull: Pull, answer: PullAnswer): void;
  /** Runs `tell`, which publishes the end of the pull, and forgets the pull: together that happens once. */
  end(pull: Pull, tell: () => void): void;
}

/** Keeps nothing: a pull that a kill cut short has no end. */
export const noPullJournal: PullJournal = {
  began: () => undefined,
  answered: () => undefined,
  end: (_pull, tell) => tell(),
};

/** What a journal is opened with. */
export interface PullJournalSettings {
  /** Folder of the file; there already, and used by this process alone. */
  readonly stateDir: string;
  /** Sequence of the next event: an end that was told has used it up. */
  readonly nextSequence: () => number;
  /** Hears that the file cannot be used or had to be begun anew, and why. */
  readonly problem: (error: unknown) => void;
  readonly now?: () => Date;
}

/** A journal with what an earlier run left in it. */
export interface OpenPullJournal extends PullJournal {
  readonly unfinished: readonly UnfinishedPull[];
  close(): void;
}

interface Row {
  readonly id: string;
  readonly started_ms: number;
  readonly pull: string;
  readonly answer: string | null;
  readonly sequence: number | null;
}

const content: StateFileContent = {
  version: 1,
  schema: `
    CREATE TABLE pull (
      id TEXT PRIMARY KEY,
      started_ms INTEGER NOT NULL,
      pull TEXT NOT NULL,
      answer TEXT,
      -- Of the event that tells the end, noted before it is published.
      sequence INTEGER
    ) WITHOUT ROWID;
  `,
};

/**
 * Opens the journal in `stateDir`; call it before anything is published. Throws StateFileKindError for what is no regular file, and
 * nothing else: with a disk that takes no writes pulls go on, and only those that a kill cuts short have no end.
 */
export function openPullJournal(settings: PullJournalSettings): OpenPullJournal {
  const { nextSequence, problem, now = () => new Date() } = settings;
  const file = path.join(settings.stateDir, 'pulls.db');
  let db: Database | undefined;
  let hasTold = false;
  const quietly = <T>(work: (db: Database) => T): T | undefined => {
    try {
      return db === undefined ? undefined : work(db);
    } catch (error) {
      if (!hasTold) problem(error);
      hasTold = true;
      return undefined;
    }
  };
  try {
    db = openFile(file, settings);
  } catch (error) {
    if (error instanceof StateFileKindError) throw error;
    problem(new Error(`${file} is not kept: ${errorMessage(error)}`, { cause: error }));
  }
  const unfinished = quietly((open) => readUnfinished(open, nextSequence())) ?? [];
  const statements = quietly((open) => ({
    begin: open.prepare('INSERT INTO pull (id, started_ms, pull) VALUES (?, ?, ?)'),
    answer: open.prepare('UPDATE pull SET answer = ? WHERE id = ?'),
    tell: open.prepare('UPDATE pull SET sequence = ? WHERE id = ?'),
    forget: open.prepare('DELETE FROM pull WHERE id = ?'),
  }));
  const kept = new Set(unfinished.map(({ pull }) => pull.id));
  return {
    unfinished,
    began: (pull) => {
      quietly(() => {
        statements?.begin.run(pull.id, now().getTime(), JSON.stringify(pull));
        kept.add(pull.id);
      });
    },
    answered: ({ id }, answer) => {
      if (!kept.has(id)) return;
      quietly(() => statements?.answer.run(JSON.stringify(answer, withoutOwner), id));
    },
    end: ({ id }, tell) => {
      if (!kept.delete(id)) {
        tell();
        return;
      }
      quietly(() => statements?.tell.run(nextSequence(), id));
      tell();
      quietly(() => statements?.forget.run(id));
    },
    close: () => {
      quietly((open) => open.close());
      db = undefined;
    },
  };
}

/** Opens the file; one that cannot be used is set aside and begun anew. */
function openFile(
  file: string,
  { problem, now = () => new Date() }: PullJournalSettings,
): Database {
  try {
    return openStateFile(file, content);
  } catch (error) {
    if (!isUnusable(error)) throw error;
    const aside = setAside(file, now());
    problem(
      new Error(`${file} is begun anew, the old one is ${aside}: ${errorMessage(error)}`, {
        cause: error,
      }),
    );
    return openStateFile(file, content);
  }
}

/** The pulls whose end was not told; the others, of which only the forgetting was missing, are forgotten. */
function readUnfinished(db: Database, nextSequence: number): UnfinishedPull[] {
  db.prepare('DELETE FROM pull WHERE sequence < ?').run(nextSequence);
  // Other events of this run use that sequence up before these pulls have been told.
  db.exec('UPDATE pull SET sequence = NULL');
  return db
    .prepare<[], Row>('SELECT * FROM pull ORDER BY started_ms, id')
    .all()
    .map(({ pull, answer, started_ms }) => ({
      pull: JSON.parse(pull, revived) as Pull,
      startedAt: new Date(started_ms),
      ...(answer != null && { answer: JSON.parse(answer, revived) as PullAnswer }),
    }));
}

/** Whose a credential is matters to pull records alone, which keep that themselves. */
const withoutOwner = (key: string, value: unknown): unknown =>
  key === 'owner' ? undefined : value;

const revived = (key: string, value: unknown): unknown =>
  ['holdUntil', 'endedAt'].includes(key) ? new Date(value as string) : value;
