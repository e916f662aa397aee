import * as z from 'zod';
import { defineCommand } from '../define-command';
import { exampleImage, imageArgument, listedImage } from './fields';

/** One image. */
export const status = defineCommand({
  app: 'image-service',
  verb: 'status',
  description: 'Returns one image.',
  answered: 'by-default',
  input: z.strictObject({ image: imageArgument }),
  reply: z.object({
    image: listedImage.nullable().describe('The image; null when the runtime does not have it.'),
  }),
  example: { input: { image: 'nginx:1.25' }, reply: { image: exampleImage } },
});
