import * as z from 'zod';
import { defineCommand } from '../define-command';
import { text, timestamp } from '../fields';
import { imageArgument } from '../image-service/fields';
import { reasonArgument } from './fields';

/** A hold of an image by the command `hold`, as commands return it. */
export const holdFields = {
  imageId: text('The image that is held.'),
  image: text('What it was called by who asked.'),
  since: timestamp('When the hold began.'),
  until: timestamp('When it ends by itself.'),
  reason: text('Why, in the words of who asked for it.'),
};

/** An image that stays for a while. */
export const hold = defineCommand({
  app: 'gc-worker',
  verb: 'hold',
  description:
    'Keeps an image of the node from collection for a while, without pulling it. It survives a restart and ends by itself; asked again, it gets another end.',
  answered: 'when-allowed',
  input: z.strictObject({
    image: imageArgument,
    minutes: z
      .int()
      .min(1)
      .max(43_200)
      .describe('How long; 30 days at most, and no longer than `maxHold`'),
    reason: reasonArgument(
      'Why, for whoever finds the hold: it is in plans, status, log and events',
    ),
  }),
  reply: z.object({
    held: z
      .array(z.object(holdFields))
      .describe('Its hold; several where the runtime has several images of that name.'),
  }),
  example: {
    input: { image: 'nginx:1.25', minutes: 120, reason: 'looking into a crash' },
    reply: {
      held: [
        {
          imageId: 'sha256:2b7d6430',
          image: 'nginx:1.25',
          since: '2026-11-20T22:12:00.000Z',
          until: '2026-11-21T00:12:00.000Z',
          reason: 'looking into a crash',
        },
      ],
    },
  },
});
