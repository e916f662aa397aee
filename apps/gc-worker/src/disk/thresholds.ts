import type { CollectionPolicy } from '../policy/policy';
import type { DiskAssessment } from './assess-disk';
import type { Trend } from './trend';
import type { ExceededThreshold } from '../records/exceeded-threshold';
import type { FileSystemRole } from '../runtime/runtime';

export type Resource = ExceededThreshold['resource'];

/** How bad it is: `warning` early, `high` where collection begins, `critical` where maintenance windows no longer hold it back. */
export type Level = ExceededThreshold['level'];

/** A mark against the state of its file system. Between reached and left a state stays what it was. */
export interface Mark {
  readonly mountpoint: string;
  readonly role: FileSystemRole;
  readonly resource: Resource;
  readonly level: Level;
  /** The mark as used percent. */
  readonly thresholdPercent: number;
  /** The mark as available bytes, where it is one. */
  readonly thresholdAvailableBytes?: number;
  /** Why it is reached: so much is used, or it is going to be full soon. */
  readonly cause: 'used' | 'time-to-full';
  readonly isReached: boolean;
  readonly isLeft: boolean;
}

/** Percent below a warning or critical mark at which it counts as left. */
const hysteresisPercent = 2;

/** A warning by trend ends when the time to full is this many times the one that gave it. */
const trendHysteresis = 2;

/** Every mark that the policy sets for a file system. */
export function marksOf(
  disk: DiskAssessment,
  trends: Readonly<Partial<Record<Resource, Trend>>>,
  policy: CollectionPolicy,
): Mark[] {
  const inodesWatched = disk.inodesToFree != null && disk.inodesUsedPercent != null;
  return [
    ...levels('bytes', disk, disk.usedPercent, trends.bytes, policy),
    ...(inodesWatched ? levels('inodes', disk, disk.inodesUsedPercent, trends.inodes, policy) : []),
  ];
}

function levels(
  resource: Resource,
  disk: DiskAssessment,
  used: number,
  trend: Trend | undefined,
  policy: CollectionPolicy,
): Mark[] {
  const { mountpoint, role } = disk;
  const marks: Mark[] = [];
  const { warningThresholdPercent: warning, criticalThresholdPercent: critical } = policy;
  if (warning > 0 || policy.warningTimeToFullMs > 0) {
    const byUse = warning > 0 && used >= warning;
    const timeToFullMs = trend?.timeToFullMs ?? Infinity;
    const byTrend = timeToFullMs < policy.warningTimeToFullMs;
    const stillByUse = warning > 0 && used > warning - hysteresisPercent;
    const stillByTrend = timeToFullMs < policy.warningTimeToFullMs * trendHysteresis;
    marks.push({
      mountpoint,
      role,
      resource,
      level: 'warning',
      thresholdPercent: warning > 0 ? warning : 100,
      cause: byUse ? 'used' : 'time-to-full',
      isReached: byUse || byTrend,
      isLeft: !stillByUse && !stillByTrend,
    });
  }
  marks.push(highMark(resource, disk, policy));
  if (critical < 100) {
    marks.push({
      mountpoint,
      role,
      resource,
      level: 'critical',
      thresholdPercent: critical,
      cause: 'used',
      isReached: used >= critical,
      isLeft: used <= critical - hysteresisPercent,
    });
  }
  return marks;
}

/**
 * The high mark is left when a collection would have nothing to free: by bytes, because kubelet's percentage rounds up and can
 * stay one above the low mark. With equal marks it is left only below them.
 */
function highMark(resource: Resource, disk: DiskAssessment, policy: CollectionPolicy): Mark {
  const { mountpoint, role, capacityBytes } = disk;
  const mark = { mountpoint, role, resource, level: 'high', cause: 'used' } as const;
  if (resource === 'inodes') {
    return {
      ...mark,
      thresholdPercent: policy.inodesHighThresholdPercent,
      isReached: disk.overHighInodes,
      isLeft: !disk.overHighInodes && (disk.inodesToFree ?? 0) <= 0,
    };
  }
  const available = policy.highMarkAvailableBytes;
  return {
    ...mark,
    thresholdPercent:
      available > 0
        ? Math.max(0, 100 - Math.floor((Math.min(available, capacityBytes) * 100) / capacityBytes))
        : policy.highThresholdPercent,
    ...(available > 0 ? { thresholdAvailableBytes: available } : {}),
    isReached: disk.overHighBytes,
    isLeft: !disk.overHighBytes && disk.bytesToFree <= 0,
  };
}

/** Whether the mark is exceeded now, given whether it was. */
export const isExceeded = (mark: Pick<Mark, 'isReached' | 'isLeft'>, was: boolean): boolean =>
  mark.isReached || (was && !mark.isLeft);
