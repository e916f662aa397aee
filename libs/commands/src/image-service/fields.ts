import * as z from 'zod';
import { bytes, imageNames, text } from '../fields';

/** Longest image reference that is looked at; the grammar's own limit for names is 255. */
export const maxReferenceLength = 4096;

export const imageArgument = z
  .string()
  .min(1)
  .max(maxReferenceLength)
  .describe('Image reference as a user writes it, or an image id');

export const listedImage = z.object({
  ...imageNames,
  sizeBytes: bytes('Size that the runtime reports; shared layers count in full.'),
  pinned: z.boolean().describe('Whether the runtime asks to keep it.'),
  runtimeHandler: text('Runtime handler, where images are kept per handler.').optional(),
});

export const exampleImage = {
  imageId: 'sha256:2b7d6430',
  repoTags: ['docker.io/library/nginx:1.25'],
  repoDigests: [],
  sizeBytes: 71300000,
  pinned: false,
};
