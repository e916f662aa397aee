import { existsSync } from 'node:fs';
import type { Database } from 'better-sqlite3';
import { openSqlite } from './open-sqlite';
import { isBusy } from './sqlite-error';

/**
 * Whether another process has a state file or the lock of {@link lockFile}. Fast, unlike an attempt
 * to open it.
 */
export function isLocked(file: string): boolean {
  if (!existsSync(file)) return false;
  let database: Database | undefined;
  try {
    database = openSqlite(file, { timeout: 0 });
    database.prepare('SELECT count(*) FROM sqlite_master').get();
    return false;
  } catch (error) {
    return isBusy(error);
  } finally {
    database?.close();
  }
}

/**
 * Locks an empty file, which is created if it is missing, until the process ends or the returned
 * function is called. Undefined when another process has the lock; throws where the file cannot be
 * created. Node.js cannot lock files, SQLite can: a transaction that never writes holds the
 * kernel's lock and needs no disk space.
 */
export function lockFile(file: string): (() => void) | undefined {
  const database = openSqlite(file, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
    return () => database.close();
  } catch (error) {
    database.close();
    if (isBusy(error)) return undefined;
    throw error;
  }
}
