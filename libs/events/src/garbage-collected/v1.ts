import * as z from 'zod';
import { defineEvent } from '../define-event';
import { collectionFigures, collectionTrigger, text } from '../fields';

export const garbageCollectedV1 = defineEvent({
  name: 'GarbageCollected',
  version: 1,
  entity: 'gc',
  event: 'collected',
  publishers: ['gc-worker'],
  description:
    'A collection ended and achieved its target. Each collection ends in exactly one of GarbageCollected and GarbageCollectionFailed.',
  subjectHolds: 'the plan id',
  data: z.looseObject({
    planId: text('Identifies the plan that was executed; ImageRemoved carries the same value.'),
    trigger: collectionTrigger,
    ...collectionFigures,
  }),
  example: {
    subject: '01KAJB5V1B3D5F7H9K1N3Q5S7V',
    data: {
      planId: '01KAJB5V1B3D5F7H9K1N3Q5S7V',
      trigger: 'threshold',
      askedBytes: 50331648,
      expectedBytes: 104857600,
      measuredBytes: 73400320,
      removedCount: 1,
      removed: [
        {
          imageId: 'sha256:77af4d6b9913e693e8d0b4b294fa62ade6054e6b2f1ffb617ac955dd63fb0182',
          repoTags: ['registry.example:5000/team/old:0.9'],
          sizeBytes: 104857600,
          reason: 'threshold',
          idleMs: 708120000,
        },
      ],
      keptCount: 7,
      keptByReason: { 'in-use': 4, pinned: 1, 'min-age': 1, 'enough-freed': 1 },
      before: {
        mountpoint: '/var/lib/containerd',
        capacityBytes: 629145600,
        availableBytes: 75497472,
        usedPercent: 88,
      },
      after: {
        mountpoint: '/var/lib/containerd',
        capacityBytes: 629145600,
        availableBytes: 148897792,
        usedPercent: 77,
      },
      startedAt: '2026-11-20T22:12:00.000Z',
      durationMs: 830,
    },
  },
});
