import type { EventData } from '@stowage/events';
import type { CollectionPolicy } from '../policy/policy';
import type { Resource, ThresholdState } from './thresholds';
import type { DiskAssessment } from './assess-disk';
import { imagesSuffice, type DiskBreakdown } from './break-down';
import type { Trend } from './trend';

/** A file system as events contain it. */
export function filesystemUsage(
  disk: DiskAssessment,
): EventData<'ThresholdExceeded'>['filesystem'] {
  const { mountpoint, capacityBytes, availableBytes, usedPercent } = disk;
  return {
    mountpoint,
    capacityBytes,
    availableBytes,
    usedPercent,
    ...(disk.inodesUsedPercent == null || disk.inodes == null || disk.inodesFree == null
      ? {}
      : {
          inodesCapacity: disk.inodes,
          inodesAvailable: disk.inodesFree,
          inodesUsedPercent: disk.inodesUsedPercent,
        }),
  };
}

/** What holds a file system, as events contain it. */
export function filesystemBreakdown(
  disk: Pick<DiskAssessment, 'bytesToFree'>,
  breakdown: DiskBreakdown,
): NonNullable<EventData<'ThresholdExceeded'>['breakdown']> {
  const { usedBytes, imageBytes, containerBytes, otherBytes } = breakdown;
  const suffice = imagesSuffice(disk, breakdown);
  return { usedBytes, imageBytes, containerBytes, otherBytes, imagesSuffice: suffice };
}

/** ThresholdExceeded. */
export function thresholdExceeded(
  disk: DiskAssessment,
  threshold: ThresholdState,
  policy: CollectionPolicy,
  { trend, breakdown }: { trend?: Trend; breakdown?: DiskBreakdown } = {},
): EventData<'ThresholdExceeded'> {
  const { role, resource, level } = threshold;
  const isBytes = resource === 'bytes';
  return {
    filesystem: filesystemUsage(disk),
    role,
    resource,
    mark: level,
    thresholdPercent: threshold.thresholdPercent,
    ...available(threshold),
    cause: threshold.cause,
    lowThresholdPercent: isBytes ? policy.lowThresholdPercent : policy.inodesLowThresholdPercent,
    bytesToFree: Math.max(0, disk.bytesToFree),
    inodesToFree: isBytes || disk.inodesToFree == null ? undefined : Math.max(0, disk.inodesToFree),
    ...(trend === undefined ? undefined : trendOf(resource, trend)),
    breakdown: breakdown === undefined ? undefined : filesystemBreakdown(disk, breakdown),
  };
}

const available = ({ thresholdAvailableBytes }: ThresholdState) =>
  thresholdAvailableBytes === undefined ? {} : { thresholdAvailableBytes };

function trendOf(resource: Resource, { perSecond, windowMs, timeToFullMs }: Trend) {
  const window = { windowMs, timeToFullMs };
  return resource === 'bytes'
    ? { trend: { bytesPerSecond: perSecond, ...window } }
    : { inodesTrend: { inodesPerSecond: perSecond, ...window } };
}

/** ThresholdRecovered. */
export function thresholdRecovered(
  disk: DiskAssessment,
  threshold: ThresholdState,
  exceededSince: number,
  now: number,
): EventData<'ThresholdRecovered'> {
  return {
    filesystem: filesystemUsage(disk),
    role: threshold.role,
    resource: threshold.resource,
    mark: threshold.level,
    thresholdPercent: threshold.thresholdPercent,
    ...available(threshold),
    exceededSince: time(exceededSince),
    exceededForMs: Math.max(0, Math.round(now - exceededSince)),
  };
}

const time = (ms: number): string => new Date(ms).toISOString();
