import { randomUUID } from 'node:crypto';
import { errorMessage } from '@stowage/errors';
import { checkSchema, isLocked, openStateFileCopy, StateFile } from '@stowage/sqlite';
import type { Database, StateFileContent } from '@stowage/sqlite';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Pull, PullAnswer } from './pull';

/** A pull that an earlier run of the service began and whose end it did not publish. */
export interface UnfinishedPull {
  readonly pull: Pull;
  readonly startedAt: Date;
  /** What the runtime answered; absent when the service ended before. */
  readonly answer?: PullAnswer;
}

/**
 * Notes how far each pull is, so that a service that was killed can publish the end of its pulls
 * when it is back.
 */
export interface PullJournal {
  /** Before the start of the pull is published. */
  began(pull: Pull): void;
  /** Before the caller is answered. */
  answered(pull: Pull, answer: PullAnswer): void;
  /** Runs `publish`, which publishes the end of the pull, and forgets the pull: once for both. */
  end(pull: Pull, publish: () => void): void;
}

/** Keeps nothing: a pull that a kill cut short has no end. */
export const noPullJournal: PullJournal = {
  began: () => undefined,
  answered: () => undefined,
  end: (_pull, publish) => publish(),
};

/** What a journal is opened with. */
export interface PullJournalSettings {
  /** Folder of the file; there already, and used by this process alone. */
  readonly stateDir: string;
  /** Sequence of the next event: an end that was published has used it up. */
  readonly nextSequence: () => number;
  /** Called when the file cannot be used or had to be recreated, with the reason. */
  readonly problem: (error: unknown) => void;
  readonly now?: () => Date;
}

/** A journal with what an earlier run left in it. */
export interface OpenPullJournal extends PullJournal {
  readonly unfinished: readonly UnfinishedPull[];
  /**
   * Gives the file up to an instance that takes over. The pulls of this process go on in a file of
   * its own, which is locked as long as the process lives.
   */
  handOver(): void;
  /** Takes over what instances that had handed over, and have ended since, did not publish. */
  adopt(): readonly UnfinishedPull[];
  /** Whether an instance that has handed over still lives. */
  hasPredecessors(): boolean;
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

const sharedFile = (stateDir: string): string => path.join(stateDir, 'pulls.db');

/**
 * Throws StateFileNewerError for a file that {@link openPullJournal} would refuse, also while
 * another process has it.
 */
export function checkPullJournal(stateDir: string): void {
  checkSchema(sharedFile(stateDir), content);
}

/**
 * Opens the journal in `stateDir`; call it before anything is published. Throws StateFileKindError
 * for what is no regular file, StateFileNewerError for a file of a newer release, and nothing else:
 * with a disk that takes no writes pulls go on, and only those that a kill cuts short have no end.
 */
export function openPullJournal(settings: PullJournalSettings): OpenPullJournal {
  const { stateDir, nextSequence, problem, now = () => new Date() } = settings;
  const firstSequence = nextSequence();
  let unfinished: readonly UnfinishedPull[] = [];
  const fileAt = (file: string, read: (database: Database, isLate: boolean) => void) => {
    const about = (what: string, reason: string, cause?: unknown) => {
      problem(new Error(`${file} ${what}: ${reason}`, { cause }));
    };
    const state: StateFile<Statements> = new StateFile({
      file,
      content,
      makesFolder: false,
      now,
      prepare: (database, isLate) => {
        read(database, isLate);
        return prepare(database);
      },
      onSetAside: (aside, reason) => {
        about(`is recreated, the old one is ${aside}`, reason);
      },
      onRefused: (error, before) => {
        if (before !== undefined) return;
        if (state.isOpen) problem(error);
        else about('is not written', errorMessage(error), error);
      },
      retry: () => state.isDue(true),
    });
    state.open();
    return state;
  };
  let file = fileAt(sharedFile(stateDir), (database, isLate) => {
    const found = readUnfinished(database, firstSequence);
    // What an earlier run left in a file that is opened late is published by the next start.
    if (!isLate) unfinished = found;
  });
  let own: string | undefined;
  /** Those that are noted in the file, and of these the ones that this process runs. */
  const kept = new Set(unfinished.map(({ pull }) => pull.id));
  const running = new Set<string>();

  function takeIn(other: string): UnfinishedPull[] {
    const database = openStateFileCopy(other, content);
    const rows = database === undefined ? [] : prepare(database).all.all();
    database?.close();
    file.write(({ insert }) => rows.forEach((row) => insert.run(row)));
    for (const { id } of rows) kept.add(id);
    removeFile(other);
    return rows.map(unfinishedOf);
  }

  return {
    unfinished,
    began: (pull) => {
      file.isDue(); // Opens it where that was not possible before.
      const row = [pull.id, now().getTime(), JSON.stringify(pull)];
      if (!file.write(({ begin }) => begin.run(row))) return;
      kept.add(pull.id);
      running.add(pull.id);
    },
    answered: ({ id }, answer) => {
      if (!kept.has(id)) return;
      file.write((statements) => statements.answer.run(JSON.stringify(answer, withoutOwner), id));
    },
    end: ({ id }, publish) => {
      running.delete(id);
      if (!kept.delete(id)) {
        publish();
        return;
      }
      // Without the outbox there is no sequence to note.
      if (own === undefined)
        file.write((statements) => statements.noteSequence.run(nextSequence(), id));
      publish();
      file.write(({ forget }) => forget.run(id));
    },
    handOver: () => {
      if (own !== undefined) return;
      own = path.join(stateDir, `${ownPrefix}${randomUUID()}.db`);
      const shared = file;
      const rows =
        shared.read(({ read }) => [...running].flatMap((id) => read.get(id) ?? [])) ?? [];
      file = fileAt(own, () => undefined);
      // First there, then gone here: a kill in between publishes an end twice rather than never.
      file.write(({ insert }) => rows.forEach((row) => insert.run(row)));
      shared.write(({ forget }) => rows.forEach(({ id }) => forget.run(id)));
      shared.close();
    },
    adopt: () =>
      filesOfOthers(stateDir, own).flatMap((other) => {
        if (isLocked(other)) return [];
        try {
          return takeIn(other);
        } catch (error) {
          problem(
            new Error(`${other} is not taken over: ${errorMessage(error)}`, { cause: error }),
          );
          return [];
        }
      }),
    hasPredecessors: () => filesOfOthers(stateDir, own).some(isLocked),
    close: () => {
      const isEmpty = file.read(({ all }) => all.get() === undefined) === true;
      file.close();
      if (isEmpty && own !== undefined) removeFile(own);
    },
  };
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
  all: db.prepare<[], Row>('SELECT * FROM pull ORDER BY started_ms, id'),
  answer: db.prepare('UPDATE pull SET answer = ? WHERE id = ?'),
  noteSequence: db.prepare('UPDATE pull SET sequence = ? WHERE id = ?'),
  forget: db.prepare('DELETE FROM pull WHERE id = ?'),
});

/** The pulls whose end was not published. The others were only not deleted yet, and are now. */
function readUnfinished(db: Database, nextSequence: number): UnfinishedPull[] {
  db.prepare('DELETE FROM pull WHERE sequence < ?').run(nextSequence);
  // Other events of this run use that sequence up before these pulls are reported.
  db.exec('UPDATE pull SET sequence = NULL');
  return prepare(db).all.all().map(unfinishedOf);
}

const unfinishedOf = ({ pull, answer, started_ms }: Row): UnfinishedPull => ({
  pull: JSON.parse(pull, revived) as Pull,
  startedAt: new Date(started_ms),
  ...(answer != null && { answer: JSON.parse(answer, revived) as PullAnswer }),
});

/** Only pull records need the owner of a credential, and they keep it themselves. */
const withoutOwner = (key: string, value: unknown): unknown =>
  key === 'owner' ? undefined : value;

const revived = (key: string, value: unknown): unknown =>
  ['holdUntil', 'endedAt'].includes(key) ? new Date(value as string) : value;
