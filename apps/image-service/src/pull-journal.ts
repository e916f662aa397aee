import { randomUUID } from 'node:crypto';
import { errorMessage } from '@stowage/errors';
import { isLocked, isUnusable, openStateFile, setAside, StateFileKindError } from '@stowage/sqlite';
import type { Database, StateFileContent } from '@stowage/sqlite';
import { readdirSync, rmSync } from 'node:fs';
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
  /**
   * Gives the file up to an instance that takes over. The pulls of this process go on in a file of its own, which is locked as
   * long as the process lives.
   */
  handOver(): void;
  /** Takes in what instances that had handed over, and have ended since, did not tell. */
  adopt(): readonly UnfinishedPull[];
  /** Whether an instance that has handed over still lives. */
  hasPredecessors(): boolean;
  close(): void;
}

/** While the file cannot be opened it is tried again at most this often, milliseconds. */
const retryAfterMs = 1000;

interface Row {
  readonly id: string;
  readonly started_ms: number;
  readonly pull: string;
  readonly answer: string | null;
  readonly sequence: number | null;
}

const content: StateFileContent = {
  lost: 'the ends of pulls that a kill cut short',
  steps: [
    `
    CREATE TABLE pull (
      id TEXT PRIMARY KEY,
      started_ms INTEGER NOT NULL,
      pull TEXT NOT NULL,
      answer TEXT,
      -- Of the event that tells the end, noted before it is published.
      sequence INTEGER
    ) WITHOUT ROWID;
  `,
  ],
};

/**
 * Opens the journal in `stateDir`; call it before anything is published. Throws StateFileKindError for what is no regular file, and
 * nothing else: with a disk that takes no writes pulls go on, and only those that a kill cuts short have no end.
 */
export function openPullJournal(settings: PullJournalSettings): OpenPullJournal {
  const { nextSequence, problem, now = () => new Date() } = settings;
  const { stateDir } = settings;
  const sharedFile = path.join(stateDir, 'pulls.db');
  const firstSequence = nextSequence();
  let own: string | undefined;
  let db: Database | undefined;
  let statements: Statements | undefined;
  let hasTold = false;
  let isClosed = false;
  let lookedAt = performance.now();
  const quietly = <T>(work: (db: Database) => T): T | undefined => {
    try {
      if (db === undefined) return undefined;
      const result = work(db);
      hasTold = false;
      return result;
    } catch (error) {
      if (!hasTold) problem(error);
      hasTold = true;
      return undefined;
    }
  };
  /** Opens the file that is this instance's now; the pulls that an earlier run left in the shared one. Throws. */
  const open = (): UnfinishedPull[] => {
    db = undefined;
    statements = undefined;
    db = openFile(own ?? sharedFile, settings);
    const found =
      own === undefined ? quietly((opened) => readUnfinished(opened, firstSequence)) : undefined;
    statements = quietly(prepare);
    return found ?? [];
  };
  const openOrReport = (): UnfinishedPull[] => {
    try {
      return open();
    } catch (error) {
      if (error instanceof StateFileKindError) throw error;
      const file = own ?? sharedFile;
      problem(new Error(`${file} is not kept: ${errorMessage(error)}`, { cause: error }));
      return [];
    }
  };
  /** A disk that took no writes at the start may take them now. What an earlier run left is told by the next start then. */
  const openLate = (): void => {
    if (db !== undefined || isClosed || performance.now() - lookedAt < retryAfterMs) return;
    lookedAt = performance.now();
    try {
      open();
    } catch {
      // Said at the start.
    }
  };
  const unfinished = openOrReport();
  /** Those that are noted in the file, and of these the ones that this process runs. */
  const kept = new Set(unfinished.map(({ pull }) => pull.id));
  const running = new Set<string>();
  return {
    unfinished,
    began: (pull) => {
      openLate();
      quietly(() => {
        statements?.begin.run(pull.id, now().getTime(), JSON.stringify(pull));
        kept.add(pull.id);
        running.add(pull.id);
      });
    },
    answered: ({ id }, answer) => {
      if (!kept.has(id)) return;
      quietly(() => statements?.answer.run(JSON.stringify(answer, withoutOwner), id));
    },
    end: ({ id }, tell) => {
      running.delete(id);
      if (!kept.delete(id)) {
        tell();
        return;
      }
      // Without the outbox there is no sequence to note.
      if (own === undefined) quietly(() => statements?.tell.run(nextSequence(), id));
      tell();
      quietly(() => statements?.forget.run(id));
    },
    handOver: () => {
      if (own !== undefined) return;
      own = path.join(stateDir, `${ownPrefix}${randomUUID()}.db`);
      const rows =
        quietly(() => [...running].flatMap((id) => statements?.read.get(id) ?? [])) ?? [];
      const shared = db;
      openOrReport();
      // First there, then gone here: a kill in between tells an end twice rather than never.
      quietly(() => rows.forEach((row) => statements?.insert.run(row)));
      try {
        for (const { id } of rows) shared?.prepare('DELETE FROM pull WHERE id = ?').run(id);
        shared?.close();
      } catch (error) {
        problem(error);
      }
    },
    adopt: () =>
      filesOfOthers(stateDir, own).flatMap((file) => {
        if (isLocked(file)) return [];
        try {
          return takeIn(file);
        } catch (error) {
          problem(new Error(`${file} is not taken in: ${errorMessage(error)}`, { cause: error }));
          return [];
        }
      }),
    hasPredecessors: () => filesOfOthers(stateDir, own).some(isLocked),
    close: () => {
      const isEmpty = own !== undefined && quietly(() => statements?.count.get()?.pulls) === 0;
      quietly((opened) => opened.close());
      db = undefined;
      isClosed = true;
      if (isEmpty && own !== undefined) removeFile(own);
    },
  };

  function takeIn(file: string): UnfinishedPull[] {
    const other = openStateFile(file, content);
    const rows = other.prepare<[], Row>('SELECT * FROM pull ORDER BY started_ms, id').all();
    quietly(() => rows.forEach((row) => statements?.insert.run(row)));
    for (const { id } of rows) kept.add(id);
    other.close();
    removeFile(file);
    return rows.map(unfinishedOf);
  }
}

/** Before the random part of the name of an instance's own file. */
const ownPrefix = 'pulls-';

function filesOfOthers(stateDir: string, own: string | undefined): string[] {
  let names: string[];
  try {
    names = readdirSync(stateDir);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.startsWith(ownPrefix) && name.endsWith('.db'))
    .map((name) => path.join(stateDir, name))
    .filter((file) => file !== own);
}

function removeFile(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
}

type Statements = ReturnType<typeof prepare>;

const prepare = (db: Database) => ({
  begin: db.prepare('INSERT INTO pull (id, started_ms, pull) VALUES (?, ?, ?)'),
  insert: db.prepare<[Row]>(
    'INSERT OR IGNORE INTO pull VALUES (@id, @started_ms, @pull, @answer, NULL)',
  ),
  read: db.prepare<[string], Row>('SELECT * FROM pull WHERE id = ?'),
  count: db.prepare<[], { pulls: number }>('SELECT count(*) AS pulls FROM pull'),
  answer: db.prepare('UPDATE pull SET answer = ? WHERE id = ?'),
  tell: db.prepare('UPDATE pull SET sequence = ? WHERE id = ?'),
  forget: db.prepare('DELETE FROM pull WHERE id = ?'),
});

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
  return db.prepare<[], Row>('SELECT * FROM pull ORDER BY started_ms, id').all().map(unfinishedOf);
}

const unfinishedOf = ({ pull, answer, started_ms }: Row): UnfinishedPull => ({
  pull: JSON.parse(pull, revived) as Pull,
  startedAt: new Date(started_ms),
  ...(answer != null && { answer: JSON.parse(answer, revived) as PullAnswer }),
});

/** Whose a credential is matters to pull records alone, which keep that themselves. */
const withoutOwner = (key: string, value: unknown): unknown =>
  key === 'owner' ? undefined : value;

const revived = (key: string, value: unknown): unknown =>
  ['holdUntil', 'endedAt'].includes(key) ? new Date(value as string) : value;
