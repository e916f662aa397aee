import * as z from 'zod';
import { defineCommand } from '../define-command';
import { exampleImage, imageArgument, listedImage } from './fields';

/** The images of the runtime. */
export const list = defineCommand({
  app: 'image-service',
  verb: 'list',
  description: 'Lists the images of the runtime.',
  answered: 'by-default',
  input: z.strictObject({
    image: imageArgument.optional().describe('Only this image; absent: all'),
  }),
  reply: z.object({ images: z.array(listedImage).describe('Images by id.') }),
  example: { input: {}, reply: { images: [exampleImage] } },
});
