import { errorMessage } from '@stowage/errors';
import { thresholdExceeded, thresholdRecovered } from './threshold-event-data';
import type { DiskMetrics } from './disk-metrics';
import type { CollectionPolicy } from '../policy/policy';
import type { Publish } from '../publish';
import type { ImageRecordStore } from '../records/record-store';
import type { Mountpoints, Runtime, FileSystemRole } from '../runtime/runtime';
import { isExceeded, thresholdStates, type Resource, type ThresholdState } from './thresholds';
import { breakdownText, type DiskBreakdown, type FileSystemUse } from './break-down';
import type { DiskBreakdowns } from './disk-breakdowns';
import {
  assessDisks,
  hasCapacity,
  type DiskAssessment,
  type FileSystemReading,
} from './assess-disk';
import { SampleRing, type Trend } from './trend';

/** A file system as the kernel reports it. */
export interface MeasuredFileSystem extends Omit<FileSystemReading, 'mountpoint' | 'role'> {
  /** Equal for two paths on one file system. */
  readonly device: string;
}

/** Measures the file system a path lies on; throws when the path is not there. */
type MeasureFileSystem = (path: string) => Promise<MeasuredFileSystem>;

export interface DiskWatchParts {
  readonly runtime: Pick<Runtime, 'mountpoints'>;
  readonly measure: MeasureFileSystem;
  readonly policy: { readonly current: CollectionPolicy };
  readonly store: Pick<
    ImageRecordStore,
    'exceeded' | 'exceededSince' | 'setExceeded' | 'publishingRecovered' | 'dropExceeded'
  >;
  readonly breakdowns: Pick<DiskBreakdowns, 'current'>;
  readonly publish: Publish;
  /** Sequence of the next event. */
  readonly nextSequence: () => number;
  readonly metrics: Pick<DiskMetrics, 'measured'>;
  readonly health: (problem: string | undefined) => void;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  /**
   * Put before the runtime's mount points, where the host's file systems are mounted below a
   * folder.
   */
  readonly hostRoot: string;
  readonly now: () => number;
  /** Milliseconds of a clock that never jumps, for trends. Default: the process's own. */
  readonly monotonicNow?: () => number;
}

type Trends = Partial<Record<Resource, Trend>>;

/** What a poll found. */
export interface DiskPoll {
  readonly disks: readonly DiskAssessment[];
  /**
   * Mount points of image file systems that crossed the high or critical threshold upwards in this
   * poll.
   */
  readonly crossed: readonly string[];
  /** True when any image file system is at or over the high threshold. */
  readonly overHigh: boolean;
  readonly trends: ReadonlyMap<string, Trends>;
  /** What holds the file systems, of those of which it is known. */
  readonly breakdowns: readonly DiskBreakdown[];
}

const roles = ['image', 'container'] as const satisfies FileSystemRole[];

/** How long the runtime's list of file systems is used. Milliseconds. */
const mountpointsMaxAgeMs = 60_000;

/**
 * How old the breakdown may be, and how old where a threshold is crossed and published.
 * Milliseconds.
 */
const breakdownMaxAgeMs = 60_000;
const breakdownMaxAgeAtCrossingMs = 1000;

/**
 * Watches the file systems of images and of containers: the runtime says where they are, the file
 * system itself how full it is. Each threshold that is crossed is published once, and so is its
 * recovery, for each file system on its own. Only image file systems are a reason to collect.
 */
export class DiskWatch {
  #mountpoints: Mountpoints | undefined;
  #askedAt = -Infinity;
  #lastTrends: ReadonlyMap<string, Trends> = new Map();
  /** What could not be measured at the last measurement. */
  readonly #invisible: Record<FileSystemRole, readonly string[]> = {
    image: [],
    container: [],
  };
  /** Why other thresholds were not watched at the last measurement. */
  readonly #problems: Record<FileSystemRole, readonly string[]> = {
    image: [],
    container: [],
  };
  readonly #rings = new Map<string, Record<Resource, SampleRing>>();

  constructor(private readonly parts: DiskWatchParts) {}

  /** Forgets where the file systems are, for instance because the runtime came back. */
  forgetMountpoints(): void {
    this.#askedAt = -Infinity;
  }

  /**
   * The image file systems now, each once. Those that this process cannot see are left out and
   * reported through health. Throws when the runtime never said where they are and does not answer.
   */
  read(options: { signal: AbortSignal }): Promise<FileSystemReading[]> {
    return this.#measured(['image'], options);
  }

  /**
   * As {@link DiskWatch.read}, and after them the container file systems that are none of those.
   */
  readAll(options: { signal: AbortSignal }): Promise<FileSystemReading[]> {
    return this.#measured(['image', 'container'], options);
  }

  /**
   * Bytes in use on the image file systems, and how many of the runtime's `stored` bytes (by mount
   * point) lie on them: what it keeps of containers on other file systems is not counted. Undefined
   * where a file system does not report what is in use. Throws where one cannot be measured.
   */
  async imageUse(
    stored: ReadonlyMap<string, number>,
    { signal }: { signal: AbortSignal },
  ): Promise<{ usedBytes: number; storedBytes: number } | undefined> {
    const usedByDevice = new Map<string, number>();
    for (const mountpoint of (await this.#findMountpoints(signal)).image) {
      if (mountpoint === '') continue;
      const { device, usedBytes } = await this.#measureVisible(mountpoint);
      if (usedBytes === undefined) return undefined;
      usedByDevice.set(device, usedBytes);
    }
    let storedBytes = 0;
    for (const [mountpoint, bytes] of stored) {
      const { device } = await this.#measureVisible(mountpoint);
      if (usedByDevice.has(device)) storedBytes += bytes;
    }
    const usedBytes = [...usedByDevice.values()].reduce((sum, bytes) => sum + bytes, 0);
    return { usedBytes, storedBytes };
  }

  /**
   * What is in use on each file system that the runtime names, and how many of the runtime's
   * `stored` and of its containers' `written` bytes (by mount point) lie on it. File systems that
   * do not report what is in use are left out. Throws where one cannot be measured.
   */
  async uses(
    held: Readonly<Record<'stored' | 'written', ReadonlyMap<string, number>>>,
    { signal }: { signal: AbortSignal },
  ): Promise<FileSystemUse[]> {
    const mountpoints = await this.#findMountpoints(signal);
    const sums = {
      stored: await this.#byDevice(held.stored),
      written: await this.#byDevice(held.written),
    };
    const uses = new Map<string, FileSystemUse>();
    for (const role of roles) {
      for (const mountpoint of mountpoints[role]) {
        if (mountpoint === '') continue;
        const { device, usedBytes } = await this.#measureVisible(mountpoint);
        if (usedBytes === undefined || uses.has(device)) continue;
        const storedBytes = sums.stored.get(device) ?? 0;
        const writtenBytes = sums.written.get(device) ?? 0;
        uses.set(device, { mountpoint, role, usedBytes, storedBytes, writtenBytes });
      }
    }
    return [...uses.values()];
  }

  async #byDevice(byMountpoint: ReadonlyMap<string, number>): Promise<Map<string, number>> {
    const sums = new Map<string, number>();
    for (const [mountpoint, bytes] of byMountpoint) {
      const { device } = await this.#measureVisible(mountpoint);
      sums.set(device, (sums.get(device) ?? 0) + bytes);
    }
    return sums;
  }

  /**
   * Measures once: state, events and metrics of each file system. Throws as {@link DiskWatch.read}
   * does.
   */
  async poll({ signal }: { signal: AbortSignal }): Promise<DiskPoll> {
    const { metrics } = this.parts;
    const readings = await this.readAll({ signal });
    const policy = this.parts.policy.current;
    const disks = assessDisks(readings, policy);
    const trends = new Map(disks.map((disk) => [disk.mountpoint, this.#trendsOf(disk)]));
    const breakdowns = await this.#breakDown(disks, trends, policy, signal);
    const crossed: string[] = [];
    for (const disk of disks) {
      const found = trends.get(disk.mountpoint) ?? {};
      const breakdown = breakdowns.find(({ mountpoint }) => mountpoint === disk.mountpoint);
      for (const threshold of thresholdStates(disk, found, policy)) {
        const trend = found[threshold.resource];
        const isNew = this.#moveThreshold(threshold, disk, policy, { trend, breakdown });
        // Becoming critical may permit what the maintenance windows held back.
        if (isNew && threshold.level !== 'warning' && disk.role === 'image') {
          crossed.push(disk.mountpoint);
        }
      }
    }
    this.#dropUnwatched(disks, policy);
    this.#lastTrends = trends;
    metrics.measured({
      ...{ disks, trends, breakdowns, policy },
      exceeded: this.parts.store.exceeded(),
    });
    return {
      disks,
      crossed: [...new Set(crossed)],
      overHigh: disks.some(({ role, overHigh }) => role === 'image' && overHigh),
      trends,
      breakdowns,
    };
  }

  /** What holds the file systems, as of just now where a threshold comes to be exceeded. */
  #breakDown(
    disks: readonly DiskAssessment[],
    trends: ReadonlyMap<string, Trends>,
    policy: CollectionPolicy,
    signal: AbortSignal,
  ): Promise<readonly DiskBreakdown[]> {
    const { store, breakdowns } = this.parts;
    const isCrossing = disks.some((disk) =>
      thresholdStates(disk, trends.get(disk.mountpoint) ?? {}, policy).some(
        (threshold) => threshold.isReached && store.exceededSince(threshold) === undefined,
      ),
    );
    const maxAgeMs = isCrossing ? breakdownMaxAgeAtCrossingMs : breakdownMaxAgeMs;
    return breakdowns.current({ signal, maxAgeMs });
  }

  /** The trends as of the last poll, by mount point. */
  trends(): ReadonlyMap<string, Trends> {
    return this.#lastTrends;
  }

  #trendsOf(disk: DiskAssessment): Trends {
    const { monotonicNow = () => performance.now() } = this.parts;
    const at = monotonicNow();
    let rings = this.#rings.get(disk.mountpoint);
    if (rings === undefined) {
      rings = { bytes: new SampleRing(), inodes: new SampleRing() };
      this.#rings.set(disk.mountpoint, rings);
    }
    rings.bytes.add(at, disk.capacityBytes - disk.availableBytes);
    const bytes = rings.bytes.trend(disk.availableBytes);
    const { inodes: total, inodesFree } = disk;
    if (total != null && total > 0 && inodesFree != null) rings.inodes.add(at, total - inodesFree);
    const inodes = rings.inodes.trend(inodesFree ?? 0);
    return {
      bytes,
      inodes,
    };
  }

  /** Records and publishes a change of one threshold; true when it came to be exceeded. */
  #moveThreshold(
    threshold: ThresholdState,
    disk: DiskAssessment,
    policy: CollectionPolicy,
    { trend, breakdown }: { trend?: Trend; breakdown?: DiskBreakdown },
  ): boolean {
    const { store, publish, nextSequence, log, now } = this.parts;
    const since = store.exceededSince(threshold);
    const isNow = isExceeded(threshold, since !== undefined);
    if (isNow === (since !== undefined)) return false;
    const { mountpoint, role, resource, level } = threshold;
    const { usedPercent, bytesToFree } = disk;
    if (since === undefined) {
      const data = thresholdExceeded(disk, threshold, policy, { trend, breakdown });
      store.setExceeded({ ...threshold, since: now() }, nextSequence());
      publish('ThresholdExceeded', mountpoint, data);
      const { cause } = threshold;
      log.warn(
        { mountpoint, role, resource, level, cause, usedPercent, bytesToFree, trend, breakdown },
        `${level} threshold exceeded${breakdown === undefined ? '' : `: ${breakdownText(disk, breakdown)}`}`,
      );
      return true;
    }
    const data = thresholdRecovered(disk, threshold, Math.min(since, now()), now());
    store.publishingRecovered(threshold, nextSequence());
    publish('ThresholdRecovered', mountpoint, data);
    store.dropExceeded(threshold);
    log.info({ mountpoint, role, resource, level, usedPercent }, `${level} threshold recovered`);
    return false;
  }

  /**
   * Drops thresholds that the policy does not set any more; those of a file system that cannot be
   * measured now stay.
   */
  #dropUnwatched(disks: readonly DiskAssessment[], policy: CollectionPolicy): void {
    const { store } = this.parts;
    for (const exceeded of store.exceeded()) {
      const disk = disks.find(({ mountpoint }) => mountpoint === exceeded.mountpoint);
      if (disk === undefined) continue;
      const isWatched = thresholdStates(disk, {}, policy).some(
        ({ resource, level }) => resource === exceeded.resource && level === exceeded.level,
      );
      if (!isWatched) store.dropExceeded(exceeded);
    }
  }

  async #measured(
    ofRoles: readonly FileSystemRole[],
    { signal }: { signal: AbortSignal },
  ): Promise<FileSystemReading[]> {
    let mountpoints: Mountpoints;
    try {
      mountpoints = await this.#findMountpoints(signal);
    } catch (error) {
      const reason = `the runtime does not say where its image file systems are: ${errorMessage(error)}`;
      if (!signal.aborted) this.parts.health(reason);
      throw error;
    }
    const readings: FileSystemReading[] = [];
    const devices = new Set<string>();
    for (const role of ofRoles) {
      const invisible: string[] = [];
      const problems: string[] = [];
      for (const mountpoint of mountpoints[role]) {
        if (mountpoint === '') {
          problems.push(
            `the runtime names no mount point of its ${role} file system, so its thresholds are not watched`,
          );
          continue;
        }
        try {
          const { device, ...reading } = await this.#measureVisible(mountpoint);
          if (devices.has(device)) continue;
          devices.add(device);
          readings.push({ mountpoint, role, ...reading });
          if (!hasCapacity({ mountpoint, ...reading })) {
            problems.push(
              `${role} file system ${mountpoint} has a capacity of 0 bytes, so its thresholds are not watched`,
            );
          }
        } catch (error) {
          invisible.push(`${mountpoint} (${errorMessage(error)})`);
        }
      }
      this.#invisible[role] = invisible;
      this.#problems[role] = problems;
    }
    this.#reportProblems();
    return readings;
  }

  async #findMountpoints(signal: AbortSignal): Promise<Mountpoints> {
    const { runtime, now } = this.parts;
    const { imageFileSystems } = this.parts.policy.current.differences;
    const age = now() - this.#askedAt;
    if (this.#mountpoints !== undefined && age >= 0 && age < mountpointsMaxAgeMs) {
      return this.#mountpoints;
    }
    try {
      const { image, container } = await runtime.mountpoints({ signal });
      if (image.length === 0) throw new Error('imageFs information is unavailable');
      if (image.every((path) => path === '')) {
        throw new Error('it names an image file system without a mount point');
      }
      this.#mountpoints =
        imageFileSystems === 'first'
          ? { image: image.slice(0, 1), container: [] }
          : {
              image: [...new Set(image)],
              container: [...new Set(container)].filter((path) => !image.includes(path)),
            };
      this.#askedAt = now();
    } catch (error) {
      // Mount points do not move while the runtime is away: measuring goes on with the known ones.
      if (this.#mountpoints === undefined) throw error;
    }
    return this.#mountpoints;
  }

  async #measureVisible(mountpoint: string): Promise<MeasuredFileSystem> {
    const { measure, hostRoot } = this.parts;
    return measure(hostRoot === '' ? mountpoint : `${hostRoot}${mountpoint}`);
  }

  #reportProblems(): void {
    const invisible = roles
      .filter((role) => this.#invisible[role].length > 0)
      .map((role) => `${role} file system ${this.#invisible[role].join(', ')}`);
    const problems = roles.flatMap((role) => this.#problems[role]);
    if (invisible.length > 0) {
      problems.unshift(
        `${invisible.join(' and ')} cannot be measured from this process, so its thresholds are not watched: ` +
          'mount it here at the same path, or below hostRoot (STOWAGE_HOST_ROOT)',
      );
    }
    this.parts.health(problems.length === 0 ? undefined : problems.join('; '));
  }
}
