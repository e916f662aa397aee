import { Gauge, type Registry } from 'prom-client';
import type { ExceededThreshold } from '../records/exceeded-threshold';
import type { CollectionPolicy } from '../policy/policy';
import type { DiskAssessment } from './assess-disk';
import { imagesSuffice, type DiskBreakdown } from './break-down';
import type { Trend } from './trend';

/** One measurement. */
export interface DiskMeasurement {
  readonly disks: readonly DiskAssessment[];
  readonly exceeded: readonly ExceededThreshold[];
  readonly trends: ReadonlyMap<string, Partial<Record<ExceededThreshold['resource'], Trend>>>;
  readonly breakdowns: readonly DiskBreakdown[];
  /** By which it was judged. */
  readonly policy: CollectionPolicy;
}

/**
 * Metrics of the file systems. Label values come from closed sets, but for the few mount points.
 */
export class DiskMetrics {
  readonly #capacity;
  readonly #available;
  readonly #usedPercent;
  readonly #inodes;
  readonly #inodesFree;
  readonly #exceeded;
  readonly #timeToFull;
  readonly #changeRate;
  readonly #heldBytes;
  readonly #imagesSuffice;
  readonly #thresholdPercent;
  readonly #thresholdAvailable;
  readonly #everExceeded = new Map<string, Omit<ExceededThreshold, 'since'>>();

  constructor(registry: Registry) {
    const registers = [registry];
    const perDisk = { labelNames: ['mountpoint', 'role'] as const, registers };
    const perResource = { labelNames: ['mountpoint', 'role', 'resource'] as const, registers };
    this.#capacity = new Gauge({
      name: 'stowage_gc_filesystem_capacity_bytes',
      help: 'Capacity of an image or container file system.',
      ...perDisk,
    });
    this.#available = new Gauge({
      name: 'stowage_gc_filesystem_available_bytes',
      help: 'Bytes available to unprivileged users on an image or container file system.',
      ...perDisk,
    });
    this.#usedPercent = new Gauge({
      name: 'stowage_gc_filesystem_used_percent',
      help: "Used percent of an image or container file system in kubelet's integer arithmetic.",
      ...perDisk,
    });
    this.#inodes = new Gauge({
      name: 'stowage_gc_filesystem_inodes',
      help: 'Inodes of an image or container file system; absent where their number is not fixed.',
      ...perDisk,
    });
    this.#inodesFree = new Gauge({
      name: 'stowage_gc_filesystem_inodes_free',
      help: 'Free inodes of an image or container file system; absent where their number is not fixed.',
      ...perDisk,
    });
    this.#exceeded = new Gauge({
      name: 'stowage_gc_threshold_exceeded',
      help: '1 while an image or container file system exceeds a threshold (warning, high, critical; of bytes or inodes), 0 after that; thresholds never reached are absent.',
      labelNames: ['mountpoint', 'role', 'resource', 'mark'],
      registers,
    });
    this.#timeToFull = new Gauge({
      name: 'stowage_gc_filesystem_time_to_full_seconds',
      help: 'Time until an image or container file system is full at the rate of the last minutes; absent while it does not fill or the rate is unknown.',
      ...perResource,
    });
    this.#changeRate = new Gauge({
      name: 'stowage_gc_filesystem_used_change_per_second',
      help: 'Change of the used bytes or inodes per second over the last minutes; absent until there are enough measurements.',
      ...perResource,
    });
    this.#heldBytes = new Gauge({
      name: 'stowage_gc_filesystem_held_bytes',
      help: 'Bytes in use on an image or container file system, by what holds them: images, containers (what they wrote on top of their images), or other files. Absent where the runtime does not report enough.',
      labelNames: ['mountpoint', 'role', 'by'],
      registers,
    });
    this.#imagesSuffice = new Gauge({
      name: 'stowage_gc_filesystem_images_suffice',
      help: '1 when an image or container file system would be down at its low threshold without any image, 0 when not even then; absent while it is down there, or where it is not known what images hold.',
      ...perDisk,
    });
    this.#thresholdPercent = new Gauge({
      name: 'stowage_gc_threshold_percent',
      help: 'Thresholds of the policy as used percent, for bytes and inodes (low: where a collection ends); those that are off are absent.',
      labelNames: ['resource', 'mark'],
      registers,
    });
    this.#thresholdAvailable = new Gauge({
      name: 'stowage_gc_threshold_available_bytes',
      help: 'Thresholds of the policy as available bytes, where they are set so instead of as percents (low: where a collection ends).',
      labelNames: ['mark'],
      registers,
    });
  }

  /** Sets everything as of one measurement. */
  measured({ disks, exceeded, trends, breakdowns, policy }: DiskMeasurement): void {
    // A trend that ended, or a file system that is unmounted, must not stay on the page for ever.
    this.#timeToFull.reset();
    this.#changeRate.reset();
    this.#heldBytes.reset();
    this.#imagesSuffice.reset();
    for (const disk of disks) {
      this.#setUsage(disk);
      this.#setTrends(disk, trends.get(disk.mountpoint) ?? {});
      const breakdown = breakdowns.find(({ mountpoint }) => mountpoint === disk.mountpoint);
      if (breakdown !== undefined) this.#setBreakdown(disk, breakdown);
    }
    this.#setExceeded(exceeded);
    this.#setThresholds(policy);
  }

  #setBreakdown(disk: DiskAssessment, breakdown: DiskBreakdown): void {
    const { mountpoint, role } = disk;
    const { imageBytes, containerBytes, otherBytes } = breakdown;
    this.#heldBytes.set({ mountpoint, role, by: 'images' }, imageBytes);
    this.#heldBytes.set({ mountpoint, role, by: 'containers' }, containerBytes);
    this.#heldBytes.set({ mountpoint, role, by: 'other' }, otherBytes);
    const suffice = imagesSuffice(disk, breakdown);
    if (suffice !== undefined) this.#imagesSuffice.set({ mountpoint, role }, suffice ? 1 : 0);
  }

  #setThresholds(policy: CollectionPolicy): void {
    this.#thresholdPercent.reset();
    this.#thresholdAvailable.reset();
    const { highMarkAvailableBytes, warningThresholdPercent: warning } = policy;
    const { criticalThresholdPercent: critical } = policy;
    const percent = (resource: 'bytes' | 'inodes', mark: string, value: number) =>
      this.#thresholdPercent.set({ resource, mark }, value);
    if (highMarkAvailableBytes > 0) {
      this.#thresholdAvailable.set({ mark: 'high' }, highMarkAvailableBytes);
      this.#thresholdAvailable.set({ mark: 'low' }, policy.lowMarkAvailableBytes);
    } else if (policy.highThresholdPercent < 100) {
      percent('bytes', 'high', policy.highThresholdPercent);
      percent('bytes', 'low', policy.lowThresholdPercent);
    }
    const areInodesWatched = policy.inodesHighThresholdPercent < 100;
    if (areInodesWatched) {
      percent('inodes', 'high', policy.inodesHighThresholdPercent);
      percent('inodes', 'low', policy.inodesLowThresholdPercent);
    }
    for (const resource of areInodesWatched ? (['bytes', 'inodes'] as const) : ['bytes' as const]) {
      if (warning > 0) percent(resource, 'warning', warning);
      if (critical < 100) percent(resource, 'critical', critical);
    }
  }

  #setUsage(disk: DiskAssessment): void {
    const { mountpoint, role } = disk;
    this.#capacity.set({ mountpoint, role }, disk.capacityBytes);
    this.#available.set({ mountpoint, role }, disk.availableBytes);
    this.#usedPercent.set({ mountpoint, role }, disk.usedPercent);
    if (disk.inodes != null && disk.inodes > 0) this.#inodes.set({ mountpoint, role }, disk.inodes);
    if (disk.inodesUsedPercent != null) {
      this.#inodesFree.set({ mountpoint, role }, disk.inodesFree ?? 0);
    }
  }

  #setTrends(
    { mountpoint, role }: DiskAssessment,
    trends: Partial<Record<ExceededThreshold['resource'], Trend>>,
  ): void {
    for (const resource of ['bytes', 'inodes'] as const) {
      const trend = trends[resource];
      if (trend === undefined) continue;
      this.#changeRate.set({ mountpoint, role, resource }, trend.perSecond);
      if (trend.timeToFullMs === undefined) continue;
      this.#timeToFull.set({ mountpoint, role, resource }, trend.timeToFullMs / 1000);
    }
  }

  #setExceeded(exceeded: readonly ExceededThreshold[]): void {
    for (const { mountpoint, role, resource, level } of exceeded) {
      const key = `${resource} ${level} ${mountpoint}`;
      this.#everExceeded.set(key, { mountpoint, role, resource, level });
    }
    for (const { mountpoint, role, resource, level } of this.#everExceeded.values()) {
      const isExceeded = exceeded.some(
        (other) =>
          other.mountpoint === mountpoint && other.resource === resource && other.level === level,
      );
      this.#exceeded.set({ mountpoint, role, resource, mark: level }, isExceeded ? 1 : 0);
    }
  }
}
