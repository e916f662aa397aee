import * as z from 'zod';
import { defineEvent } from '../define-event';
import { collectionFigures, collectionTrigger, failure, text } from '../fields';

export const garbageCollectionFailedV1 = defineEvent({
  name: 'GarbageCollectionFailed',
  version: 1,
  entity: 'gc',
  event: 'failed',
  publishers: ['gc-worker'],
  description:
    'A collection ended early, could not remove an image, or freed less than it was asked to. The figures still report what was done.',
  subjectHolds: 'the plan id, or the mount point when it failed before there was a plan',
  data: z.looseObject({
    planId: text('Identifies the plan; absent when it failed before there was one.').optional(),
    trigger: collectionTrigger,
    error: failure(
      [
        'runtime-unavailable',
        'listing-failed',
        'stats-failed',
        'invalid-disk-capacity',
        'removal-failed',
        'insufficient-space-freed',
        'plan-stale',
        'cancelled',
        'unknown',
      ],
      'Class of the failure.',
    ),
    askedBytes: collectionFigures.askedBytes,
    expectedBytes: collectionFigures.expectedBytes.optional(),
    measuredBytes: collectionFigures.measuredBytes,
    removedCount: collectionFigures.removedCount,
    removed: collectionFigures.removed.optional(),
    keptCount: collectionFigures.keptCount.optional(),
    keptByReason: collectionFigures.keptByReason.optional(),
    failures: collectionFigures.failures,
    before: collectionFigures.before,
    after: collectionFigures.after,
    breakdown: collectionFigures.breakdown,
    startedAt: collectionFigures.startedAt,
    durationMs: collectionFigures.durationMs,
    leakedBytes: collectionFigures.leakedBytes,
    limitedBy: collectionFigures.limitedBy,
  }),
  example: {
    subject: '01KAJB6Z8X6W4T2R0P8M6K4H2F',
    data: {
      planId: '01KAJB6Z8X6W4T2R0P8M6K4H2F',
      trigger: 'threshold',
      error: {
        code: 'insufficient-space-freed',
        grpcStatus: 'FAILED_PRECONDITION',
        message: 'asked to free 50331648 bytes, images for 0 bytes could be removed',
      },
      askedBytes: 50331648,
      expectedBytes: 0,
      measuredBytes: 0,
      removedCount: 0,
      removed: [],
      keptCount: 5,
      keptByReason: { 'in-use': 4, pinned: 1 },
      startedAt: '2026-11-20T22:17:00.000Z',
      durationMs: 41,
    },
  },
});
