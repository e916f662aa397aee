import { openSqlite } from '@stowage/sqlite';
import type { Database } from '@stowage/sqlite';
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';

/** Version of the tables, kept in `user_version`. */
const fileVersion = 1;

const schema = `
  CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    subject TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    message TEXT NOT NULL
  );
  CREATE TABLE dropped (reason TEXT PRIMARY KEY, record TEXT NOT NULL);
  PRAGMA user_version = ${String(fileVersion)};
`;

/** The SQLite error code, as in `SQLITE_BUSY`; undefined for other errors. */
export function sqliteCode(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined;
}

/** Whether an error says that the file is not (or no longer) a sound database. */
export function isCorruption(error: unknown): boolean {
  return (
    error instanceof OutboxFileUnreadable ||
    /^SQLITE_(CORRUPT|NOTADB)/.test(sqliteCode(error) ?? '')
  );
}

/** The file opens but does not hold an outbox of this version. */
export class OutboxFileUnreadable extends Error {
  override readonly name = 'OutboxFileUnreadable';
}

/** Whether a database is a sound outbox of this version. */
export function isCurrent(db: Database): boolean {
  return (
    db.pragma('quick_check(1)', { simple: true }) === 'ok' &&
    db.pragma('user_version', { simple: true }) === fileVersion
  );
}

/**
 * Opens or creates the outbox file and keeps it locked until the process ends, however it ends. Throws SQLITE_BUSY
 * when another process has it, and what {@link isCorruption} recognises when it cannot be read.
 */
export function openOutboxFile(file: string): Database {
  const db = openSqlite(file, { timeout: 1000 });
  try {
    db.pragma('locking_mode = EXCLUSIVE');
    db.pragma('journal_mode = WAL');
    // Process death loses nothing; only a power cut or a kernel crash can take the last writes.
    db.pragma('synchronous = NORMAL');
    db.pragma('journal_size_limit = 4194304');
    db.exec('BEGIN EXCLUSIVE; COMMIT');
    if (db.pragma('quick_check(1)', { simple: true }) !== 'ok') {
      throw new OutboxFileUnreadable('the integrity check found damage');
    }
    const version = db.pragma('user_version', { simple: true });
    if (version === 0) db.transaction(() => db.exec(schema))();
    else if (version !== fileVersion) {
      throw new OutboxFileUnreadable(`it has version ${String(version)}, this is version 1`);
    }
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Renames a file that cannot be read, with its journal; keeps one such file and removes older ones. */
export function setAside(file: string, now: Date): string {
  const marker = '.unreadable-';
  const folder = path.dirname(file);
  const prefix = path.basename(file) + marker;
  for (const old of readdirSync(folder)) {
    if (old.startsWith(prefix)) rmSync(path.join(folder, old), { force: true });
  }
  const aside = `${file}${marker}${now.toISOString().replaceAll(':', '-')}`;
  renameSync(file, aside);
  if (existsSync(`${file}-wal`)) renameSync(`${file}-wal`, `${aside}-wal`);
  rmSync(`${file}-shm`, { force: true });
  return aside;
}
