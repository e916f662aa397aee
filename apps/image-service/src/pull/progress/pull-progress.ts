import { StowageError } from '@stowage/errors';
import { imageFsBytes, provesCount } from '../../runtime/image-fs-bytes';
import type { ImageRuntime } from '../../runtime/image-runtime';
import type { LayerProgress, Pull, PullProgress } from '../pull';
import type { ContentStore, Ingest, ManifestBlobs } from './content-store';

/** How pulls are watched. */
export interface ProgressPolicy {
  /** A pull that brings no bytes for so long is cancelled, milliseconds; 0 is off. */
  readonly deadlineMs: number;
  /** Progress of one pull is reported at most once in this time, milliseconds; 0 is never. */
  readonly intervalMs: number;
  /**
   * Whether the deadline counts when only ImageFsInfo can be asked: that does not see downloads,
   * only what is unpacked, and of some runtimes not even that; there it does not count.
   */
  readonly trustImageFs: boolean;
}

/** A pull brought no bytes for too long, and was cancelled. */
export class PullStalledError extends StowageError {
  constructor(readonly deadlineMs: number) {
    super(`the pull made no progress for ${deadlineMs} ms and was cancelled`, {
      code: 'IMAGE_PULL_STALLED',
      grpcStatus: 'DEADLINE_EXCEEDED',
      retryable: true,
    });
  }
}

interface Watched {
  readonly pull: Pull;
  readonly stalled: (error: PullStalledError) => void;
  readonly startedAt: number;
  /** By the wall clock, as files are dated. */
  readonly startedOn: number;
  /** Of the store when the pull began to be measured. */
  baseBytes?: number;
  manifest?: ManifestBlobs;
  /** What of the manifest's blobs was there before. */
  firstBytes?: number;
  firstAt?: number;
  lastMark: string;
  movedAt: number;
  reportedAt: number;
  reportedBytes: number;
  /** As of the last look; absent while nothing can be seen of it. */
  seen?: SeenProgress;
}

/** How far a pull is, with its layers where the manifest is known. */
export interface SeenProgress {
  readonly progress: PullProgress;
  readonly layers?: readonly LayerProgress[];
}

interface Sample {
  readonly at: number;
  readonly ingests: readonly Ingest[];
  readonly usedBytes: number;
}

/** Shortest time between two looks, milliseconds. */
const minTickMs = 200;

/** Shortest time between two looks at whether ImageFsInfo counts the images, milliseconds. */
const countCheckMs = 30_000;

/** Watches the pulls that the runtime is working on. Looks only while there are any. */
export class PullProgressWatch {
  readonly #watched = new Set<Watched>();
  /** Bytes downloaded since the first look, all pulls together. */
  #downloaded = 0;
  #lastIngests = new Map<string, number>();
  /** As the runtime reported it last. */
  #imageFs = { usedBytes: 0, mountpoint: '' };
  /**
   * Whether that counts the images, as far as the images there proved it. Only a proof lets a
   * figure stand for progress.
   */
  #countsImages = false;
  #countCheckedAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #lookedAt = -Infinity;

  constructor(
    private readonly policy: ProgressPolicy,
    private readonly runtime: Pick<ImageRuntime, 'imageFsInfo' | 'listImages'>,
    /** Absent where containerd's files cannot be read. */
    private readonly contentStore: (imageFsMountpoint: string) => Promise<ContentStore | undefined>,
    private readonly report: (pull: Pull, progress: PullProgress) => void,
    /** Milliseconds of a clock that never jumps: one that is set forwards is no standstill. */
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Watches a pull until the returned function is called. `stalled` is called at most once. */
  watch(pull: Pull, stalled: (error: PullStalledError) => void): () => void {
    const now = this.now();
    const watched: Watched = {
      pull,
      stalled,
      startedAt: now,
      startedOn: Date.now(),
      lastMark: '',
      movedAt: now,
      reportedAt: now,
      reportedBytes: 0,
    };
    this.#watched.add(watched);
    this.#schedule();
    return () => {
      this.#watched.delete(watched);
      if (this.#watched.size > 0) return;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    };
  }

  #schedule(): void {
    const { deadlineMs, intervalMs } = this.policy;
    const wanted = [deadlineMs / 4, intervalMs / 2].filter((ms) => ms > 0);
    if (wanted.length === 0) return;
    this.#timer ??= setTimeout(
      () => {
        void this.look().finally(() => {
          this.#timer = undefined;
          if (this.#watched.size > 0) this.#schedule();
        });
      },
      Math.max(minTickMs, Math.min(...wanted)),
    ).unref();
  }

  /** How far a pull is, by its id, as of now; undefined while nothing can be seen of it. */
  async progress(pullIds: readonly string[]): Promise<ReadonlyMap<string, SeenProgress>> {
    if (pullIds.length > 0 && this.now() - this.#lookedAt >= minTickMs) await this.look();
    return new Map(
      [...this.#watched].flatMap(({ pull, seen }) =>
        seen === undefined || !pullIds.includes(pull.id) ? [] : [[pull.id, seen]],
      ),
    );
  }

  /**
   * One look at all pulls; who asks in the middle of one waits for that. Where there are none it
   * learns where the runtime keeps its images.
   */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
      this.#lookedAt = this.now();
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    await this.#askImageFs();
    const { usedBytes, mountpoint } = this.#imageFs;
    const store = await this.contentStore(mountpoint);
    if (store === undefined) await this.#checkCount();
    const ingests = (await store?.ingests()) ?? [];
    this.#count(ingests);
    const sample: Sample = { at: this.now(), ingests, usedBytes };
    for (const watched of [...this.#watched]) await this.#judge(watched, sample, store);
  }

  /** A runtime that does not answer is where it was: it makes no progress that could be seen. */
  async #askImageFs(): Promise<void> {
    try {
      const info = await this.runtime.imageFsInfo({}, { timeoutMs: 5000 });
      const mountpoints = info.imageFilesystems.map(({ fsId }) => fsId?.mountpoint ?? '');
      this.#imageFs = {
        usedBytes: imageFsBytes(info),
        mountpoint: mountpoints.find((mountpoint) => mountpoint !== '') ?? '',
      };
    } catch {
      return;
    }
  }

  /** Whether ImageFsInfo counts the images is asked until the images that are there prove it. */
  async #checkCount(): Promise<void> {
    if (this.#countsImages || this.now() - this.#countCheckedAt < countCheckMs) return;
    this.#countCheckedAt = this.now();
    try {
      const { images } = await this.runtime.listImages({}, { timeoutMs: 5000 });
      this.#countsImages = provesCount(this.#imageFs.usedBytes, images);
    } catch {
      return;
    }
  }

  /** Adds what the downloads have grown by since the last look. */
  #count(ingests: readonly Ingest[]): void {
    const now = new Map<string, number>();
    for (const [index, { digest, bytes }] of ingests.entries()) {
      const key = digest ?? `unnamed ${String(index)}`;
      now.set(key, bytes);
      this.#downloaded += Math.max(0, bytes - (this.#lastIngests.get(key) ?? 0));
    }
    this.#lastIngests = now;
  }

  async #judge(watched: Watched, sample: Sample, store: ContentStore | undefined): Promise<void> {
    watched.manifest ??= await this.#manifestOf(watched, sample, store);
    const layers = await layersOf(watched.manifest, sample, store);
    const exact = layers?.reduce((sum, layer) => sum + layer.bytes, 0);
    if (!this.#watched.has(watched)) return;
    // Nothing that moves with the pull can be seen.
    if (store === undefined && !this.#countsImages) {
      watched.movedAt = sample.at;
      return;
    }
    const counted = store === undefined ? sample.usedBytes : this.#downloaded;
    watched.baseBytes ??= counted;
    const bytes = exact ?? Math.max(0, counted - watched.baseBytes);
    const mark = markOf(watched.manifest, bytes, sample);
    if (mark !== watched.lastMark) {
      watched.lastMark = mark;
      watched.movedAt = sample.at;
    }
    const progress = progressOf(watched, bytes, exact !== undefined, sample.at);
    watched.seen = { progress, layers };
    this.#reportOf(watched, progress, sample.at);
    const { deadlineMs, trustImageFs } = this.policy;
    if (deadlineMs === 0 || (store === undefined && !trustImageFs)) return;
    if (sample.at - watched.movedAt < deadlineMs) return;
    this.#watched.delete(watched);
    watched.stalled(new PullStalledError(deadlineMs));
  }

  /**
   * The manifest is known when the reference has its digest, or when there is just one new one and
   * one pull.
   */
  async #manifestOf(
    { pull, startedOn }: Watched,
    { ingests }: Sample,
    store: ContentStore | undefined,
  ): Promise<ManifestBlobs | undefined> {
    if (store === undefined) return undefined;
    const [digest] = /sha256:[0-9a-f]{64}$/.exec(pull.reference ?? '') ?? [];
    const named = digest === undefined ? undefined : await store.manifest(digest);
    if (named !== undefined) return named;
    if (this.#watched.size > 1 || ingests.length === 0) return undefined;
    const downloading = new Set(ingests.map((ingest) => ingest.digest));
    const fitting = (await store.manifestsSince(startedOn - 1000)).filter(({ sizes }) =>
      [...sizes.keys()].some((blob) => downloading.has(blob)),
    );
    return fitting.length === 1 ? fitting[0] : undefined;
  }

  #reportOf(watched: Watched, progress: PullProgress, at: number): void {
    const { intervalMs } = this.policy;
    const { bytes } = progress;
    if (intervalMs === 0 || at - watched.reportedAt < intervalMs || bytes <= watched.reportedBytes)
      return;
    watched.reportedAt = at;
    watched.reportedBytes = bytes;
    this.report(watched.pull, progress);
  }
}

function progressOf(watched: Watched, bytes: number, isExact: boolean, at: number): PullProgress {
  if (bytes > 0 && watched.firstAt === undefined) {
    watched.firstAt = at;
    watched.firstBytes = bytes;
  }
  const { manifest } = watched;
  const totalBytes = isExact && manifest !== undefined ? totalOf(manifest) : undefined;
  const seconds = (at - (watched.firstAt ?? at)) / 1000;
  const bytesPerSecond =
    seconds > 0 ? Math.round((bytes - (watched.firstBytes ?? 0)) / seconds) : undefined;
  return {
    bytes,
    totalBytes,
    percent: totalBytes === undefined ? undefined : share(bytes, totalBytes),
    bytesPerSecond,
    remainingMs:
      totalBytes === undefined || bytesPerSecond === undefined || bytesPerSecond <= 0
        ? undefined
        : Math.round((Math.max(0, totalBytes - bytes) / bytesPerSecond) * 1000),
    elapsedMs: Math.max(0, Math.round(at - watched.startedAt)),
    approximate: !isExact,
  };
}

/** Bytes of all blobs of a manifest. */
const totalOf = ({ sizes }: ManifestBlobs): number =>
  [...sizes.values()].reduce((sum, size) => sum + size, 0);

/**
 * Changes while a pull moves. While it is downloading blobs that are known to be its own, only its
 * own bytes count: it must not stand still unnoticed beside others. Else all that the runtime
 * downloads or unpacks counts.
 */
function markOf(
  manifest: ManifestBlobs | undefined,
  bytes: number,
  { ingests, usedBytes }: Sample,
): string {
  const isDownloading = ingests.some(
    ({ digest = '', bytes: size }) => size < (manifest?.sizes.get(digest) ?? 0),
  );
  if (isDownloading) return String(bytes);
  const downloads = ingests.map(({ digest = '', bytes: size }) => `${digest}=${size}`);
  return [bytes, usedBytes, ...downloads.sort()].join(' ');
}

const share = (bytes: number, totalBytes: number): number =>
  totalBytes === 0 ? 100 : Math.min(100, Math.floor((bytes * 100) / totalBytes));

/** What has come of each of the manifest's blobs. */
async function layersOf(
  manifest: ManifestBlobs | undefined,
  { ingests }: Sample,
  store: ContentStore | undefined,
): Promise<LayerProgress[] | undefined> {
  if (manifest === undefined || store === undefined) return undefined;
  const downloading = new Map(ingests.map(({ digest, bytes }) => [digest, bytes]));
  const layers: LayerProgress[] = [];
  for (const [digest, sizeBytes] of manifest.sizes) {
    const isThere = (await store.blobBytes(digest)) !== undefined;
    const bytes = isThere ? sizeBytes : Math.min(sizeBytes, downloading.get(digest) ?? 0);
    layers.push({ digest, sizeBytes, bytes });
  }
  return layers;
}
