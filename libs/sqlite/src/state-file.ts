import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Database } from 'better-sqlite3';
import { openSqlite } from './open-sqlite';

/** What a file of a service holds. */
export interface StateFileContent {
  /** Kept in `user_version`, from 1. */
  readonly version: number;
  /** Statements that make the tables in an empty file. */
  readonly schema: string;
}

/**
 * Makes a folder for state files, and those above it, with mode 0700. Throws the system's error when that is not possible. Not with
 * `recursive` of Node.js, which never ends where the system says ENOENT for a folder whose parent is there, as in `/proc`.
 */
export function makeStateFolder(folder: string): void {
  const mode = 0o700;
  try {
    mkdirSync(folder, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
    const above = path.dirname(folder);
    if (code !== 'ENOENT' || existsSync(above)) throw error;
    makeStateFolder(above);
    mkdirSync(folder, { mode });
  }
}

/** A file opens and is damaged, or has another version than this program knows. */
export class StateFileUnusableError extends Error {
  override readonly name = 'StateFileUnusableError';
}

/**
 * Opens or creates a file of this process alone and keeps it locked until the process ends, however it ends. Process death loses nothing
 * that was written; only a power cut or a kernel crash can take the last writes. Throws SQLite's error (SQLITE_BUSY when another process
 * has the file) and {@link StateFileUnusableError}; {@link isUnusable} tells the errors that come again with this content.
 */
export function openStateFile(file: string, content: StateFileContent): Database {
  const database = openSqlite(file, { timeout: 1000 });
  try {
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = NORMAL');
    database.pragma(`journal_size_limit = ${4 * 1024 * 1024}`);
    database.exec('BEGIN EXCLUSIVE; COMMIT');
    if (versionOf(database) === 0) {
      database.transaction(() => {
        database.exec(content.schema);
        database.pragma(`user_version = ${content.version}`);
      })();
    }
    checkStateFile(database, content);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Whether another process has the file by {@link openStateFile}. Takes no time, unlike an attempt to open it. */
export function isStateFileHeld(file: string): boolean {
  if (!existsSync(file)) return false;
  let database: Database | undefined;
  try {
    database = openSqlite(file, { timeout: 0 });
    database.prepare('SELECT count(*) FROM sqlite_master').get();
    return false;
  } catch (error) {
    return sqliteCode(error)?.startsWith('SQLITE_BUSY') === true;
  } finally {
    database?.close();
  }
}

/** Throws {@link StateFileUnusableError} unless the database is sound and of this version. */
export function checkStateFile(
  database: Database,
  { version }: Pick<StateFileContent, 'version'>,
): void {
  if (database.pragma('quick_check(1)', { simple: true }) !== 'ok') {
    throw new StateFileUnusableError('the integrity check found damage');
  }
  const found = versionOf(database);
  if (found !== version) {
    throw new StateFileUnusableError(`it has version ${found}, this is version ${version}`);
  }
}

/** The code of an error of SQLite, as in `SQLITE_BUSY`; undefined for other errors. */
export function sqliteCode(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined;
}

/** Whether an error says that the file is not (or no longer) a sound database of this program. */
export function isUnusable(error: unknown): boolean {
  return (
    error instanceof StateFileUnusableError ||
    /^SQLITE_(CORRUPT|NOTADB)/.test(sqliteCode(error) ?? '')
  );
}

/** Renames a file that cannot be used, with its log; keeps the newest such file. Returns its new path. Throws the system's error. */
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

const versionOf = (database: Database): number =>
  Number(database.pragma('user_version', { simple: true }));
