import path from 'node:path';
import { errorMessage, FailedPreconditionError } from '@stowage/errors';
import { openStateFileCopy, StateFile, StateFileNewerError } from '@stowage/sqlite';
import { isSeenInUse, sameImageUsers, sameTexts, type DetectionResult } from './apply-detection';
import {
  thresholdName,
  nothingRemembered,
  RecordTables,
  type RememberedThreshold,
  type Remembered,
  type RemovalIntent,
  type RemovedRecord,
} from './record-tables';
import { recordsContent } from './schema';
import type { ExceededThreshold, ThresholdKey } from './exceeded-threshold';
import type { ImageRecord, PullFacts } from './image-record';

/** Where lines about the file go. */
interface RecordLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface RecordStoreOptions {
  /** Folder of the file `records.db`; made when it is missing. */
  readonly stateDir: string;
  /**
   * `in-memory` forgets at exit, as kubelet does; `as-read` begins with what the file holds and
   * writes nothing.
   */
  readonly keep: 'on-disk' | 'in-memory' | 'as-read';
  readonly now: () => Date;
  readonly log: RecordLog;
  /** Called when a file could not be used and was set aside. */
  readonly onSetAside?: (reason: string) => void;
  /** Called when the store is opened, and when its state changes. */
  readonly onStatus?: (status: RecordStoreStatus) => void;
  /** Called for each write that failed. */
  readonly onWriteError?: () => void;
}

/** Whether what is remembered would survive a restart now. */
export interface RecordStoreStatus {
  readonly state: 'on-disk' | 'in-memory' | 'not-written';
  readonly path: string;
  /** Why it is not written. */
  readonly reason?: string;
  /** Since when it is not written. */
  readonly since?: Date;
}

/**
 * Image records over restarts. Memory decides, the file follows in the same call: when it cannot be
 * written (disk full, read-only) the worker goes on, and the whole state is written once that works
 * again. A damaged or foreign file is renamed and recreated.
 */
export class ImageRecordStore {
  /** Opened where records are kept on disk; else it takes no writes and has no problem. */
  readonly #file: StateFile<RecordTables>;
  readonly #path: string;
  #remembered: Remembered = nothingRemembered();
  #isRebuilding = false;

  private constructor(private readonly options: RecordStoreOptions) {
    const { stateDir, now, log, onSetAside, onStatus, onWriteError } = options;
    const file = path.join(stateDir, 'records.db');
    this.#path = file;
    this.#file = new StateFile({
      file,
      content: recordsContent,
      makesFolder: true,
      now,
      prepare: (database, isLate) => {
        const tables = new RecordTables(database);
        if (!isLate) this.#remembered = tables.read();
        return tables;
      },
      onSetAside: (setAsideAs, reason, isLate) => {
        const message = 'records cannot be used: renamed, recreated from the runtime';
        log.warn({ path: file, setAsideAs, reason }, message);
        onSetAside?.(reason);
        if (!isLate) this.#isRebuilding = true;
      },
      onRefused: onWriteError,
      onProblem: (reason) => {
        log.warn({ path: file, reason }, 'records cannot be written: kept in memory only');
        onStatus?.(this.status());
      },
      onWritten: () => {
        log.info({ path: file }, 'records are written again');
        onStatus?.(this.status());
      },
      retry: () => {
        this.retry(true);
      },
      heldError: () => heldError(stateDir),
    });
  }

  /**
   * Reads what is remembered. Throws FailedPreconditionError when another process holds the file,
   * StateFileKindError and StateFileNewerError; after any other trouble with it the store works in
   * memory, as {@link status} reports.
   */
  static open(options: RecordStoreOptions): ImageRecordStore {
    const store = new ImageRecordStore(options);
    const { keep } = options;
    // What cannot be opened for writing (no space, read-only) is read all the same: its ages count.
    if (keep === 'as-read' || (keep === 'on-disk' && !store.#file.open())) store.#readCopy();
    options.onStatus?.(store.status());
    return store;
  }

  /**
   * True from when a file was set aside to the next detection: images are then found that were
   * known before.
   */
  get rebuilding(): boolean {
    return this.#isRebuilding;
  }

  images(): ReadonlyMap<string, ImageRecord> {
    return this.#remembered.images;
  }

  /** When the last detection looked, milliseconds since the epoch; null before the first one. */
  detectedAt(): number | null {
    return this.#remembered.detectedAt;
  }

  /** Takes over the result of a detection: records, and nothing of images that are gone. */
  apply({ records, vanished, detectedAt }: DetectionResult): void {
    const { images } = this.#remembered;
    const changed: ImageRecord[] = [];
    for (const record of records.values()) {
      const before = images.get(record.imageId);
      if (before === record) continue;
      if (before === undefined || !isOnlyUsedOn(before, record)) changed.push(record);
      images.set(record.imageId, record);
    }
    const gone = vanished.map(({ imageId }) => imageId);
    for (const imageId of gone) this.#drop(imageId);
    this.#remembered.detectedAt = detectedAt;
    this.#remembered.publishingDetected = null;
    this.#isRebuilding = false;
    this.#write((tables) => tables.update(changed, gone, detectedAt));
  }

  /**
   * Sets the last use of an image, if that is later than the known use. False when there is no
   * record of it.
   */
  used(imageId: string, lastUsed: number): boolean {
    const record = this.#remembered.images.get(imageId);
    if (record === undefined) return false;
    if ((record.lastUsed ?? -Infinity) >= lastUsed) return true;
    const changed = { ...record, lastUsed };
    this.#remembered.images.set(imageId, changed);
    this.#write((tables) => {
      tables.update([changed], []);
    });
    return true;
  }

  /** These images are gone, and their removal was reported. */
  forget(imageIds: readonly string[]): void {
    const known = imageIds.filter((imageId) => this.#drop(imageId));
    if (known.length > 0) this.#write((tables) => tables.update([], known));
  }

  /**
   * The ImageRemoved events of these images are about to be published, with rising sequences from
   * this one. Should the process die before the records follow, {@link reconcilePublished} knows
   * which of them went out. The same holds for {@link publishingDetected} and thresholds.
   */
  publishingRemoved(imageIds: readonly string[], firstSequence: number): void {
    if (imageIds.length === 0) return;
    const sequences = new Map(imageIds.map((imageId, at) => [imageId, firstSequence + at]));
    for (const [imageId, sequence] of sequences) {
      this.#remembered.publishingRemoved.set(imageId, sequence);
    }
    this.#write((tables) => tables.writePublishingRemoved(sequences));
  }

  /**
   * The ImageDetected events of these images are about to be published, with rising sequences from
   * this one. They have records from now on; the detection that {@link apply} takes over next ends
   * it.
   */
  publishingDetected(records: readonly ImageRecord[], firstSequence: number): void {
    if (records.length === 0) return;
    const batch = { firstSequence, imageIds: records.map(({ imageId }) => imageId) };
    for (const record of records) this.#remembered.images.set(record.imageId, record);
    this.#remembered.publishingDetected = batch;
    this.#write((tables) => tables.writePublishingDetected(records, batch));
  }

  /**
   * To be called before the first event of a process, with its sequence. Where an earlier process
   * died while it published events, the records then agree with those that went out: images whose
   * removal was published are forgotten, those whose detection was not are unknown again, and a
   * threshold is exceeded when that was published and its recovery was not.
   */
  reconcilePublished(nextSequence: number): void {
    const { publishingRemoved, publishingDetected, images, exceeded } = this.#remembered;
    const wasPublished = (sequence: number) => sequence < nextSequence;
    const isOpen = ({ exceededSequence, recoveredSequence }: RememberedThreshold) =>
      recoveredSequence !== undefined || !wasPublished(exceededSequence ?? -Infinity);
    const open = [...exceeded].filter(([, threshold]) => isOpen(threshold));
    if (publishingRemoved.size === 0 && publishingDetected == null && open.length === 0) return;
    for (const [imageId, sequence] of publishingRemoved) {
      if (wasPublished(sequence)) this.#drop(imageId);
    }
    publishingRemoved.clear();
    publishingDetected?.imageIds.forEach((imageId, at) => {
      if (!wasPublished(publishingDetected.firstSequence + at)) images.delete(imageId);
      // The same event says that it came back.
      else this.#remembered.removed.delete(imageId);
    });
    this.#remembered.publishingDetected = null;
    for (const [name, { recoveredSequence, ...threshold }] of open) {
      const isOver = recoveredSequence !== undefined && wasPublished(recoveredSequence);
      if (isOver || !wasPublished(threshold.exceededSequence ?? -Infinity)) exceeded.delete(name);
      else exceeded.set(name, threshold);
    }
    this.#write((tables) => tables.replaceAll(this.#remembered));
  }

  #drop(imageId: string): boolean {
    const { images, removals, publishingRemoved } = this.#remembered;
    const dropped = [images, removals, publishingRemoved].map((known) => known.delete(imageId));
    return dropped.includes(true);
  }

  /** A removal begins: should the process die in it, the next one knows why the image is gone. */
  removalBegins(imageId: string, intent: RemovalIntent): void {
    this.#remembered.removals.set(imageId, intent);
    this.#write((tables) => tables.writeRemoval(imageId, intent));
  }

  /** The removal that began did not happen. */
  removalFailed(imageId: string): void {
    if (this.#remembered.removals.delete(imageId))
      this.#write((tables) => tables.dropRemoval(imageId));
  }

  /** The removal of this image that was begun and whose end is not known, if any. */
  removalIntent(imageId: string): RemovalIntent | undefined {
    return this.#remembered.removals.get(imageId);
  }

  /** Ids of the images whose removal was begun and whose end is not known. */
  intendedRemovals(): string[] {
    return [...this.#remembered.removals.keys()];
  }

  holds(): ReadonlyMap<string, number> {
    return this.#remembered.holds;
  }

  /** Records ends of holds that are new or have changed. */
  setHolds(holds: ReadonlyMap<string, number>): void {
    if (holds.size === 0) return;
    for (const [name, until] of holds) this.#remembered.holds.set(name, until);
    this.#write((tables) => tables.writeHolds(holds));
  }

  /** Forgets holds that have passed. */
  dropHolds(names: readonly string[]): void {
    for (const name of names) this.#remembered.holds.delete(name);
    this.#write((tables) => tables.dropHolds(names));
  }

  /** Thresholds that are exceeded. */
  exceeded(): readonly ExceededThreshold[] {
    return [...this.#remembered.exceeded.values()].map(
      ({ mountpoint, role, resource, level, since }) => {
        return { mountpoint, role, resource, level, since };
      },
    );
  }

  /** Since when a threshold is exceeded; undefined when it is not. */
  exceededSince(threshold: ThresholdKey): number | undefined {
    return this.#remembered.exceeded.get(thresholdName(threshold))?.since;
  }

  /** The threshold is exceeded; the event of that sequence is about to be published. */
  setExceeded(threshold: ExceededThreshold, exceededSequence: number): void {
    const { mountpoint, role, resource, level, since } = threshold;
    this.#remember({ mountpoint, role, resource, level, since, exceededSequence });
  }

  /**
   * The ThresholdRecovered event of that sequence is about to be published; {@link dropExceeded}
   * follows.
   */
  publishingRecovered(threshold: ThresholdKey, recoveredSequence: number): void {
    const known = this.#remembered.exceeded.get(thresholdName(threshold));
    if (known !== undefined) this.#remember({ ...known, recoveredSequence });
  }

  #remember(threshold: RememberedThreshold): void {
    this.#remembered.exceeded.set(thresholdName(threshold), threshold);
    this.#write((tables) => tables.writeExceeded(threshold));
  }

  /** The threshold is no longer exceeded. */
  dropExceeded(threshold: ThresholdKey): void {
    const known = this.#remembered.exceeded.get(thresholdName(threshold));
    if (known === undefined) return;
    this.#remembered.exceeded.delete(thresholdName(threshold));
    this.#write((tables) => tables.dropExceeded(known));
  }

  /** Records what our pull of an image took. False when there is no record of it. */
  pulled(imageId: string, pulled: PullFacts): boolean {
    const record = this.#remembered.images.get(imageId);
    if (record === undefined) return false;
    const changed = { ...record, pulled };
    this.#remembered.images.set(imageId, changed);
    this.#write((tables) => {
      tables.update([changed], []);
    });
    return true;
  }

  /** Images that collections removed recently, by id; oldest first. */
  removedImages(): ReadonlyMap<string, RemovedRecord> {
    return this.#remembered.removed;
  }

  /** These images were removed and that was reported; they are remembered to notice a new pull. */
  noteRemoved(notes: ReadonlyMap<string, RemovedRecord>): void {
    const { removed } = this.#remembered;
    for (const [imageId, note] of notes) {
      this.#drop(imageId);
      removed.delete(imageId);
      removed.set(imageId, note);
    }
    this.#write((tables) => tables.imagesRemoved(notes));
  }

  /** Forgets removals that no longer matter. */
  forgetRemoved(imageIds: readonly string[]): void {
    const known = imageIds.filter((imageId) => this.#remembered.removed.delete(imageId));
    if (known.length > 0) this.#write((tables) => tables.dropRemoved(known));
  }

  /** The clock was set by so much: every remembered time in the past moves with it. */
  shiftTimes(byMs: number): void {
    const { images, removed, exceeded } = this.#remembered;
    const shifted = (time: number | null): number | null => (time == null ? null : time + byMs);
    for (const [imageId, record] of images) {
      const { firstDetected, lastUsed } = record;
      images.set(imageId, {
        ...record,
        firstDetected: shifted(firstDetected),
        lastUsed: shifted(lastUsed),
      });
    }
    for (const [imageId, removal] of removed) {
      removed.set(imageId, { ...removal, removedAt: removal.removedAt + byMs });
    }
    for (const [name, threshold] of exceeded) {
      exceeded.set(name, { ...threshold, since: threshold.since + byMs });
    }
    this.#remembered.detectedAt = shifted(this.#remembered.detectedAt);
    this.#write((tables) => tables.replaceAll(this.#remembered), true);
  }

  status(): RecordStoreStatus {
    if (this.options.keep !== 'on-disk') return { state: 'in-memory', path: this.#path };
    const { problem } = this.#file;
    return problem === undefined
      ? { state: 'on-disk', path: this.#path }
      : { state: 'not-written', path: this.#path, ...problem };
  }

  /**
   * Writes everything when writing failed before, at most once a second or `now`; this also happens
   * by itself. Never throws.
   */
  retry(now = false): void {
    if (this.#file.problem === undefined || !this.#file.isDue(now)) return;
    this.#file.write((tables) => tables.replaceAll(this.#remembered));
  }

  close(): void {
    this.retry(true);
    this.#file.close();
  }

  #readCopy(): void {
    try {
      const database = openStateFileCopy(this.#path, recordsContent);
      if (database === undefined) return;
      this.#remembered = new RecordTables(database).read();
      database.close();
    } catch (error) {
      if (error instanceof StateFileNewerError) throw error;
      const reason = errorMessage(error);
      this.options.log.warn({ path: this.#path, reason }, 'records cannot be read');
    }
  }

  #write(change: (tables: RecordTables) => void, now = false): void {
    if (this.#file.problem === undefined) this.#file.write(change);
    else this.retry(now);
  }
}

const heldError = (stateDir: string): FailedPreconditionError =>
  new FailedPreconditionError(
    `state directory ${stateDir} is in use by another gc-worker: stop it, or give this one a directory of its own (STOWAGE_STATE_DIR)`,
  );

/** Whether nothing changed but the time of its last use, which is that of the detection. */
const isOnlyUsedOn = (before: ImageRecord, now: ImageRecord): boolean =>
  isSeenInUse(now.usedBy) &&
  sameImageUsers(before.usedBy, now.usedBy) &&
  before.sizeBytes === now.sizeBytes &&
  before.pinned === now.pinned &&
  before.runtimeHandler === now.runtimeHandler &&
  before.firstDetected === now.firstDetected &&
  sameTexts(before.repoTags, now.repoTags) &&
  sameTexts(before.repoDigests, now.repoDigests) &&
  sameTexts(before.namespaces ?? [], now.namespaces ?? []);
