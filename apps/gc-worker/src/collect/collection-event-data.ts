import { boundedText, maxListedImages, type EventData } from '@stowage/events';
import { filesystemBreakdown, filesystemUsage } from '../disk/threshold-event-data';
import type { CollectionFailure, CollectionOutcome, RemovedImage } from './collect';

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

/** GarbageCollectionShadowed of a collection in shadow. */
export function garbageCollectionShadowed(
  outcome: CollectionOutcome,
  { wouldRemove, expectedBytes }: NonNullable<CollectionOutcome['shadow']>,
): EventData<'GarbageCollectionShadowed'> {
  const { before, breakdown, limitedBy, startedAt, durationMs, ...of } = figures(outcome);
  const kept = Object.entries(of.keptByReason).filter(([rule]) => rule !== 'shadow');
  return {
    planId: outcome.planId,
    trigger: outcome.trigger,
    askedBytes: of.askedBytes,
    expectedBytes,
    wouldRemoveCount: wouldRemove.length,
    wouldRemove: wouldRemove.slice(0, maxListedImages).map((image) => goneImage(image, outcome)),
    keptCount: of.keptCount - wouldRemove.length,
    keptByReason: Object.fromEntries(kept),
    ...{ before, breakdown, limitedBy, startedAt, durationMs },
  };
}

const goneImage = (image: RemovedImage, { startedAt }: CollectionOutcome) => ({
  imageId: image.imageId,
  repoTags: [...image.repoTags],
  sizeBytes: image.sizeBytes,
  reason: image.reason,
  idleMs: image.lastUsed == null ? undefined : Math.max(0, Math.round(startedAt - image.lastUsed)),
});

function figures(outcome: CollectionOutcome) {
  const { askedBytes, measuredBytes, removed, failed, before, after, breakdown } = outcome;
  const kept = Object.values(outcome.keptByReason).reduce((sum, count) => sum + count, 0);
  return {
    ...(askedBytes === undefined || askedBytes === Infinity
      ? {}
      : { askedBytes: Math.max(0, askedBytes) }),
    expectedBytes: outcome.expectedBytes,
    measuredBytes: measuredBytes ?? undefined,
    removedCount: removed.length,
    removed: removed.slice(0, maxListedImages).map((image) => goneImage(image, outcome)),
    keptCount: kept,
    keptByReason: { ...outcome.keptByReason },
    failures:
      failed.length === 0
        ? undefined
        : failed.slice(0, maxListedImages).map(({ image, grpcStatus, message }) => ({
            imageId: image.imageId,
            grpcStatus,
            message: boundedText(message),
          })),
    before: before === undefined ? undefined : filesystemUsage(before),
    after: after === undefined ? undefined : filesystemUsage(after),
    breakdown:
      before === undefined || breakdown === undefined
        ? undefined
        : filesystemBreakdown(before, breakdown),
    leakedBytes: outcome.leakedBytes,
    limitedBy: outcome.limitedBy,
    startedAt: time(outcome.startedAt),
    durationMs: Math.round(outcome.durationMs),
  };
}

const time = (ms: number): string => new Date(ms).toISOString();
