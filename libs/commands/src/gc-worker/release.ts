import * as z from 'zod';
import { defineCommand } from '../define-command';
import { timestamp } from '../fields';
import { imageArgument } from '../image-service/fields';
import { holdFields } from './hold';

/** An image that may be collected again. */
export const release = defineCommand({
  app: 'gc-worker',
  verb: 'release',
  description:
    'Ends the hold of an image that `hold` began. Without one it does nothing. A hold that `image-service.ensure` gave goes on.',
  answered: 'when-allowed',
  input: z.strictObject({ image: imageArgument }),
  reply: z.object({
    released: z
      .array(z.object(holdFields))
      .describe('The holds that there were; empty when there was none.'),
    heldUntil: timestamp(
      'Until when `image-service.ensure` keeps the image all the same; absent when it does not.',
    ).optional(),
  }),
  example: {
    input: { image: 'nginx:1.25' },
    reply: {
      released: [
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
