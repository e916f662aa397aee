import * as z from 'zod';
import { defineCommand } from '../define-command';
import { text, texts } from '../fields';
import { imageArgument } from './fields';

/** An image that is to go. */
export const remove = defineCommand({
  app: 'image-service',
  verb: 'remove',
  description: 'Removes an image. One that is not there is no error.',
  answered: 'when-allowed',
  limitMs: 'own', // by the limit of calls to the runtime
  input: z.strictObject({ image: imageArgument }),
  reply: z.object({
    removed: z.boolean().describe('Whether the image is gone by this command.'),
    imageId: text('Image id as the runtime reports it; absent when it was not there.').optional(),
    untagged: texts(
      'Names that the runtime took away where it still has the image; absent where it does not.',
    ).optional(),
  }),
  example: {
    input: { image: 'nginx:1.25' },
    reply: { removed: true, imageId: 'sha256:2b7d6430' },
  },
});
