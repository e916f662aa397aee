import * as z from 'zod';
import { defineEvent } from '../define-event';
import { openWord, text, timestamp } from '../fields';

export const imageReleasedV1 = defineEvent({
  name: 'ImageReleased',
  version: 1,
  entity: 'image',
  event: 'released',
  publishers: ['gc-worker'],
  description: 'A hold of an image by the command `hold` has ended.',
  subjectHolds: 'the image id',
  data: z.looseObject({
    imageId: text('Image ID as the runtime reports it (`Image.id`).'),
    requestedReference: text('The image as who asked for the hold called it.'),
    heldSince: timestamp('When the hold began.'),
    heldUntil: timestamp('When it was to end by itself.'),
    reason: text('Why there was a hold, in the words of who asked for it.'),
    cause: openWord(
      ['command', 'time'],
      'Why it ended: somebody ended it, or its time was over (also while the service was down).',
    ),
  }),
  example: {
    subject: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
    data: {
      imageId: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
      requestedReference: 'nginx:1.25',
      heldSince: '2026-11-20T22:12:00.000Z',
      heldUntil: '2026-11-21T00:12:00.000Z',
      reason: 'looking into a crash',
      cause: 'command',
    },
  },
});
