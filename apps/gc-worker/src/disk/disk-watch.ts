import { errorMessage } from '@stowage/errors';
import * as eventData from './threshold-event-data';
import type { DiskMetrics } from './disk-metrics';
import type { CollectionPolicy } from '../policy/policy';
import type { Publish } from '../publish';
import type { ImageRecordStore } from '../records/record-store';
import type { Mountpoints, Runtime, FileSystemRole } from '../runtime/runtime';
import { isExceeded, marksOf, type Mark, type Resource } from './thresholds';
import { assessDisk, type DiskAssessment, type FileSystemReading } from './assess-disk';
import { SampleRing, type Trend } from './trend';

/** A file system as the machine tells it. */
export interface MeasuredFileSystem extends Omit<FileSystemReading, 'mountpoint' | 'role'> {
  /** Tells two paths on one file system. */
  readonly device: string;
}

/** Measures the file system a path lies on; throws when the path is not there. */
type MeasureFileSystem = (path: string) => Promise<MeasuredFileSystem>;

export interface DiskWatchParts {
  readonly runtime: Pick<Runtime, 'mountpoints'>;
  readonly measure: MeasureFileSystem;
  readonly policy: CollectionPolicy;
  readonly store: Pick<
    ImageRecordStore,
    'exceeded' | 'exceededSince' | 'setExceeded' | 'recovering' | 'dropExceeded'
  >;
  readonly publish: Publish;
  /** Sequence of the next event. */
  readonly nextSequence: () => number;
  readonly metrics: Pick<DiskMetrics, 'measured'>;
  readonly health: (problem: string | undefined) => void;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  /** Put before the runtime's mount points, where the host's file systems are mounted below a folder. */
  readonly hostRoot: string;
  readonly now: () => number;
  /** Milliseconds of a clock that never jumps, for trends. Default: the process's own. */
  readonly monotonicNow?: () => number;
}

type Trends = Partial<Record<Resource, Trend>>;

/** What a poll found. */
export interface DiskPoll {
  readonly disks: readonly DiskAssessment[];
  /** Mount points of image file systems that crossed the high mark upwards in this poll. */
  readonly crossed: readonly string[];
  /** True when any image file system is at or over the high mark. */
  readonly overHigh: boolean;
  readonly trends: ReadonlyMap<string, Trends>;
}

const roles = ['image', 'container'] as const satisfies FileSystemRole[];

/** How long the runtime's list of file systems is believed. */
const mountpointsMaxAgeMs = 60_000;

/**
 * Watches the file systems of images and of containers: where they are says the runtime, how full they are the file system itself.
 * Crossing a mark is told once, and its end; each file system on its own. Only image file systems give reason to collect.
 */
export class DiskWatch {
  private mountpoints: Mountpoints | undefined;
  private askedAt = -Infinity;
  private lastTrends: ReadonlyMap<string, Trends> = new Map();
  /** What could not be measured at the last look. */
  private readonly invisible: Record<FileSystemRole, readonly string[]> = {
    image: [],
    container: [],
  };
  /** Why other marks were not watched at the last look. */
  private readonly problems: Record<FileSystemRole, readonly string[]> = {
    image: [],
    container: [],
  };
  private readonly rings = new Map<string, Record<Resource, SampleRing>>();

  constructor(private readonly parts: DiskWatchParts) {}

  /** Forgets where the file systems are, for instance because the runtime came back. */
  forgetMountpoints(): void {
    this.askedAt = -Infinity;
  }

  /**
   * The image file systems now, each once. Those that this process cannot see are left out and told through health. Throws when the
   * runtime never said where they are and does not answer.
   */
  read(options: { signal: AbortSignal }): Promise<FileSystemReading[]> {
    return this.measured(['image'], options);
  }

  /** As {@link DiskWatch.read}, and after them the container file systems that are none of those. */
  readAll(options: { signal: AbortSignal }): Promise<FileSystemReading[]> {
    return this.measured(['image', 'container'], options);
  }

  /**
   * Bytes in use on the image file systems, and how many of the runtime's `stored` (by mount point) lie on these: what it keeps of
   * containers on other file systems is not among the first. Undefined where a file system does not tell what is in use. Throws
   * where one cannot be measured.
   */
  async imageUse(
    stored: ReadonlyMap<string, number>,
    { signal }: { signal: AbortSignal },
  ): Promise<{ usedBytes: number; storedBytes: number } | undefined> {
    const usedByDevice = new Map<string, number>();
    for (const mountpoint of (await this.findMountpoints(signal)).image) {
      if (mountpoint === '') continue;
      const { device, usedBytes } = await this.measureVisible(mountpoint);
      if (usedBytes === undefined) return undefined;
      usedByDevice.set(device, usedBytes);
    }
    let storedBytes = 0;
    for (const [mountpoint, bytes] of stored) {
      const { device } = await this.measureVisible(mountpoint);
      if (usedByDevice.has(device)) storedBytes += bytes;
    }
    const usedBytes = [...usedByDevice.values()].reduce((sum, bytes) => sum + bytes, 0);
    return { usedBytes, storedBytes };
  }

  /** One look: state, events and metrics of each file system. Throws as {@link DiskWatch.read} does. */
  async poll({ signal }: { signal: AbortSignal }): Promise<DiskPoll> {
    const { policy, metrics } = this.parts;
    const readings = await this.readAll({ signal });
    const disks = readings
      .filter(({ capacityBytes }) => (capacityBytes ?? 0) > 0)
      .map((reading) => assessDisk(reading, policy));
    const trends = new Map(disks.map((disk) => [disk.mountpoint, this.trendsOf(disk)]));
    const crossed: string[] = [];
    for (const disk of disks) {
      const found = trends.get(disk.mountpoint) ?? {};
      for (const mark of marksOf(disk, found, policy)) {
        const isNew = this.moveMark(mark, disk, found[mark.resource]);
        // Becoming critical may open what the maintenance windows held back.
        if (isNew && mark.level !== 'warning' && disk.role === 'image')
          crossed.push(disk.mountpoint);
      }
    }
    this.dropUnwatched(disks, trends);
    metrics.measured(disks, this.parts.store.exceeded(), trends);
    return {
      disks,
      crossed: [...new Set(crossed)],
      overHigh: disks.some(({ role, overHigh }) => role === 'image' && overHigh),
      trends,
    };
  }

  /** The trends as of the last poll, by mount point. */
  trends(): ReadonlyMap<string, Trends> {
    return this.lastTrends;
  }

  private trendsOf(disk: DiskAssessment): Trends {
    const { monotonicNow = () => performance.now() } = this.parts;
    const at = monotonicNow();
    let rings = this.rings.get(disk.mountpoint);
    if (rings === undefined) {
      rings = { bytes: new SampleRing(), inodes: new SampleRing() };
      this.rings.set(disk.mountpoint, rings);
    }
    rings.bytes.add(at, disk.capacityBytes - disk.availableBytes);
    const bytes = rings.bytes.trend(disk.availableBytes);
    const { inodes: total, inodesFree } = disk;
    if (total != null && total > 0 && inodesFree != null) rings.inodes.add(at, total - inodesFree);
    const inodes = rings.inodes.trend(inodesFree ?? 0);
    return {
      ...(bytes === undefined ? {} : { bytes }),
      ...(inodes === undefined ? {} : { inodes }),
    };
  }

  /** Moves the state of one mark; true when it came to be exceeded. */
  private moveMark(mark: Mark, disk: DiskAssessment, trend: Trend | undefined): boolean {
    const { store, policy, publish, nextSequence, log, now } = this.parts;
    const since = store.exceededSince(mark);
    const isNow = isExceeded(mark, since !== undefined);
    if (isNow === (since !== undefined)) return false;
    const { mountpoint, role, resource, level } = mark;
    const { usedPercent, bytesToFree } = disk;
    if (since === undefined) {
      const data = eventData.thresholdExceeded(disk, mark, policy, trend);
      store.setExceeded({ ...mark, since: now() }, nextSequence());
      publish('ThresholdExceeded', mountpoint, data);
      const { cause } = mark;
      log.warn(
        { mountpoint, role, resource, level, cause, usedPercent, bytesToFree, trend },
        `${level} mark exceeded`,
      );
      return true;
    }
    const data = eventData.thresholdRecovered(disk, mark, Math.min(since, now()), now());
    store.recovering(mark, nextSequence());
    publish('ThresholdRecovered', mountpoint, data);
    store.dropExceeded(mark);
    log.info({ mountpoint, role, resource, level, usedPercent }, `${level} mark recovered`);
    return false;
  }

  /** Marks that the policy has given up are over; those of a file system that cannot be seen now stay. */
  private dropUnwatched(
    disks: readonly DiskAssessment[],
    trends: ReadonlyMap<string, Trends>,
  ): void {
    const { store, policy } = this.parts;
    this.lastTrends = trends;
    for (const mark of store.exceeded()) {
      const disk = disks.find(({ mountpoint }) => mountpoint === mark.mountpoint);
      if (disk === undefined) continue;
      const isWatched = marksOf(disk, {}, policy).some(
        ({ resource, level }) => resource === mark.resource && level === mark.level,
      );
      if (!isWatched) store.dropExceeded(mark);
    }
  }

  private async measured(
    ofRoles: readonly FileSystemRole[],
    { signal }: { signal: AbortSignal },
  ): Promise<FileSystemReading[]> {
    let mountpoints: Mountpoints;
    try {
      mountpoints = await this.findMountpoints(signal);
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
            `the runtime names no mount point of its ${role} file system, so its marks are not watched`,
          );
          continue;
        }
        try {
          const { device, ...reading } = await this.measureVisible(mountpoint);
          if (devices.has(device)) continue;
          devices.add(device);
          readings.push({ mountpoint, role, ...reading });
          if ((reading.capacityBytes ?? 0) === 0) {
            problems.push(
              `${role} file system ${mountpoint} has a capacity of 0 bytes, so its marks are not watched`,
            );
          }
        } catch (error) {
          invisible.push(`${mountpoint} (${errorMessage(error)})`);
        }
      }
      this.invisible[role] = invisible;
      this.problems[role] = problems;
    }
    this.reportProblems();
    return readings;
  }

  private async findMountpoints(signal: AbortSignal): Promise<Mountpoints> {
    const { runtime, policy, now } = this.parts;
    const age = now() - this.askedAt;
    if (this.mountpoints !== undefined && age >= 0 && age < mountpointsMaxAgeMs) {
      return this.mountpoints;
    }
    try {
      const { image, container } = await runtime.mountpoints({ signal });
      if (image.length === 0) throw new Error('imageFs information is unavailable');
      if (image.every((path) => path === '')) {
        throw new Error('it names an image file system without a mount point');
      }
      this.mountpoints =
        policy.differences.imageFileSystems === 'first'
          ? { image: image.slice(0, 1), container: [] }
          : {
              image: [...new Set(image)],
              container: [...new Set(container)].filter((path) => !image.includes(path)),
            };
      this.askedAt = now();
    } catch (error) {
      // Mount points do not move while the runtime is away: measuring goes on with the known ones.
      if (this.mountpoints === undefined) throw error;
    }
    return this.mountpoints;
  }

  private async measureVisible(mountpoint: string): Promise<MeasuredFileSystem> {
    const { measure, hostRoot } = this.parts;
    return measure(hostRoot === '' ? mountpoint : `${hostRoot}${mountpoint}`);
  }

  private reportProblems(): void {
    const invisible = roles
      .filter((role) => this.invisible[role].length > 0)
      .map((role) => `${role} file system ${this.invisible[role].join(', ')}`);
    const problems = roles.flatMap((role) => this.problems[role]);
    if (invisible.length > 0) {
      problems.unshift(
        `${invisible.join(' and ')} cannot be measured from this process, so its marks are not watched: ` +
          'mount it here at the same path, or below hostRoot (STOWAGE_HOST_ROOT)',
      );
    }
    this.parts.health(problems.length === 0 ? undefined : problems.join('; '));
  }
}
