import type { EventData } from '@stowage/events';
import type { CollectionPolicy } from '../policy/policy';
import type { Mark, Resource } from './thresholds';
import type { DiskAssessment } from './assess-disk';
import type { Trend } from './trend';

/** A file system as events tell it. */
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

/** ThresholdExceeded. */
export function thresholdExceeded(
  disk: DiskAssessment,
  mark: Mark,
  policy: CollectionPolicy,
  trend?: Trend,
): EventData<'ThresholdExceeded'> {
  const { role, resource, level } = mark;
  const isBytes = resource === 'bytes';
  return {
    filesystem: filesystemUsage(disk),
    role,
    resource,
    mark: level,
    thresholdPercent: mark.thresholdPercent,
    ...available(mark),
    cause: mark.cause,
    lowThresholdPercent: isBytes ? policy.lowThresholdPercent : policy.inodesLowThresholdPercent,
    bytesToFree: Math.max(0, disk.bytesToFree),
    ...(isBytes || disk.inodesToFree == null
      ? {}
      : { inodesToFree: Math.max(0, disk.inodesToFree) }),
    ...(trend === undefined ? {} : trendOf(resource, trend)),
  };
}

const available = ({ thresholdAvailableBytes }: Mark) =>
  thresholdAvailableBytes === undefined ? {} : { thresholdAvailableBytes };

function trendOf(resource: Resource, { perSecond, windowMs, timeToFullMs }: Trend) {
  const window = { windowMs, ...(timeToFullMs === undefined ? {} : { timeToFullMs }) };
  return resource === 'bytes'
    ? { trend: { bytesPerSecond: perSecond, ...window } }
    : { inodesTrend: { inodesPerSecond: perSecond, ...window } };
}

/** ThresholdRecovered. */
export function thresholdRecovered(
  disk: DiskAssessment,
  mark: Mark,
  exceededSince: number,
  now: number,
): EventData<'ThresholdRecovered'> {
  return {
    filesystem: filesystemUsage(disk),
    role: mark.role,
    resource: mark.resource,
    mark: mark.level,
    thresholdPercent: mark.thresholdPercent,
    ...available(mark),
    exceededSince: time(exceededSince),
    exceededForMs: Math.max(0, Math.round(now - exceededSince)),
  };
}

const time = (ms: number): string => new Date(ms).toISOString();
