import { boundedText, maxListedImages, type EventData } from '@stowage/events';
import type { CollectionFailure, CollectionOutcome, RemovedImage } from './collect/collect';
import type { Mark, Resource } from './disk/marks';
import type { CollectionPolicy } from './policy/policy';
import type { DiskAssessment } from './disk/threshold';
import type { Trend } from './disk/trend';
import type { ImageRecord } from './types';

const time = (ms: number): string => new Date(ms).toISOString();

const handler = (runtimeHandler: string) => (runtimeHandler === '' ? {} : { runtimeHandler });

/** A removal by a collection that turned out to be regretted, because the image came back. */
export interface Regret {
  readonly removedAt: number;
  readonly planId: string;
}

/** ImageDetected of a record that a detection made; an unknown detection time is said as `now`. */
export function imageDetected(
  record: ImageRecord,
  now: number,
  { regret, recordsRebuilt = false }: { regret?: Regret; recordsRebuilt?: boolean } = {},
): EventData<'ImageDetected'> {
  const { imageId, repoTags, repoDigests, sizeBytes, pinned } = record;
  return {
    imageId,
    repoTags: [...repoTags],
    repoDigests: [...repoDigests],
    sizeBytes,
    pinned,
    inUse: record.usedBy.length > 0,
    firstDetected: time(record.firstDetected ?? now),
    ...handler(record.runtimeHandler),
    ...(regret === undefined
      ? {}
      : {
          regret: {
            removedAt: time(regret.removedAt),
            afterMs: Math.max(0, Math.round(now - regret.removedAt)),
            planId: regret.planId,
          },
        }),
    ...(recordsRebuilt ? { recordsRebuilt } : {}),
  };
}

/** How an image went: removed by a collection, or gone without us. */
export interface RemovalFacts {
  readonly reason: RemovedImage['reason'] | 'vanished';
  readonly planId?: string;
  readonly measuredBytes?: number | null;
  readonly expectedIsEstimate?: boolean;
}

type Removed = Pick<
  ImageRecord,
  'imageId' | 'repoTags' | 'repoDigests' | 'runtimeHandler' | 'firstDetected' | 'lastUsed'
> & { readonly expectedBytes: number };

/** ImageRemoved. */
export function imageRemoved(
  image: Removed,
  { reason, planId, measuredBytes, expectedIsEstimate }: RemovalFacts,
  now: number,
): EventData<'ImageRemoved'> {
  const { imageId, repoTags, repoDigests, firstDetected, lastUsed, expectedBytes } = image;
  return {
    imageId,
    repoTags: [...repoTags],
    repoDigests: [...repoDigests],
    removedBy: reason === 'vanished' ? 'unknown' : 'gc-worker',
    reason,
    ...(planId === undefined ? {} : { planId }),
    expectedBytes,
    ...(expectedIsEstimate === undefined ? {} : { expectedIsEstimate }),
    ...(measuredBytes == null ? {} : { measuredBytes }),
    ...(firstDetected == null ? {} : { firstDetected: time(firstDetected) }),
    ...idle(lastUsed, now),
    ...handler(image.runtimeHandler),
  };
}

function idle(lastUsed: number | null, now: number) {
  return lastUsed == null
    ? {}
    : { lastUsed: time(lastUsed), idleMs: Math.max(0, Math.round(now - lastUsed)) };
}

/** A file system as events tell it. */
function filesystemUsage(disk: DiskAssessment): EventData<'ThresholdExceeded'>['filesystem'] {
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

function figures(outcome: CollectionOutcome) {
  const { askedBytes, measuredBytes, removed, failed, before, after } = outcome;
  const kept = Object.values(outcome.keptByReason).reduce((sum, count) => sum + count, 0);
  return {
    ...(askedBytes === undefined || askedBytes === Infinity
      ? {}
      : { askedBytes: Math.max(0, askedBytes) }),
    expectedBytes: outcome.expectedBytes,
    ...(measuredBytes == null ? {} : { measuredBytes }),
    removedCount: removed.length,
    removed: removed.slice(0, maxListedImages).map((image) => ({
      imageId: image.imageId,
      repoTags: [...image.repoTags],
      sizeBytes: image.sizeBytes,
      reason: image.reason,
      ...(image.lastUsed == null
        ? {}
        : { idleMs: Math.max(0, Math.round(outcome.startedAt - image.lastUsed)) }),
    })),
    keptCount: kept,
    keptByReason: { ...outcome.keptByReason },
    ...(failed.length === 0
      ? {}
      : {
          failures: failed.slice(0, maxListedImages).map(({ image, grpcStatus, message }) => ({
            imageId: image.imageId,
            grpcStatus,
            message: boundedText(message),
          })),
        }),
    ...(before === undefined ? {} : { before: filesystemUsage(before) }),
    ...(after === undefined ? {} : { after: filesystemUsage(after) }),
    ...(outcome.leakedBytes === undefined ? {} : { leakedBytes: outcome.leakedBytes }),
    ...(outcome.limitedBy === undefined ? {} : { limitedBy: outcome.limitedBy }),
    startedAt: time(outcome.startedAt),
    durationMs: Math.round(outcome.durationMs),
  };
}

/** GarbageCollected of an outcome without failure. */
export function garbageCollected(outcome: CollectionOutcome): EventData<'GarbageCollected'> {
  return {
    planId: outcome.planId,
    trigger: outcome.trigger,
    ...figures(outcome),
  };
}

/** GarbageCollectionFailed of an outcome with a failure. */
export function garbageCollectionFailed(
  outcome: CollectionOutcome,
  failure: CollectionFailure,
): EventData<'GarbageCollectionFailed'> {
  return {
    planId: outcome.planId,
    trigger: outcome.trigger,
    error: {
      code: failure.code,
      grpcStatus: failure.grpcStatus,
      message: boundedText(failure.message),
    },
    ...figures(outcome),
  };
}
