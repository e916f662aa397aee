import type { CollectionPolicy } from '../policy/policy';
import type { FileSystemRole } from '../runtime/runtime';

/** What one file system says of itself. `null` = it does not say. */
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
  /** Bytes that files take, blocks kept for root not counted; absent where it is not told. */
  readonly usedBytes?: number;
}

/** The marks of a policy; what is absent is off. */
export type DiskMarks = Pick<CollectionPolicy, 'highThresholdPercent' | 'lowThresholdPercent'> &
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

/** A reading against the marks of a policy. */
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
  /** Whether the high mark of bytes or of inodes is reached. */
  readonly overHigh: boolean;
  readonly overHighBytes: boolean;
  readonly overHighInodes: boolean;
  /** Whether it is critical, in bytes or (where inodes have a mark) in inodes. */
  readonly overCritical: boolean;
  /** Bytes that bring the file system down to the low mark; 0 or negative when it is there. */
  readonly bytesToFree: number;
  readonly inodes: number | null;
  readonly inodesFree: number | null;
  /** Whole percent of inodes used, null where there is no fixed number. */
  readonly inodesUsedPercent: number | null;
  /** Inodes that bring the file system down to their low mark, null where they have no mark or number. */
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

/** kubelet's usage: 100 minus the truncated percentage that is available, so 10.9 % free counts as 90 % used. */
export function usedPercent(capacityBytes: number, availableBytes: number): number {
  return 100 - Number((BigInt(availableBytes) * 100n) / BigInt(capacityBytes));
}

/** kubelet's amount: the truncated share of the capacity that must be available, less what is. May be 0 or negative. */
export function bytesToFree(
  capacityBytes: number,
  availableBytes: number,
  lowThresholdPercent: number,
): number {
  const wanted = (BigInt(capacityBytes) * BigInt(100 - lowThresholdPercent)) / 100n;
  return Number(wanted - BigInt(availableBytes));
}

/**
 * Holds a reading against the marks, in kubelet's arithmetic (for inodes too). Absent values count as 0.
 * Throws InvalidDiskCapacityError when there is no capacity.
 */
export function assessDisk(reading: FileSystemReading, marks: DiskMarks): DiskAssessment {
  const capacityBytes = reading.capacityBytes ?? 0;
  if (capacityBytes === 0) throw new InvalidDiskCapacityError(reading.mountpoint, capacityBytes);
  const reported = reading.availableBytes ?? 0;
  const availableBytes = Math.min(reported, capacityBytes);
  const used = usedPercent(capacityBytes, availableBytes);
  const inodes = assessInodes(reading, marks);
  const { highMarkAvailableBytes: highBytes = 0, lowMarkAvailableBytes: lowBytes = 0 } = marks;
  const overHighBytes =
    highBytes > 0 ? availableBytes < highBytes : used >= marks.highThresholdPercent;
  const critical = marks.criticalThresholdPercent ?? 100;
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
        : bytesToFree(capacityBytes, availableBytes, marks.lowThresholdPercent),
    inodes: reading.inodes,
    inodesFree: reading.inodesFree,
    inodesUsedPercent: inodes.usedPercent,
    overHighInodes: inodes.overHighInodes,
    inodesToFree: inodes.toFree,
  };
}

function assessInodes({ inodes, inodesFree }: FileSystemReading, marks: DiskMarks) {
  if (inodes == null || inodes === 0 || inodesFree == null) {
    return { areWatched: false, usedPercent: null, overHighInodes: false, toFree: null };
  }
  const free = Math.min(inodesFree, inodes);
  const used = usedPercent(inodes, free);
  const high = marks.inodesHighThresholdPercent ?? 100;
  const low = marks.inodesLowThresholdPercent ?? high;
  const areWatched = high < 100;
  return {
    areWatched,
    usedPercent: used,
    overHighInodes: areWatched && used >= high,
    toFree: areWatched ? bytesToFree(inodes, free, low) : null,
  };
}

/**
 * Bytes to plan for, to relieve a file system of what it is over: to the low mark of bytes, or as many bytes as hold the inodes to
 * free at the file system's own ratio. CRI does not tell the inodes of an image, so the second is an estimate;
 * the collection measures. May be 0 or negative, as kubelet's amount.
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

/** Whether what `before` was over is down at its low mark in `now`. */
export function isRelieved(before: DiskAssessment, now: DiskAssessment): boolean {
  const bytesDone = now.bytesToFree <= 0 || !before.overHighBytes;
  const inodesDone = (now.inodesToFree ?? 0) <= 0 || !before.overHighInodes;
  return bytesDone && inodesDone;
}

/** The file systems that a collection is to relieve: over the high mark, outside maintenance only those in a critical state. */
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
