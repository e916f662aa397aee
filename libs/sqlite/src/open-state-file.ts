import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Database } from 'better-sqlite3';
import { databaseCopy, databaseHeader, databaseHeaderBytes } from './database-copy';
import { StateFileNewerError, StateFileUnusableError } from './errors';
import { openSqlite } from './open-sqlite';

/** The content of a service's file. */
export interface StateFileContent {
  /**
   * Statements that create the tables: step n brings a file from schema version n (kept in
   * `user_version`) to n + 1, so that a new file runs all of them. Steps are never edited once
   * released.
   */
  readonly steps: readonly string[];
  /** Kept in the header, to recognise files of other programs. */
  readonly applicationId?: number;
  /**
   * What is lost without the file, for people who have to move it away; as in `the ages of images`.
   */
  readonly lost: string;
}

/**
 * Opens or creates a file for this process alone and keeps it locked until the process ends,
 * however it ends. If the process dies nothing written is lost; only a power cut or a kernel crash
 * can lose the last writes. Throws SQLite's error (SQLITE_BUSY when another process has the file),
 * {@link StateFileUnusableError}, and {@link StateFileNewerError}, with which the file is left
 * untouched.
 */
export function openStateFile(file: string, content: StateFileContent): Database {
  const database = openSqlite(file, { timeout: 1000 });
  try {
    database.pragma('locking_mode = EXCLUSIVE');
    database.exec('BEGIN EXCLUSIVE; COMMIT');
    check(database, file, content);
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = NORMAL');
    database.pragma(`journal_size_limit = ${4 * 1024 * 1024}`);
    migrate(database, content);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * The content of a file and its log, as a database in memory: needs no write, no lock and no disk
 * space. Undefined when there is no file. Throws as {@link openStateFile}, and the system's error
 * when the file cannot be read.
 */
export function openStateFileCopy(file: string, content: StateFileContent): Database | undefined {
  const bytes = databaseCopy(file);
  if (bytes.length === 0) return undefined;
  const database = openSqlite(bytes);
  try {
    check(database, file, content);
    migrate(database, content);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

const magic = 'SQLite format 3\0';
/** Where the header of a SQLite file has these numbers. */
const headerAt = { userVersion: 60, applicationId: 68 };

/**
 * Throws {@link StateFileNewerError} for a file of a newer release, also while another process has
 * it. Reads no more than the header, however large the file is.
 */
export function checkSchema(file: string, content: StateFileContent): void {
  let header: Buffer;
  try {
    header = databaseHeader(file);
  } catch {
    return; // Opening it reports why it cannot be read.
  }
  if (header.length < databaseHeaderBytes || !header.toString('latin1').startsWith(magic)) return;
  const version = header.readInt32BE(headerAt.userVersion);
  refuseNewer(file, content, version, header.readInt32BE(headerAt.applicationId));
}

function refuseNewer(
  file: string,
  { steps, applicationId = 0, lost }: StateFileContent,
  version: number,
  id: number,
): void {
  if (id !== applicationId || version <= steps.length) return;
  throw new StateFileNewerError(file, version, steps.length, lost);
}

/** Makes sure that the file is ours, sound, and not of a newer release. Changes nothing in it. */
function check(database: Database, file: string, content: StateFileContent): void {
  const { applicationId = 0 } = content;
  const version = numberOf(database, 'user_version');
  const id = numberOf(database, 'application_id');
  // First, because this SQLite may take a newer schema for damage.
  refuseNewer(file, content, version, id);
  if (database.pragma('quick_check(1)', { simple: true }) !== 'ok') {
    throw new StateFileUnusableError('the integrity check found damage');
  }
  const tables = database.prepare('SELECT count(*) FROM sqlite_master').pluck().get();
  if (tables === 0 && version === 0 && id === 0) return;
  if (id !== applicationId || version <= 0) {
    throw new StateFileUnusableError(`the file belongs to another program (application id ${id})`);
  }
}

/** Each step in a transaction of its own. */
function migrate(database: Database, { steps, applicationId = 0 }: StateFileContent): void {
  const version = numberOf(database, 'user_version');
  steps.slice(version).forEach((step, index) => {
    database.transaction(() => {
      database.exec(step);
      database.pragma(`application_id = ${applicationId}`);
      database.pragma(`user_version = ${version + index + 1}`);
    })();
  });
}

const numberOf = (database: Database, pragma: string): number =>
  Number(database.pragma(pragma, { simple: true }));

/**
 * Renames a file that cannot be used, with its log; keeps the newest such file. Returns its new
 * path. Throws the system's error.
 */
export function setAside(file: string, now: Date): string {
  const marker = '.unusable-';
  const folder = path.dirname(file);
  const prefix = path.basename(file) + marker;
  for (const old of readdirSync(folder)) {
    if (old.startsWith(prefix)) rmSync(path.join(folder, old), { force: true });
  }
  const aside = `${file}${marker}${now.toISOString().replaceAll(':', '')}`;
  renameSync(file, aside);
  for (const log of ['-wal', '-journal']) {
    if (existsSync(file + log)) renameSync(file + log, aside + log);
  }
  rmSync(`${file}-shm`, { force: true });
  return aside;
}
