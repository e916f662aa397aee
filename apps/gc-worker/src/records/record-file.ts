import { existsSync, readFileSync, renameSync } from 'node:fs';
import Sqlite from 'better-sqlite3';
import type { Database } from 'better-sqlite3';
import type { ImageRecord, ImageUser } from '../types';
import { checkUsable, migrate, UnusableRecordsError } from './schema';

/** A removal that was begun and whose end is not recorded. */
export interface RemovalIntent {
  readonly reason: 'max-age' | 'threshold' | 'request';
  readonly planId: string;
}

/** Everything that is remembered. */
export interface Remembered {
  readonly images: Map<string, ImageRecord>;
  readonly removals: Map<string, RemovalIntent>;
  /** Image name or id to the end of its hold. */
  readonly holds: Map<string, number>;
  /** Mount point to the time its high mark was exceeded. */
  readonly exceeded: Map<string, number>;
}

export const nothingRemembered = (): Remembered => ({
  images: new Map(),
  removals: new Map(),
  holds: new Map(),
  exceeded: new Map(),
});

interface ImageRow {
  image_id: string;
  repo_tags: string;
  repo_digests: string;
  size_bytes: number;
  pinned: number;
  runtime_handler: string;
  first_detected_ms: number | null;
  last_used_ms: number | null;
  used_by: string;
}

export interface RecordFileOptions {
  readonly path: string;
  readonly nativeBinding?: string;
}

/** The records in SQLite. One process at a time; every method but `close` throws what SQLite throws. */
export class RecordFile {
  private constructor(private readonly database: Database) {}

  /**
   * Opens or makes the file. WAL, so that a killed process leaves a readable file; the exclusive lock makes a second worker fail
   * here and needs no shared-memory file. Throws UnusableRecordsError for content that cannot be used, else SQLite's error.
   */
  static open({ path, nativeBinding }: RecordFileOptions, steps?: readonly string[]): RecordFile {
    const database = new Sqlite(path, {
      timeout: 1000,
      ...(nativeBinding === undefined ? {} : { nativeBinding }),
    });
    try {
      database.pragma('locking_mode = EXCLUSIVE');
      checkUsable(database, steps);
      database.pragma('journal_mode = WAL');
      database.pragma('synchronous = NORMAL');
      database.pragma(`journal_size_limit = ${4 * 1024 * 1024}`);
      migrate(database, steps);
      return new RecordFile(database);
    } catch (error) {
      database.close();
      throw isDamage(error) ? new UnusableRecordsError(errorText(error)) : error;
    }
  }

  /**
   * What a file holds, read through memory: needs no write and no disk space. Commits that stand only in the WAL are not
   * seen. Nothing when there is no file; throws when it cannot be read.
   */
  static readWithoutWriting({ path, nativeBinding }: RecordFileOptions): Remembered {
    if (!existsSync(path)) return nothingRemembered();
    const content = readFileSync(path);
    if (content.length === 0) return nothingRemembered();
    // Bytes 18 and 19 say "WAL", which an in-memory copy cannot do.
    content[18] = 1;
    content[19] = 1;
    const database = new Sqlite(content, nativeBinding === undefined ? {} : { nativeBinding });
    try {
      checkUsable(database);
      migrate(database);
      return new RecordFile(database).read();
    } finally {
      database.close();
    }
  }

  /** Renames an unusable file and its WAL. Returns the new name of the file. */
  static setAside(path: string, now: Date): string {
    const aside = `${path}.unusable-${now.toISOString().replaceAll(':', '')}`;
    for (const suffix of ['', '-wal', '-shm', '-journal']) {
      if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
    }
    return aside;
  }

  read(): Remembered {
    const remembered = nothingRemembered();
    const rows = this.database.prepare<[], ImageRow>('SELECT * FROM image').all();
    for (const row of rows) remembered.images.set(row.image_id, recordOf(row));
    for (const row of this.database
      .prepare<[], { image_id: string; reason: RemovalIntent['reason']; plan_id: string }>(
        'SELECT * FROM removal',
      )
      .all()) {
      remembered.removals.set(row.image_id, { reason: row.reason, planId: row.plan_id });
    }
    for (const row of this.database
      .prepare<[], { name: string; until_ms: number }>('SELECT * FROM hold')
      .all()) {
      remembered.holds.set(row.name, row.until_ms);
    }
    for (const row of this.database
      .prepare<[], { mountpoint: string; since_ms: number }>('SELECT * FROM exceeded')
      .all()) {
      remembered.exceeded.set(row.mountpoint, row.since_ms);
    }
    return remembered;
  }

  /** Makes the file hold exactly this. */
  replaceAll(remembered: Remembered): void {
    this.database.transaction(() => {
      for (const table of ['image', 'removal', 'hold', 'exceeded']) {
        this.database.exec(`DELETE FROM ${table}`);
      }
      this.writeImages(remembered.images.values());
      for (const [imageId, intent] of remembered.removals) this.writeRemoval(imageId, intent);
      for (const [name, until] of remembered.holds) this.writeHold(name, until);
      for (const [mountpoint, since] of remembered.exceeded) this.writeExceeded(mountpoint, since);
    })();
  }

  /** Writes changed images and drops others, in one transaction. */
  update(changed: readonly ImageRecord[], gone: readonly string[]): void {
    this.database.transaction(() => {
      this.writeImages(changed);
      for (const imageId of gone) {
        this.run('DELETE FROM image WHERE image_id = ?', imageId);
        this.run('DELETE FROM removal WHERE image_id = ?', imageId);
      }
    })();
  }

  writeRemoval(imageId: string, { reason, planId }: RemovalIntent): void {
    this.run('INSERT OR REPLACE INTO removal VALUES (?, ?, ?)', imageId, reason, planId);
  }

  dropRemoval(imageId: string): void {
    this.run('DELETE FROM removal WHERE image_id = ?', imageId);
  }

  replaceHolds(holds: ReadonlyMap<string, number>): void {
    this.database.transaction(() => {
      this.database.exec('DELETE FROM hold');
      for (const [name, until] of holds) this.writeHold(name, until);
    })();
  }

  writeExceeded(mountpoint: string, since: number): void {
    this.run('INSERT OR REPLACE INTO exceeded VALUES (?, ?)', mountpoint, since);
  }

  dropExceeded(mountpoint: string): void {
    this.run('DELETE FROM exceeded WHERE mountpoint = ?', mountpoint);
  }

  /** Never throws. */
  close(): void {
    try {
      this.database.close();
    } catch {
      // A full disk can refuse the last checkpoint; the WAL keeps the commits.
    }
  }

  private writeHold(name: string, until: number): void {
    this.run('INSERT OR REPLACE INTO hold VALUES (?, ?)', name, until);
  }

  private writeImages(records: Iterable<ImageRecord>): void {
    const insert = this.database.prepare(
      'INSERT OR REPLACE INTO image VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
    );
    for (const record of records) {
      insert.run(
        record.imageId,
        JSON.stringify(record.repoTags),
        JSON.stringify(record.repoDigests),
        record.sizeBytes,
        record.pinned ? 1 : 0,
        record.runtimeHandler,
        record.firstDetected,
        record.lastUsed,
        JSON.stringify(record.usedBy),
      );
    }
  }

  private run(sql: string, ...values: (string | number)[]): void {
    this.database.prepare(sql).run(...values);
  }
}

function recordOf(row: ImageRow): ImageRecord {
  return {
    imageId: row.image_id,
    repoTags: JSON.parse(row.repo_tags) as string[],
    repoDigests: JSON.parse(row.repo_digests) as string[],
    sizeBytes: row.size_bytes,
    pinned: row.pinned === 1,
    runtimeHandler: row.runtime_handler,
    firstDetected: row.first_detected_ms,
    lastUsed: row.last_used_ms,
    usedBy: JSON.parse(row.used_by) as ImageUser[],
  };
}

/** SQLite's code of an error, empty when it is none of SQLite's. */
export function sqliteCode(error: unknown): string {
  const code: unknown = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** True when the content is at fault: a damaged file, no database, or a table or JSON that is not as written. */
export function isDamage(error: unknown): boolean {
  const code = sqliteCode(error);
  return (
    code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB' || error instanceof SyntaxError
  );
}

const errorText = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
