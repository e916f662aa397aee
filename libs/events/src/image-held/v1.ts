import * as z from 'zod';
import { defineEvent } from '../define-event';
import { listedImage, text, timestamp } from '../fields';

export const imageHeldV1 = defineEvent({
  name: 'ImageHeld',
  version: 1,
  entity: 'image',
  event: 'held',
  publishers: ['gc-worker'],
  description:
    'Somebody had an image held by the command `hold`, or gave its hold another end. It ends in ImageReleased.',
  subjectHolds: 'the image id',
  data: z.looseObject({
    ...listedImage,
    requestedReference: text('The image as who asked called it.'),
    since: timestamp('When the hold began.'),
    until: timestamp('When it ends by itself.'),
    reason: text('Why, in the words of who asked for it.'),
  }),
  example: {
    subject: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
    data: {
      imageId: 'sha256:2b7d6430f78d432f89109b29d88d4c36c868cdbf15dc31d2132ceaa02b993763',
      repoTags: ['docker.io/library/nginx:1.25'],
      repoDigests: [],
      requestedReference: 'nginx:1.25',
      since: '2026-11-20T22:12:00.000Z',
      until: '2026-11-21T00:12:00.000Z',
      reason: 'looking into a crash',
    },
  },
});
