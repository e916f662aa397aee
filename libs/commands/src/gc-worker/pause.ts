import * as z from 'zod';
import { defineCommand } from '../define-command';
import { text, timestamp } from '../fields';
import { reasonArgument } from './fields';

/** A pause of collections, as `pause` and `status` return it. */
export const pauseFields = {
  since: timestamp('When it began.'),
  until: timestamp('When it ends by itself.'),
  reason: text('Why, in the words of who asked for it.'),
};

/** No collection for a while. */
export const pause = defineCommand({
  app: 'gc-worker',
  verb: 'pause',
  description:
    'Pauses collections: none starts by itself or by `run`, and one that runs is cut off. It survives a restart and ends by itself; asked again, it gets another end.',
  answered: 'when-allowed',
  input: z.strictObject({
    minutes: z.int().min(1).max(10_080).describe('How long; a week at most'),
    reason: reasonArgument(
      'Why, for whoever finds the pause: it is in status, health, log and events',
    ),
  }),
  reply: z.object(pauseFields),
  example: {
    input: { minutes: 60, reason: 'looking into a disk' },
    reply: {
      since: '2026-11-20T22:12:00.000Z',
      until: '2026-11-20T23:12:00.000Z',
      reason: 'looking into a disk',
    },
  },
});
