import { databaseCopy, isUnusable, openSqlite } from '@stowage/sqlite';
import type { Database, Statement } from '@stowage/sqlite';
import type { ExceededMark, ImageRecord, ImageUser, MarkKey } from '../types';
import { isSeenInUse } from './apply-detection';
import { checkUsable, migrate, UnusableRecordsError } from './schema';

/** A removal that was begun and whose end is not recorded. */
export interface RemovalIntent {
  readonly reason: 'max-age' | 'threshold' | 'request';
  readonly planId: string;
}

/** An image that a collection removed, remembered until a new pull of it is no regret any more. */
export interface RemovedRecord {
  /** Ids and references by which it may come back. */
  readonly names: readonly string[];
  readonly removedAt: number;
  readonly planId: string;
}

/** Images that are being told as detected, in the order of their events. */
export interface Announcement {
  readonly firstSequence: number;
  readonly imageIds: readonly string[];
}

/** A mark that is exceeded, with the sequences of the events that tell so and that tell its end; absent when not told by one. */
export interface RememberedMark extends ExceededMark {
  readonly exceededSequence?: number;
  readonly recoveredSequence?: number;
}

/** Everything that is remembered. */
export interface Remembered {
  readonly images: Map<string, ImageRecord>;
  readonly removals: Map<string, RemovalIntent>;
  /** Ids of images whose end is being told, with the sequence of the event. */
  readonly telling: Map<string, number>;
  /** The detection whose events may not have gone out; null when all did. */
  announcing: Announcement | null;
  /** Image name or id to the end of its hold. */
  readonly holds: Map<string, number>;
  /** Marks that are exceeded, by {@link markName}. */
  readonly exceeded: Map<string, RememberedMark>;
  /** Images removed of late, by image id. */
  readonly removed: Map<string, RemovedRecord>;
  /** Time of the last detection; null before the first. */
  detectedAt: number | null;
}

/** One text for one mark of one file system. */
export const markName = ({ mountpoint, resource, level }: MarkKey): string =>
  `${resource} ${level} ${mountpoint}`;

export const nothingRemembered = (): Remembered => ({
  images: new Map(),
  removals: new Map(),
  telling: new Map(),
  announcing: null,
  holds: new Map(),
  exceeded: new Map(),
  removed: new Map(),
  detectedAt: null,
});

const tables = [
  'image',
  'removal',
  'telling',
  'announcing',
  'hold',
  'mark',
  'removed',
  'detection',
];

interface MarkRow extends MarkKey, Pick<ExceededMark, 'role'> {
  since_ms: number;
  exceeded_sequence: number | null;
  recovered_sequence: number | null;
}

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
  namespaces: string;
  pull_ms: number | null;
  pull_bytes: number | null;
}

/** The records in SQLite. One process at a time; every method but `close` throws what SQLite throws. */
export class RecordFile {
  /** Prepared when first used: few texts, and some come with every removal. */
  private readonly statements = new Map<string, Statement>();

  private constructor(private readonly database: Database) {}

  /**
   * Opens or makes the file. WAL, so that a killed process leaves a readable file; the exclusive lock makes a second worker fail
   * here and needs no shared-memory file. Throws UnusableRecordsError for content that cannot be used, else SQLite's error.
   */
  static open(path: string, steps?: readonly string[]): RecordFile {
    const database = openSqlite(path, { timeout: 1000 });
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
   * What a file and its log hold, read through memory: needs no write and no disk space. Nothing when there is no file; throws when it
   * cannot be read.
   */
  static readWithoutWriting(path: string): Remembered {
    const content = databaseCopy(path);
    if (content.length === 0) return nothingRemembered();
    const database = openSqlite(content);
    try {
      checkUsable(database);
      migrate(database);
      return new RecordFile(database).read();
    } finally {
      database.close();
    }
  }

  read(): Remembered {
    const remembered = nothingRemembered();
    const rows = this.database.prepare<[], ImageRow>('SELECT * FROM image').all();
    remembered.detectedAt =
      (this.database.prepare('SELECT detected_ms FROM detection').pluck().get() as
        number | undefined) ?? null;
    for (const row of rows) {
      remembered.images.set(row.image_id, recordOf(row, remembered.detectedAt));
    }
    for (const row of this.database
      .prepare<[], { image_id: string; reason: RemovalIntent['reason']; plan_id: string }>(
        'SELECT * FROM removal',
      )
      .all()) {
      remembered.removals.set(row.image_id, { reason: row.reason, planId: row.plan_id });
    }
    for (const row of this.database
      .prepare<[], { image_id: string; sequence: number }>('SELECT * FROM telling')
      .all()) {
      remembered.telling.set(row.image_id, row.sequence);
    }
    for (const row of this.database
      .prepare<[], { name: string; until_ms: number }>('SELECT * FROM hold')
      .all()) {
      remembered.holds.set(row.name, row.until_ms);
    }
    const announcing = this.database
      .prepare<[], { first_sequence: number; image_ids: string }>('SELECT * FROM announcing')
      .get();
    if (announcing !== undefined) {
      const imageIds = JSON.parse(announcing.image_ids) as string[];
      remembered.announcing = { firstSequence: announcing.first_sequence, imageIds };
    }
    for (const row of this.database.prepare<[], MarkRow>('SELECT * FROM mark').all()) {
      remembered.exceeded.set(markName(row), markOf(row));
    }
    for (const row of this.database
      .prepare<[], { image_id: string; names: string; removed_ms: number; plan_id: string }>(
        'SELECT * FROM removed ORDER BY removed_ms',
      )
      .all()) {
      const names = JSON.parse(row.names) as string[];
      remembered.removed.set(row.image_id, {
        names,
        removedAt: row.removed_ms,
        planId: row.plan_id,
      });
    }
    return remembered;
  }

  /** Makes the file hold exactly this. */
  replaceAll(remembered: Remembered): void {
    this.database.transaction(() => {
      for (const table of tables) this.database.exec(`DELETE FROM ${table}`);
      if (remembered.detectedAt != null) this.writeDetection(remembered.detectedAt);
      this.writeImages(remembered.images.values());
      for (const [imageId, intent] of remembered.removals) this.writeRemoval(imageId, intent);
      for (const told of remembered.telling) this.insertTelling(told);
      if (remembered.announcing != null) this.insertAnnouncing(remembered.announcing);
      for (const [name, until] of remembered.holds) this.writeHold(name, until);
      for (const mark of remembered.exceeded.values()) this.writeExceeded(mark);
      for (const [imageId, removed] of remembered.removed) this.writeRemoved(imageId, removed);
    })();
  }

  /**
   * Writes changed images and drops others, in one transaction, which also ends an announcement. With `detectedAt` images that were in use before and still are
   * need not be among the changed ones: it is their last use.
   */
  update(changed: readonly ImageRecord[], gone: readonly string[], detectedAt?: number): void {
    this.database.transaction(() => {
      if (detectedAt !== undefined) {
        this.writeDetection(detectedAt);
        this.run('DELETE FROM announcing');
      }
      this.writeImages(changed);
      for (const imageId of gone) this.forget(imageId);
    })();
  }

  /** Writes new images and that they are being told, in one transaction. */
  writeAnnounced(images: readonly ImageRecord[], announcement: Announcement): void {
    this.database.transaction(() => {
      this.writeImages(images);
      this.insertAnnouncing(announcement);
    })();
  }

  private insertAnnouncing({ firstSequence, imageIds }: Announcement): void {
    this.run(
      'INSERT OR REPLACE INTO announcing VALUES (1, ?, ?)',
      firstSequence,
      JSON.stringify(imageIds),
    );
  }

  /** Notes the sequences of events that tell the end of images, by image id. */
  writeTelling(sequences: ReadonlyMap<string, number>): void {
    this.database.transaction(() => {
      for (const told of sequences) this.insertTelling(told);
    })();
  }

  private insertTelling([imageId, sequence]: [string, number]): void {
    this.run('INSERT OR REPLACE INTO telling VALUES (?, ?)', imageId, sequence);
  }

  private forget(imageId: string): void {
    for (const table of ['image', 'removal', 'telling']) {
      this.run(`DELETE FROM ${table} WHERE image_id = ?`, imageId);
    }
  }

  writeRemoval(imageId: string, { reason, planId }: RemovalIntent): void {
    this.run('INSERT OR REPLACE INTO removal VALUES (?, ?, ?)', imageId, reason, planId);
  }

  dropRemoval(imageId: string): void {
    this.run('DELETE FROM removal WHERE image_id = ?', imageId);
  }

  writeHolds(holds: ReadonlyMap<string, number>): void {
    this.database.transaction(() => {
      for (const [name, until] of holds) this.writeHold(name, until);
    })();
  }

  dropHolds(names: readonly string[]): void {
    this.database.transaction(() => {
      for (const name of names) this.run('DELETE FROM hold WHERE name = ?', name);
    })();
  }

  writeExceeded(mark: RememberedMark): void {
    const { mountpoint, resource, level, since, role } = mark;
    const { exceededSequence = null, recoveredSequence = null } = mark;
    this.run(
      'INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?, ?, ?, ?)',
      ...[mountpoint, resource, level, since, role, exceededSequence, recoveredSequence],
    );
  }

  dropExceeded({ mountpoint, resource, level }: ExceededMark): void {
    this.run(
      'DELETE FROM mark WHERE mountpoint = ? AND resource = ? AND level = ?',
      ...[mountpoint, resource, level],
    );
  }

  /** Images go and are remembered as removed, in one transaction. */
  imagesRemoved(notes: ReadonlyMap<string, RemovedRecord>): void {
    this.database.transaction(() => {
      for (const [imageId, removed] of notes) {
        this.forget(imageId);
        this.writeRemoved(imageId, removed);
      }
    })();
  }

  private writeRemoved(imageId: string, { names, removedAt, planId }: RemovedRecord): void {
    this.run(
      'INSERT OR REPLACE INTO removed VALUES (?, ?, ?, ?)',
      ...[imageId, JSON.stringify(names), removedAt, planId],
    );
  }

  dropRemoved(imageIds: readonly string[]): void {
    this.database.transaction(() => {
      for (const imageId of imageIds) this.run('DELETE FROM removed WHERE image_id = ?', imageId);
    })();
  }

  /** Never throws. */
  close(): void {
    try {
      this.database.close();
    } catch {
      // A full disk can refuse the last checkpoint; the WAL keeps the commits.
    }
  }

  private writeDetection(detectedAt: number): void {
    this.run('INSERT OR REPLACE INTO detection VALUES (1, ?)', detectedAt);
  }

  private writeHold(name: string, until: number): void {
    this.run('INSERT OR REPLACE INTO hold VALUES (?, ?)', name, until);
  }

  private writeImages(records: Iterable<ImageRecord>): void {
    const insert = this.database.prepare(
      'INSERT OR REPLACE INTO image VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    );
    for (const record of records) {
      insert.run(
        record.imageId,
        listText(record.repoTags),
        listText(record.repoDigests),
        record.sizeBytes,
        record.pinned ? 1 : 0,
        record.runtimeHandler,
        record.firstDetected,
        record.lastUsed,
        listText(record.usedBy),
        listText(record.namespaces),
        record.pulled?.durationMs ?? null,
        record.pulled?.sizeBytes ?? null,
      );
    }
  }

  private run(sql: string, ...values: (string | number | null)[]): void {
    let statement = this.statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare(sql);
      this.statements.set(sql, statement);
    }
    statement.run(...values);
  }
}

/** Most images have no user: thousands of empty lists need no serializer. */
const listText = (list: readonly unknown[] | undefined): string =>
  list === undefined || list.length === 0 ? '[]' : JSON.stringify(list);

function markOf(row: MarkRow): RememberedMark {
  const { mountpoint, role, resource, level, since_ms: since } = row;
  const { exceeded_sequence: exceeded, recovered_sequence: recovered } = row;
  return {
    mountpoint,
    role,
    resource,
    level,
    since,
    ...(exceeded == null ? {} : { exceededSequence: exceeded }),
    ...(recovered == null ? {} : { recoveredSequence: recovered }),
  };
}

function recordOf(row: ImageRow, detectedAt: number | null): ImageRecord {
  const usedBy = JSON.parse(row.used_by) as ImageUser[];
  const lastUsed =
    isSeenInUse(usedBy) && detectedAt != null
      ? Math.max(detectedAt, row.last_used_ms ?? -Infinity)
      : row.last_used_ms;
  return {
    imageId: row.image_id,
    repoTags: JSON.parse(row.repo_tags) as string[],
    repoDigests: JSON.parse(row.repo_digests) as string[],
    sizeBytes: row.size_bytes,
    pinned: row.pinned === 1,
    runtimeHandler: row.runtime_handler,
    firstDetected: row.first_detected_ms,
    lastUsed,
    usedBy,
    ...(row.namespaces === '[]' ? {} : { namespaces: JSON.parse(row.namespaces) as string[] }),
    ...(row.pull_ms == null
      ? {}
      : { pulled: { durationMs: row.pull_ms, sizeBytes: row.pull_bytes } }),
  };
}

/** True when the content is at fault: a damaged file, no database, or a table or JSON that is not as written. */
export const isDamage = (error: unknown): boolean =>
  isUnusable(error) || error instanceof SyntaxError;

const errorText = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
