import type { CollectionPolicy } from './policy';

/** What one file system says of itself. `null` = it does not say. */
export interface FileSystemReading {
  readonly mountpoint: string;
  readonly capacityBytes: number | null;
  /** Bytes an unprivileged process can still write. */
  readonly availableBytes: number | null;
  /** Number of inodes; null or 0 where the file system has no fixed number. */
  readonly inodes: number | null;
  readonly inodesFree: number | null;
}

/** A reading against the marks of a policy. */
export interface DiskAssessment {
  readonly mountpoint: string;
  readonly capacityBytes: number;
  /** Never above the capacity. */
  readonly availableBytes: number;
  /** True when the reading had more bytes available than its capacity. */
  readonly clamped: boolean;
  /** Whole percent, by {@link usedPercent}. */
  readonly usedPercent: number;
  /** Whether the high mark is reached. */
  readonly overHigh: boolean;
  /** Bytes that bring the file system down to the low mark; 0 or negative when it is there. */
  readonly bytesToFree: number;
  readonly inodes: number | null;
  readonly inodesFree: number | null;
  /** Whole percent of inodes used, null where there is no fixed number. */
  readonly inodesUsedPercent: number | null;
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
 * Holds a reading against the marks, in kubelet's arithmetic. Absent values count as 0.
 * Throws InvalidDiskCapacityError when there is no capacity.
 */
export function assessDisk(
  reading: FileSystemReading,
  policy: Pick<CollectionPolicy, 'highThresholdPercent' | 'lowThresholdPercent'>,
): DiskAssessment {
  const capacityBytes = reading.capacityBytes ?? 0;
  if (capacityBytes === 0) throw new InvalidDiskCapacityError(reading.mountpoint, capacityBytes);
  const reported = reading.availableBytes ?? 0;
  const availableBytes = Math.min(reported, capacityBytes);
  const used = usedPercent(capacityBytes, availableBytes);
  const { inodes, inodesFree } = reading;
  return {
    mountpoint: reading.mountpoint,
    capacityBytes,
    availableBytes,
    clamped: reported > capacityBytes,
    usedPercent: used,
    overHigh: used >= policy.highThresholdPercent,
    bytesToFree: bytesToFree(capacityBytes, availableBytes, policy.lowThresholdPercent),
    inodes,
    inodesFree,
    inodesUsedPercent:
      inodes == null || inodes === 0 || inodesFree == null
        ? null
        : usedPercent(inodes, Math.min(inodesFree, inodes)),
  };
}

/** Whether the high mark was last seen reached (`exceeded`) and not yet left (`normal`). */
export type ThresholdState = 'normal' | 'exceeded';

/**
 * The state after an assessment. Between the marks the state stays what it was, so a file system that hovers at
 * the high mark does not announce itself again and again. It recovers when a collection would have nothing to free: by bytes, because
 * kubelet's percentage rounds up and can stay one above the low mark. With equal marks it recovers only below them.
 */
export function nextThresholdState(
  state: ThresholdState,
  assessment: Pick<DiskAssessment, 'bytesToFree' | 'overHigh'>,
): ThresholdState {
  if (assessment.overHigh) return 'exceeded';
  return assessment.bytesToFree <= 0 ? 'normal' : state;
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
