import type { Database } from '@stowage/sqlite';

/** Written into the file's header, so that a file of another program is recognised. */
const applicationId = 0x53544743;

/** Step n brings a file from schema version n to n + 1. Steps are never edited once released. */
export const migrations: readonly string[] = [
  `CREATE TABLE image (
     image_id TEXT PRIMARY KEY,
     repo_tags TEXT NOT NULL,
     repo_digests TEXT NOT NULL,
     size_bytes INTEGER NOT NULL,
     pinned INTEGER NOT NULL,
     runtime_handler TEXT NOT NULL,
     first_detected_ms INTEGER,
     last_used_ms INTEGER,
     used_by TEXT NOT NULL
   ) STRICT;
   CREATE TABLE removal (
     image_id TEXT PRIMARY KEY,
     reason TEXT NOT NULL,
     plan_id TEXT NOT NULL
   ) STRICT;
   CREATE TABLE hold (
     name TEXT PRIMARY KEY,
     until_ms INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE exceeded (
     mountpoint TEXT PRIMARY KEY,
     since_ms INTEGER NOT NULL
   ) STRICT;`,
  `ALTER TABLE image ADD COLUMN namespaces TEXT NOT NULL DEFAULT '[]';
   ALTER TABLE image ADD COLUMN pull_ms INTEGER;
   ALTER TABLE image ADD COLUMN pull_bytes INTEGER;
   CREATE TABLE mark (
     mountpoint TEXT NOT NULL,
     resource TEXT NOT NULL,
     level TEXT NOT NULL,
     since_ms INTEGER NOT NULL,
     PRIMARY KEY (mountpoint, resource, level)
   ) STRICT;
   INSERT INTO mark SELECT mountpoint, 'bytes', 'high', since_ms FROM exceeded;
   DROP TABLE exceeded;
   CREATE TABLE removed (
     image_id TEXT PRIMARY KEY,
     names TEXT NOT NULL,
     removed_ms INTEGER NOT NULL,
     plan_id TEXT NOT NULL
   ) STRICT;`,
  `CREATE TABLE detection (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     detected_ms INTEGER NOT NULL
   ) STRICT;`,
  `CREATE TABLE telling (
     image_id TEXT PRIMARY KEY,
     sequence INTEGER NOT NULL
   ) STRICT;`,
  `ALTER TABLE mark ADD COLUMN role TEXT NOT NULL DEFAULT 'image';`,
  `CREATE TABLE announcing (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     first_sequence INTEGER NOT NULL,
     image_ids TEXT NOT NULL
   ) STRICT;
   ALTER TABLE mark ADD COLUMN exceeded_sequence INTEGER;
   ALTER TABLE mark ADD COLUMN recovered_sequence INTEGER;`,
];

/** A records file that cannot be used; it is set aside and the records are built anew from the runtime. */
export class UnusableRecordsError extends Error {
  override readonly name = 'UnusableRecordsError';
}

/**
 * Makes sure that the file is ours, whole and not of a later version. Changes nothing in it. Throws UnusableRecordsError, or
 * SQLite's own error for a file that is no database.
 */
export function checkUsable(database: Database, steps: readonly string[] = migrations): void {
  const check = database.pragma('quick_check(1)', { simple: true });
  if (check !== 'ok') throw new UnusableRecordsError(`the file is damaged: ${String(check)}`);
  const version = schemaVersion(database);
  const id = Number(database.pragma('application_id', { simple: true }));
  const tables = database.prepare('SELECT count(*) FROM sqlite_master').pluck().get();
  const isEmpty = tables === 0 && version === 0 && id === 0;
  if (!isEmpty && id !== applicationId) {
    throw new UnusableRecordsError(`the file belongs to another program (application id ${id})`);
  }
  if (version > steps.length) {
    throw new UnusableRecordsError(
      `the file has schema version ${version}, this version of gc-worker knows ${steps.length}`,
    );
  }
}

/** Brings a usable file to the newest schema, each step in a transaction of its own. Throws SQLite's error. */
export function migrate(database: Database, steps: readonly string[] = migrations): void {
  const version = schemaVersion(database);
  steps.slice(version).forEach((step, index) => {
    database.transaction(() => {
      database.exec(step);
      database.pragma(`application_id = ${applicationId}`);
      database.pragma(`user_version = ${version + index + 1}`);
    })();
  });
}

const schemaVersion = (database: Database): number =>
  Number(database.pragma('user_version', { simple: true }));
