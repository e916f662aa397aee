import * as z from 'zod';
import { defineEvent } from '../define-event';
import { text, timestamp } from '../fields';

export const collectionPausedV1 = defineEvent({
  name: 'CollectionPaused',
  version: 1,
  entity: 'gc',
  event: 'paused',
  publishers: ['gc-worker'],
  description:
    'Somebody paused collections, or gave a pause another end. It ends in CollectionResumed.',
  subjectHolds: 'the publisher, as in `source`',
  data: z.looseObject({
    since: timestamp('When the pause began.'),
    until: timestamp('When it ends by itself.'),
    reason: text('Why, in the words of who asked for it.'),
  }),
  example: {
    subject: '/nodes/worker-1/gc-worker',
    data: {
      since: '2026-11-20T22:12:00.000Z',
      until: '2026-11-20T23:12:00.000Z',
      reason: 'looking into a disk',
    },
  },
});
