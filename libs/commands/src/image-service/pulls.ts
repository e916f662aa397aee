import * as z from 'zod';
import { defineCommand } from '../define-command';
import { bytes, count, milliseconds, noInput, openWord, text, timestamp } from '../fields';

const pod = z.object({
  namespace: text('Its namespace.'),
  name: text('Its name.'),
  uid: text('Its UID.'),
});

const waiter = z.object({
  since: timestamp('When it asked.'),
  by: openWord(
    ['cri', 'command'],
    'How it asked: PullImage on the socket, or the command `ensure`.',
  ),
  pod: pod.describe('The pod that the image is for, where the caller says so.').optional(),
  caller: text('`caller` of the command, where it was given.').optional(),
});

const layer = z.object({
  digest: text('Digest of the layer, or of the configuration of the image.'),
  sizeBytes: bytes('Its size, packed.'),
  bytes: bytes('What has arrived of it; all of it where the node had it before.'),
});

const progress = z.object({
  bytes: bytes('What has arrived, packed layers.'),
  totalBytes: bytes('All of it, where the manifest is known.').optional(),
  percent: count('Share that has arrived, where the whole is known.').optional(),
  bytesPerSecond: count('Mean rate since the first bytes came.').optional(),
  remainingMs: milliseconds('Time left at that rate, where the whole is known.').optional(),
  approximate: z
    .boolean()
    .describe('True: `bytes` is the growth of the whole store, other pulls included.'),
  layers: z
    .array(layer)
    .describe(
      'Layers and configuration, in the order of the manifest; absent where it is not known.',
    )
    .optional(),
});

const pull = z.object({
  pullId: text('The same in all events about this pull.'),
  requestedReference: text('The image as who began the pull called it.'),
  reference: text('The same in full.'),
  runtimeHandler: text('Runtime handler, where one was asked for.').optional(),
  state: openWord(
    ['waiting', 'pulling'],
    'Whether it waits for its turn, or for credentials, or the runtime pulls.',
  ),
  since: timestamp('When it was first asked for.'),
  startedAt: timestamp('When the runtime was asked; absent while it waits.').optional(),
  attempts: count('Credentials that were tried and did not bring the image.'),
  waiters: z.array(waiter).describe('Who waits for it, in the order in which they came.'),
  progress: progress
    .describe('How far it is; absent while it waits and where nothing can be seen of it.')
    .optional(),
});

/** Pulls that are going on. */
export const pulls = defineCommand({
  app: 'image-service',
  verb: 'pulls',
  description:
    'Lists the pulls that are going on: how far they are, since when, and who waits for them.',
  answered: 'by-default',
  follows: true,
  input: noInput,
  reply: z.object({
    pulls: z.array(pull).describe('Pulls in the order in which they were asked for.'),
  }),
  example: {
    input: {},
    reply: {
      pulls: [
        {
          pullId: '0c7f5f3c-6f0e-4b0e-9c35-0f4f7c9a1a11',
          requestedReference: 'nginx:1.25',
          reference: 'docker.io/library/nginx:1.25',
          state: 'pulling',
          since: '2026-11-20T22:12:00.000Z',
          startedAt: '2026-11-20T22:12:00.100Z',
          attempts: 0,
          waiters: [
            {
              since: '2026-11-20T22:12:00.000Z',
              by: 'cri',
              pod: {
                namespace: 'shop',
                name: 'web-0',
                uid: '5f0c2a41-b7d9-4e68-9c7a-54a92b7d6430',
              },
            },
          ],
          progress: {
            bytes: 35650000,
            totalBytes: 71300000,
            percent: 50,
            bytesPerSecond: 17825000,
            remainingMs: 2000,
            approximate: false,
            layers: [
              { digest: 'sha256:4a9c', sizeBytes: 8100, bytes: 8100 },
              { digest: 'sha256:9c7a', sizeBytes: 71291900, bytes: 35641900 },
            ],
          },
        },
      ],
    },
  },
});
