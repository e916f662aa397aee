import * as z from 'zod';
import { defineEvent } from '../define-event';
import { collectionFigures, collectionTrigger, text } from '../fields';

const {
  askedBytes,
  expectedBytes,
  removedCount,
  removed,
  keptCount,
  keptByReason,
  before,
  breakdown,
  limitedBy,
  startedAt,
  durationMs,
} = collectionFigures;

export const garbageCollectionShadowedV1 = defineEvent({
  name: 'GarbageCollectionShadowed',
  version: 1,
  entity: 'gc',
  event: 'shadowed',
  publishers: ['gc-worker'],
  description:
    'A collection in shadow (`collect: shadow`) ended: all was done but the removal. Published when the plan is another than that of the last one, or was asked for.',
  subjectHolds: 'the plan id',
  data: z.looseObject({
    planId: text('Identifies the plan; `gc-worker.run` carries it out once `collect` is on.'),
    trigger: collectionTrigger,
    askedBytes,
    expectedBytes: expectedBytes.describe(
      'Bytes that the removal was expected to free, in the sizes the runtime reports.',
    ),
    wouldRemoveCount: removedCount.describe('Number of images that would have been removed.'),
    wouldRemove: removed.describe(
      'The images that would have been removed, in order; as many are listed as in GarbageCollected.',
    ),
    keptCount: keptCount.describe('Number of images that would have remained.'),
    keptByReason,
    before: before.describe('The file system with most to free.'),
    breakdown,
    limitedBy,
    startedAt,
    durationMs,
  }),
  example: {
    subject: 'plan-5f0c2a41b7d93e6805a1c2d3',
    data: {
      planId: 'plan-5f0c2a41b7d93e6805a1c2d3',
      trigger: 'threshold',
      askedBytes: 50331648,
      expectedBytes: 104857600,
      wouldRemoveCount: 1,
      wouldRemove: [
        {
          imageId: 'sha256:77af4d6b9913e693e8d0b4b294fa62ade6054e6b2f1ffb617ac955dd63fb0182',
          repoTags: ['registry.example:5000/team/old:0.9'],
          sizeBytes: 104857600,
          reason: 'threshold',
          idleMs: 708120000,
        },
      ],
      keptCount: 7,
      keptByReason: { 'in-use': 4, pinned: 1, 'min-age': 2 },
      before: {
        mountpoint: '/var/lib/containerd',
        capacityBytes: 629145600,
        availableBytes: 75497472,
        usedPercent: 88,
      },
      startedAt: '2026-11-20T22:12:00.000Z',
      durationMs: 230,
    },
  },
});
