import * as z from 'zod';
import { defineEvent } from '../define-event';
import { openWord, text, timestamp } from '../fields';

export const collectionResumedV1 = defineEvent({
  name: 'CollectionResumed',
  version: 1,
  entity: 'gc',
  event: 'resumed',
  publishers: ['gc-worker'],
  description: 'A pause of collections has ended.',
  subjectHolds: 'the publisher, as in `source`',
  data: z.looseObject({
    pausedSince: timestamp('When the pause began.'),
    pausedUntil: timestamp('When it was to end by itself.'),
    reason: text('Why there was a pause, in the words of who asked for it.'),
    cause: openWord(
      ['command', 'time'],
      'Why it ended: somebody ended it, or its time was over (also while the service was down).',
    ),
  }),
  example: {
    subject: '/nodes/worker-1/gc-worker',
    data: {
      pausedSince: '2026-11-20T22:12:00.000Z',
      pausedUntil: '2026-11-20T23:12:00.000Z',
      reason: 'looking into a disk',
      cause: 'command',
    },
  },
});
