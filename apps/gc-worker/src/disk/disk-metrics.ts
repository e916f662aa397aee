import { Gauge, type Registry } from 'prom-client';
import type { ExceededThreshold } from '../records/exceeded-threshold';
import type { DiskAssessment } from './assess-disk';
import type { Trend } from './trend';

/** Metrics of the file systems. Label values come from closed sets, but for the few mount points. */
export class DiskMetrics {
  private readonly capacity;
  private readonly available;
  private readonly usedPercent;
  private readonly inodes;
  private readonly inodesFree;
  private readonly exceeded;
  private readonly timeToFull;
  private readonly changeRate;
  private readonly everExceeded = new Map<string, Omit<ExceededThreshold, 'since'>>();

  constructor(registry: Registry) {
    const registers = [registry];
    const perDisk = { labelNames: ['mountpoint', 'role'] as const, registers };
    const perResource = { labelNames: ['mountpoint', 'role', 'resource'] as const, registers };
    this.capacity = new Gauge({
      name: 'stowage_gc_filesystem_capacity_bytes',
      help: 'Capacity of an image or container file system.',
      ...perDisk,
    });
    this.available = new Gauge({
      name: 'stowage_gc_filesystem_available_bytes',
      help: 'Bytes available to unprivileged users on an image or container file system.',
      ...perDisk,
    });
    this.usedPercent = new Gauge({
      name: 'stowage_gc_filesystem_used_percent',
      help: "Used percent of an image or container file system in kubelet's integer arithmetic.",
      ...perDisk,
    });
    this.inodes = new Gauge({
      name: 'stowage_gc_filesystem_inodes',
      help: 'Inodes of an image or container file system; absent where their number is not fixed.',
      ...perDisk,
    });
    this.inodesFree = new Gauge({
      name: 'stowage_gc_filesystem_inodes_free',
      help: 'Free inodes of an image or container file system; absent where their number is not fixed.',
      ...perDisk,
    });
    this.exceeded = new Gauge({
      name: 'stowage_gc_threshold_exceeded',
      help: '1 while an image or container file system exceeds a threshold (warning, high, critical; of bytes or inodes), 0 after that; thresholds never reached are absent.',
      labelNames: ['mountpoint', 'role', 'resource', 'mark'],
      registers,
    });
    this.timeToFull = new Gauge({
      name: 'stowage_gc_filesystem_time_to_full_seconds',
      help: 'Time until an image or container file system is full at the rate of the last minutes; absent while it does not fill or the rate is unknown.',
      ...perResource,
    });
    this.changeRate = new Gauge({
      name: 'stowage_gc_filesystem_used_change_per_second',
      help: 'Change of the used bytes or inodes per second over the last minutes; absent until there are enough measurements.',
      ...perResource,
    });
  }

  /** The file systems, exceeded thresholds and trends of one measurement. */
  measured(
    disks: readonly DiskAssessment[],
    exceeded: readonly ExceededThreshold[],
    trends: ReadonlyMap<string, Partial<Record<ExceededThreshold['resource'], Trend>>>,
  ): void {
    // A trend that ended, or a file system that is unmounted, must not stay on the page for ever.
    this.timeToFull.reset();
    this.changeRate.reset();
    for (const disk of disks) {
      this.setUsage(disk);
      this.setTrends(disk, trends.get(disk.mountpoint) ?? {});
    }
    this.setExceeded(exceeded);
  }

  private setUsage(disk: DiskAssessment): void {
    const { mountpoint, role } = disk;
    this.capacity.set({ mountpoint, role }, disk.capacityBytes);
    this.available.set({ mountpoint, role }, disk.availableBytes);
    this.usedPercent.set({ mountpoint, role }, disk.usedPercent);
    if (disk.inodes != null && disk.inodes > 0) this.inodes.set({ mountpoint, role }, disk.inodes);
    if (disk.inodesUsedPercent != null) {
      this.inodesFree.set({ mountpoint, role }, disk.inodesFree ?? 0);
    }
  }

  private setTrends(
    { mountpoint, role }: DiskAssessment,
    trends: Partial<Record<ExceededThreshold['resource'], Trend>>,
  ): void {
    for (const resource of ['bytes', 'inodes'] as const) {
      const trend = trends[resource];
      if (trend === undefined) continue;
      this.changeRate.set({ mountpoint, role, resource }, trend.perSecond);
      if (trend.timeToFullMs === undefined) continue;
      this.timeToFull.set({ mountpoint, role, resource }, trend.timeToFullMs / 1000);
    }
  }

  private setExceeded(exceeded: readonly ExceededThreshold[]): void {
    for (const { mountpoint, role, resource, level } of exceeded) {
      const key = `${resource} ${level} ${mountpoint}`;
      this.everExceeded.set(key, { mountpoint, role, resource, level });
    }
    for (const { mountpoint, role, resource, level } of this.everExceeded.values()) {
      const isExceeded = exceeded.some(
        (other) =>
          other.mountpoint === mountpoint && other.resource === resource && other.level === level,
      );
      this.exceeded.set({ mountpoint, role, resource, mark: level }, isExceeded ? 1 : 0);
    }
  }
}
