import * as z from 'zod';
import { defineCommand } from '../define-command';
import { bytes, imageNames, milliseconds, text, texts, timestamp } from '../fields';
import { next, page, total, usage } from './fields';

const records = z
  .object({
    total,
    images: z
      .array(
        z.object({
          ...imageNames,
          sizeBytes: bytes('Size that the runtime reports; shared layers count in full.'),
          pinned: z.boolean().describe('Whether the runtime asks to keep it.'),
          ...usage,
          namespaces: texts('Namespaces of the pods that use it or have used it.'),
          pulled: z
            .object({
              durationMs: milliseconds('Time in the runtime.'),
              sizeBytes: bytes('Size that was reported then; null when it was not.').nullable(),
            })
            .nullable()
            .describe('What its last pull by image-service took; null when others pulled it.'),
          held: z
            .object({
              until: timestamp('When the last hold of it ends.'),
              reason: text('Why, where the command `hold` gave it.').optional(),
            })
            .describe(
              'What keeps it from collection for a while: the command `hold`, or `image-service.ensure`. Absent when nothing does.',
            )
            .optional(),
        }),
      )
      .describe('Images of this page, by id.'),
    next,
  })
  .describe('Without `nodeStatus`: the records of images as of the last detection.');

const nodeStatus = z
  .object({
    listedAt: timestamp(
      'When the runtime was last asked; null before its first answer.',
    ).nullable(),
    images: z
      .array(
        z.object({
          names: texts('Names, at most five: digests before tags.'),
          sizeBytes: bytes('Size that the runtime reports.'),
        }),
      )
      .describe('The largest images, as many as `nodeStatusMaxImages` allows.'),
  })
  .describe('With `nodeStatus`: images as a Kubernetes node status lists them.');

/** The records of images. */
export const images = defineCommand({
  app: 'gc-worker',
  verb: 'images',
  description: 'Lists the records of images as of the last detection.',
  answered: 'by-default',
  input: z.strictObject({
    ...page,
    nodeStatus: z
      .boolean()
      .optional()
      .describe('The largest images as a Kubernetes node status lists them'),
  }),
  reply: z.union([records, nodeStatus]),
  example: {
    input: {},
    reply: {
      total: 1,
      images: [
        {
          imageId: 'sha256:2b7d6430',
          repoTags: ['docker.io/library/nginx:1.25'],
          repoDigests: [],
          sizeBytes: 71300000,
          pinned: false,
          firstDetected: '2026-11-01T10:00:00.000Z',
          lastUsed: '2026-11-15T08:00:00.000Z',
          usedBy: [],
          namespaces: ['shop'],
          pulled: { durationMs: 3100, sizeBytes: 71300000 },
        },
      ],
    },
  },
});
