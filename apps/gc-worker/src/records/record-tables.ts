import type { Database, Statement } from '@stowage/sqlite';
import { isSeenInUse } from './apply-detection';
import type { ExceededThreshold, ThresholdKey } from './exceeded-threshold';
import type { ImageRecord, ImageUser } from './image-record';

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

/** Images whose ImageDetected is being published, in the order of their events. */
export interface DetectedBatch {
  readonly firstSequence: number;
  readonly imageIds: readonly string[];
}

/**
 * A threshold that is exceeded, with the sequences of its ThresholdExceeded and ThresholdRecovered;
 * absent while there is none.
 */
export interface RememberedThreshold extends ExceededThreshold {
  readonly exceededSequence?: number;
  readonly recoveredSequence?: number;
}

/** Everything that is remembered. */
export interface Remembered {
  readonly images: Map<string, ImageRecord>;
  readonly removals: Map<string, RemovalIntent>;
  /** Ids of images whose ImageRemoved is being published, with the sequence of the event. */
  readonly publishingRemoved: Map<string, number>;
  /** The detection whose events may not have gone out; null when all did. */
  publishingDetected: DetectedBatch | null;
  /** Image name or id to the end of its hold. */
  readonly holds: Map<string, number>;
  /** Thresholds that are exceeded, by {@link thresholdName}. */
  readonly exceeded: Map<string, RememberedThreshold>;
  /** Images removed of late, by image id. */
  readonly removed: Map<string, RemovedRecord>;
  /** Time of the last detection; null before the first. */
  detectedAt: number | null;
}

/** One text for one threshold of one file system. */
export const thresholdName = ({ mountpoint, resource, level }: ThresholdKey): string =>
  `${resource} ${level} ${mountpoint}`;

export const nothingRemembered = (): Remembered => ({
  images: new Map(),
  removals: new Map(),
  publishingRemoved: new Map(),
  publishingDetected: null,
  holds: new Map(),
  exceeded: new Map(),
  removed: new Map(),
  detectedAt: null,
});

type Value = string | number | null;

/**
 * One table: its rows, columns in the order of the schema, made of what is remembered, and taken
 * from the file.
 */
interface Table<Row extends Value[]> {
  readonly rows: (from: Remembered) => Iterable<Row>;
  readonly load: (into: Remembered, row: Row) => void;
  readonly orderBy?: string;
}

// Rows are what the schema makes them, in writing and in reading.
const table = <Row extends Value[]>(of: Table<Row>) => of as unknown as Table<Value[]>;

type ImageRow = [
  imageId: string,
  repoTags: string,
  repoDigests: string,
  sizeBytes: number,
  pinned: number,
  runtimeHandler: string,
  firstDetected: number | null,
  lastUsed: number | null,
  usedBy: string,
  namespaces: string,
  pullMs: number | null,
  pullBytes: number | null,
];

type ThresholdRow = [
  mountpoint: string,
  resource: ThresholdKey['resource'],
  level: ThresholdKey['level'],
  since: number,
  role: ExceededThreshold['role'],
  exceededSequence: number | null,
  recoveredSequence: number | null,
];

const tables = {
  // First: images that are in use were last used when it looked.
  detection: table<[id: 1, detectedAt: number]>({
    rows: ({ detectedAt }) => (detectedAt == null ? [] : [[1, detectedAt]]),
    load: (into, [, detectedAt]) => {
      into.detectedAt = detectedAt;
    },
  }),
  image: table<ImageRow>({
    rows: ({ images }) => [...images.values()].map(imageRow),
    load: (into, row) => {
      into.images.set(row[0], recordOf(row, into.detectedAt));
    },
  }),
  removal: table<[imageId: string, reason: RemovalIntent['reason'], planId: string]>({
    rows: ({ removals }) =>
      [...removals].map(([imageId, { reason, planId }]) => [imageId, reason, planId]),
    load: ({ removals }, [imageId, reason, planId]) => {
      removals.set(imageId, { reason, planId });
    },
  }),
  telling: table<[imageId: string, sequence: number]>({
    rows: ({ publishingRemoved }) => publishingRemoved,
    load: ({ publishingRemoved }, row) => {
      publishingRemoved.set(...row);
    },
  }),
  announcing: table<DetectedBatchRow>({
    rows: ({ publishingDetected: batch }) => (batch == null ? [] : [detectedBatchRow(batch)]),
    load: (into, [, firstSequence, imageIds]) => {
      into.publishingDetected = { firstSequence, imageIds: JSON.parse(imageIds) as string[] };
    },
  }),
  hold: table<[name: string, until: number]>({
    rows: ({ holds }) => holds,
    load: ({ holds }, row) => {
      holds.set(...row);
    },
  }),
  mark: table<ThresholdRow>({
    rows: ({ exceeded }) => [...exceeded.values()].map(thresholdRow),
    load: ({ exceeded }, row) => {
      const threshold = thresholdOf(row);
      exceeded.set(thresholdName(threshold), threshold);
    },
  }),
  removed: table<RemovedRow>({
    orderBy: 'removed_ms',
    rows: ({ removed }) => [...removed].map(removedRow),
    load: ({ removed }, [imageId, names, removedAt, planId]) => {
      removed.set(imageId, { names: JSON.parse(names) as string[], removedAt, planId });
    },
  }),
};

type DetectedBatchRow = [id: 1, firstSequence: number, imageIds: string];
type RemovedRow = [imageId: string, names: string, removedAt: number, planId: string];

/**
 * The records in SQLite. Every method throws what SQLite throws; what changes belongs into a
 * transaction.
 */
export class RecordTables {
  /** Prepared when first used: few texts, and some come with every removal. */
  readonly #statements = new Map<string, Statement>();

  constructor(private readonly database: Database) {}

  read(): Remembered {
    const remembered = nothingRemembered();
    for (const [name, { load, orderBy = 'rowid' }] of Object.entries(tables)) {
      const rows = this.database.prepare<[], Value[]>(`SELECT * FROM ${name} ORDER BY ${orderBy}`);
      for (const row of rows.raw().iterate()) load(remembered, row);
    }
    return remembered;
  }

  /** Makes the file hold exactly this. */
  replaceAll(remembered: Remembered): void {
    for (const [name, { rows }] of Object.entries(tables)) {
      this.#run(`DELETE FROM ${name}`);
      for (const row of rows(remembered)) this.#put(name, row);
    }
  }

  /**
   * Writes changed images and drops others. With `detectedAt` the batch of detected images is
   * published, and images that were in use before and still are need not be among the changed ones:
   * it is their last use.
   */
  update(changed: readonly ImageRecord[], gone: readonly string[], detectedAt?: number): void {
    if (detectedAt !== undefined) {
      this.#put('detection', [1, detectedAt]);
      this.#run('DELETE FROM announcing');
    }
    for (const record of changed) this.#put('image', imageRow(record));
    for (const imageId of gone) this.#forget(imageId);
  }

  /** Writes new images, and that their events are being published. */
  writePublishingDetected(images: readonly ImageRecord[], batch: DetectedBatch): void {
    for (const record of images) this.#put('image', imageRow(record));
    this.#put('announcing', detectedBatchRow(batch));
  }

  /** Writes the sequences of ImageRemoved events that are being published, by image id. */
  writePublishingRemoved(sequences: ReadonlyMap<string, number>): void {
    for (const row of sequences) this.#put('telling', row);
  }

  #forget(imageId: string): void {
    for (const name of ['image', 'removal', 'telling']) {
      this.#run(`DELETE FROM ${name} WHERE image_id = ?`, imageId);
    }
  }

  writeRemoval(imageId: string, { reason, planId }: RemovalIntent): void {
    this.#put('removal', [imageId, reason, planId]);
  }

  dropRemoval(imageId: string): void {
    this.#run('DELETE FROM removal WHERE image_id = ?', imageId);
  }

  writeHolds(holds: ReadonlyMap<string, number>): void {
    for (const row of holds) this.#put('hold', row);
  }

  dropHolds(names: readonly string[]): void {
    for (const name of names) this.#run('DELETE FROM hold WHERE name = ?', name);
  }

  writeExceeded(threshold: RememberedThreshold): void {
    this.#put('mark', thresholdRow(threshold));
  }

  dropExceeded({ mountpoint, resource, level }: ExceededThreshold): void {
    this.#run(
      'DELETE FROM mark WHERE mountpoint = ? AND resource = ? AND level = ?',
      ...[mountpoint, resource, level],
    );
  }

  /** Images go and are remembered as removed. */
  imagesRemoved(notes: ReadonlyMap<string, RemovedRecord>): void {
    for (const note of notes) {
      this.#forget(note[0]);
      this.#put('removed', removedRow(note));
    }
  }

  dropRemoved(imageIds: readonly string[]): void {
    for (const imageId of imageIds) this.#run('DELETE FROM removed WHERE image_id = ?', imageId);
  }

  #put(name: string, row: readonly Value[]): void {
    this.#run(`INSERT OR REPLACE INTO ${name} VALUES (${'?, '.repeat(row.length - 1)}?)`, ...row);
  }

  #run(sql: string, ...values: Value[]): void {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    statement.run(...values);
  }
}

const detectedBatchRow = ({ firstSequence, imageIds }: DetectedBatch): DetectedBatchRow => [
  1,
  firstSequence,
  JSON.stringify(imageIds),
];

const removedRow = ([imageId, removed]: [string, RemovedRecord]): RemovedRow => [
  imageId,
  JSON.stringify(removed.names),
  removed.removedAt,
  removed.planId,
];

const thresholdRow = (threshold: RememberedThreshold): ThresholdRow => {
  const { mountpoint, resource, level, since, role } = threshold;
  const { exceededSequence = null, recoveredSequence = null } = threshold;
  return [mountpoint, resource, level, since, role, exceededSequence, recoveredSequence];
};

function thresholdOf(row: ThresholdRow): RememberedThreshold {
  const [mountpoint, resource, level, since, role, exceeded, recovered] = row;
  return {
    mountpoint,
    role,
    resource,
    level,
    since,
    exceededSequence: exceeded ?? undefined,
    recoveredSequence: recovered ?? undefined,
  };
}

const imageRow = (record: ImageRecord): ImageRow => [
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
];

/** Most images have no user: thousands of empty lists need no serializer. */
const listText = (list: readonly unknown[] | undefined): string =>
  list === undefined || list.length === 0 ? '[]' : JSON.stringify(list);

function recordOf(row: ImageRow, detectedAt: number | null): ImageRecord {
  const [imageId, repoTags, repoDigests, sizeBytes, pinned, runtimeHandler, firstDetected] = row;
  const [, , , , , , , lastUsed, usedByText, namespaces, pullMs, pullBytes] = row;
  const usedBy = JSON.parse(usedByText) as ImageUser[];
  return {
    imageId,
    repoTags: JSON.parse(repoTags) as string[],
    repoDigests: JSON.parse(repoDigests) as string[],
    sizeBytes,
    pinned: pinned === 1,
    runtimeHandler,
    firstDetected,
    lastUsed:
      isSeenInUse(usedBy) && detectedAt != null
        ? Math.max(detectedAt, lastUsed ?? -Infinity)
        : lastUsed,
    usedBy,
    namespaces: namespaces === '[]' ? undefined : (JSON.parse(namespaces) as string[]),
    pulled: pullMs == null ? undefined : { durationMs: pullMs, sizeBytes: pullBytes },
  };
}
