import type { CollectionPolicy } from '../policy/policy';
import type { FileSystemRole } from '../runtime/runtime';

/** What one file system reports. `null` = it does not report it. */
export interface FileSystemReading {
  readonly mountpoint: string;
  /** Absent = it holds images. */
  readonly role?: FileSystemRole;
  readonly capacityBytes: number | null;
  /** Bytes an unprivileged process can still write. */
  readonly availableBytes: number | null;
  /** Number of inodes; null or 0 where the file system has no fixed number. */
  readonly inodes: number | null;
  readonly inodesFree: number | null;
  /**
   * Bytes that files take, blocks reserved for root not counted; absent where it is not reported.
   */
  readonly usedBytes?: number;
}

/** The thresholds of a policy; what is absent is off. */
export type Thresholds = Pick<CollectionPolicy, 'highThresholdPercent' | 'lowThresholdPercent'> &
  Partial<
    Pick<
      CollectionPolicy,
      | 'highMarkAvailableBytes'
      | 'lowMarkAvailableBytes'
      | 'inodesHighThresholdPercent'
      | 'inodesLowThresholdPercent'
      | 'criticalThresholdPercent'
    >
  >;

/** A reading against the thresholds of a policy. */
export interface DiskAssessment {
  readonly mountpoint: string;
  readonly role: FileSystemRole;
  readonly capacityBytes: number;
  /** Never above the capacity. */
  readonly availableBytes: number;
  /** True when the reading had more bytes available than its capacity. */
  readonly clamped: boolean;
  /** Whole percent, by {@link usedPercent}. */
  readonly usedPercent: number;
  /** Whether the high threshold of bytes or of inodes is reached. */
  readonly overHigh: boolean;
  readonly overHighBytes: boolean;
  readonly overHighInodes: boolean;
  /** Whether it is critical, in bytes or (where inodes have a threshold) in inodes. */
  readonly overCritical: boolean;
  /** Bytes to free down to the low threshold; 0 or negative when it is reached. */
  readonly bytesToFree: number;
  readonly inodes: number | null;
  readonly inodesFree: number | null;
  /** Whole percent of inodes used, null where there is no fixed number. */
  readonly inodesUsedPercent: number | null;
  /** Inodes to free down to their low threshold; null without a threshold or a fixed number. */
  readonly inodesToFree: number | null;
}

/** The file system reports no capacity; kubelet's text and event reason. */
export class InvalidDiskCapacityError extends Error {
  override readonly name = 'InvalidDiskCapacityError';
  constructor(
    readonly mountpoint: string,
    readonly capacityBytes: number,
  ) {
    super(`invalid capacity ${capacityBytes} on image filesystem`);
  }
}

/**
 * kubelet's usage: 100 minus the truncated percentage that is available, so 10.9 % free counts as
 * 90 % used.
 */
export function usedPercent(capacityBytes: number, availableBytes: number): number {
  return 100 - Number((BigInt(availableBytes) * 100n) / BigInt(capacityBytes));
}

/**
 * kubelet's amount: the truncated share of the capacity that must be available, less what is
 * available. May be 0 or negative.
 */
export function bytesToFree(
  capacityBytes: number,
  availableBytes: number,
  lowThresholdPercent: number,
): number {
  const wanted = (BigInt(capacityBytes) * BigInt(100 - lowThresholdPercent)) / 100n;
  return Number(wanted - BigInt(availableBytes));
}

/** Whether a file system reports a capacity; without one its thresholds mean nothing. */
export const hasCapacity = ({ capacityBytes }: FileSystemReading): boolean =>
  (capacityBytes ?? 0) > 0;

/** The readings that have a capacity, against the thresholds. */
export const assessDisks = (
  readings: readonly FileSystemReading[],
  thresholds: Thresholds,
): DiskAssessment[] =>
  readings.filter(hasCapacity).map((reading) => assessDisk(reading, thresholds));

/**
 * Compares a reading with the thresholds, in kubelet's arithmetic (for inodes too). Absent values
 * count as 0. Throws InvalidDiskCapacityError when there is no capacity.
 */
export function assessDisk(reading: FileSystemReading, thresholds: Thresholds): DiskAssessment {
  const capacityBytes = reading.capacityBytes ?? 0;
  if (capacityBytes === 0) throw new InvalidDiskCapacityError(reading.mountpoint, capacityBytes);
  const reported = reading.availableBytes ?? 0;
  const availableBytes = Math.min(reported, capacityBytes);
  const used = usedPercent(capacityBytes, availableBytes);
  const inodes = assessInodes(reading, thresholds);
  const { highMarkAvailableBytes: highBytes = 0, lowMarkAvailableBytes: lowBytes = 0 } = thresholds;
  const overHighBytes =
    highBytes > 0 ? availableBytes < highBytes : used >= thresholds.highThresholdPercent;
  const critical = thresholds.criticalThresholdPercent ?? 100;
  const isCritical = (percent: number) => critical < 100 && percent >= critical;
  return {
    mountpoint: reading.mountpoint,
    role: reading.role ?? 'image',
    capacityBytes,
    availableBytes,
    clamped: reported > capacityBytes,
    usedPercent: used,
    overHigh: overHighBytes || inodes.overHighInodes,
    overHighBytes,
    overCritical: isCritical(used) || (inodes.areWatched && isCritical(inodes.usedPercent ?? 0)),
    bytesToFree:
      highBytes > 0
        ? lowBytes - availableBytes
        : bytesToFree(capacityBytes, availableBytes, thresholds.lowThresholdPercent),
    inodes: reading.inodes,
    inodesFree: reading.inodesFree,
    inodesUsedPercent: inodes.usedPercent,
    overHighInodes: inodes.overHighInodes,
    inodesToFree: inodes.toFree,
  };
}

function assessInodes({ inodes, inodesFree }: FileSystemReading, thresholds: Thresholds) {
  if (inodes == null || inodes === 0 || inodesFree == null) {
    return { areWatched: false, usedPercent: null, overHighInodes: false, toFree: null };
  }
  const free = Math.min(inodesFree, inodes);
  const used = usedPercent(inodes, free);
  const high = thresholds.inodesHighThresholdPercent ?? 100;
  const low = thresholds.inodesLowThresholdPercent ?? high;
  const areWatched = high < 100;
  return {
    areWatched,
    usedPercent: used,
    overHighInodes: areWatched && used >= high,
    toFree: areWatched ? bytesToFree(inodes, free, low) : null,
  };
}

/**
 * Bytes to plan for, so that a file system is relieved: down to the low threshold of bytes, or as
 * many bytes as hold the inodes to free at the file system's own ratio. CRI does not report the
 * inodes of an image, so the second is an estimate; the collection measures. May be 0 or negative,
 * as kubelet's amount.
 */
export function bytesToPlan(disk: DiskAssessment): number {
  const { overHighInodes, overHighBytes, inodes, inodesFree, inodesToFree } = disk;
  if (!overHighInodes || inodes == null || inodesFree == null || inodesToFree == null) {
    return disk.bytesToFree;
  }
  const usedBytes = disk.capacityBytes - disk.availableBytes;
  const perInode = usedBytes / Math.max(1, inodes - inodesFree);
  const forInodes = Math.ceil(inodesToFree * perInode);
  return overHighBytes ? Math.max(disk.bytesToFree, forInodes) : forInodes;
}

/** Whether `now` is down at the low threshold of what `before` exceeded. */
export function isRelieved(before: DiskAssessment, now: DiskAssessment): boolean {
  const bytesDone = now.bytesToFree <= 0 || !before.overHighBytes;
  const inodesDone = (now.inodesToFree ?? 0) <= 0 || !before.overHighInodes;
  return bytesDone && inodesDone;
}

/**
 * The file systems that a collection is to relieve: those over the high threshold, outside
 * maintenance only those in a critical state.
 */
export function disksToRelieve(
  disks: readonly DiskAssessment[],
  isMaintenance: boolean,
): DiskAssessment[] {
  return disks.filter((disk) => disk.overHigh && (isMaintenance || disk.overCritical));
}

const units = ['KiB', 'MiB', 'GiB', 'TiB'] as const;

/**
 * Bytes as kubelet's messages show them: whole bytes below 1024, then one decimal in KiB to TiB.
 * Halves go to the even digit, as Go's formatting does (1280 bytes are `1.2 KiB`).
 */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const unit = Math.min(Math.floor(Math.log2(bytes) / 10), units.length);
  const divisor = 1024n ** BigInt(unit);
  const tenTimes = BigInt(bytes) * 10n;
  const twiceRest = (tenTimes % divisor) * 2n;
  let tenths = tenTimes / divisor;
  if (twiceRest > divisor || (twiceRest === divisor && tenths % 2n === 1n)) tenths += 1n;
  return `${tenths / 10n}.${tenths % 10n} ${units[unit - 1] ?? ''}`;
}

/** kubelet's text (since 1.35) when a collection could not free what was asked. */
export function insufficientSpaceText(
  disk: Pick<DiskAssessment, 'usedPercent' | 'capacityBytes'>,
  freedBytes: number,
): string {
  return (
    `Insufficient free disk space on the node's image filesystem ` +
    `(${disk.usedPercent}% of ${sizeText(disk.capacityBytes)} used). ` +
    `Failed to free sufficient space by deleting unused images (freed ${freedBytes} bytes). ` +
    'Investigate disk usage, as it could be used by active images, logs, volumes, or other data.'
  );
}
