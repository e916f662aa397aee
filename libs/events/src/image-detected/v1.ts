import * as z from 'zod';
import { defineEvent } from '../define-event';
import { bytes, listedImage, milliseconds, runtimeHandler, text, timestamp } from '../fields';

export const imageDetectedV1 = defineEvent({
  name: 'ImageDetected',
  version: 1,
  entity: 'image',
  event: 'detected',
  publishers: ['gc-worker'],
  description: 'The runtime lists a new image id, whoever pulled it.',
  subjectHolds: 'the image id',
  data: z.looseObject({
    ...listedImage,
    sizeBytes: bytes('Size the runtime reports, bytes; shared layers are included.'),
    pinned: z.boolean().describe('The runtime asks to keep it.'),
    inUse: z.boolean().describe('A container used it when it was detected.'),
    firstDetected: timestamp(
      'Detection time that the record keeps; the minimum age counts from here.',
    ),
    runtimeHandler,
    regret: z
      .looseObject({
        removedAt: timestamp('When a collection removed it.'),
        afterMs: milliseconds('Time from that removal until it was detected again.'),
        planId: text('The collection that removed it.'),
      })
      .describe('Present when a collection removed this same image recently.')
      .optional(),
    recordsRebuilt: z
      .boolean()
      .describe(
        'True when the records could not be used and are being rebuilt: the image may have been known before, and its ages start again.',
      )
      .optional(),
  }),
  example: {
    subject: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
    data: {
      imageId: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
      repoTags: ['registry.example:5000/team/app:1.4'],
      repoDigests: [],
      sizeBytes: 52428800,
      pinned: false,
      inUse: false,
      firstDetected: '2026-11-20T22:12:00.000Z',
    },
  },
});
