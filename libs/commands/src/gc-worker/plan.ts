import * as z from 'zod';
import { defineCommand } from '../define-command';
import {
  bytes,
  count,
  countsOf,
  imageNames,
  milliseconds,
  openWord,
  text,
  timestamp,
} from '../fields';
import {
  assessedDisk,
  assumedAge,
  bytesToFree,
  exampleDisk,
  keepRules,
  next,
  page,
  planId,
  removeRules,
  total,
  usage,
} from './fields';

/** What a collection would do. */
export const plan = defineCommand({
  app: 'gc-worker',
  verb: 'plan',
  description: 'Returns what a collection would do now, and changes nothing.',
  answered: 'by-default',
  input: z.strictObject({ bytes: bytesToFree, assumedAge, ...page }),
  reply: z.object({
    planId,
    trigger: openWord(
      ['request', 'threshold', 'max-age', 'none'],
      'Why something would be removed; `none`: nothing to do.',
    ),
    plannedAt: timestamp('When it was planned.'),
    agePass: openWord(
      ['applied', 'off', 'not-up-long-enough', 'outside-window'],
      'Whether images go for their age.',
    ),
    bytesToFree: z
      .int()
      .optional()
      .describe('Bytes that have to come free; absent when there is no amount.'),
    assumedAgeMs: milliseconds(
      'Age that images have which were there when the records began; absent: as the records have it.',
    ).optional(),
    disks: z.array(z.object(assessedDisk)).describe('The image file systems.'),
    total,
    removeCount: count('Images that would go, of all pages.'),
    expectedBytes: bytes('What that is expected to free; layers that stay in use do not count.'),
    collectableBytes: bytes(
      'What the removal of every image that may go now is expected to free, whatever thresholds and the limits of one run say.',
    ),
    expectedIsEstimate: z
      .boolean()
      .describe('True when the runtime does not show enough about layers for any of them.'),
    keptByRule: countsOf(keepRules, 'Images that stay, counted by rule.'),
    images: z
      .array(
        z.object({
          ...imageNames,
          runtimeHandler: text('Runtime handler where images are kept per handler; else empty.'),
          verdict: openWord(['keep', 'remove'], 'Whether it would go.'),
          rule: openWord([...keepRules, ...removeRules], 'The rule that decided.'),
          why: text('The rule in words, with the facts of this image.'),
          order: z
            .int()
            .positive()
            .optional()
            .describe('Place in the order of removal; absent for images that cannot be removed.'),
          sizeBytes: bytes('Size that the runtime reports; shared layers count in full.'),
          expectedBytes: bytes('What its removal is expected to free after those before it.'),
          expectedIsEstimate: z
            .boolean()
            .describe('True when the runtime does not show enough about its layers.'),
          pinned: z.boolean().describe('Whether the runtime asks to keep it.'),
          ...usage,
          assumedSince: timestamp(
            'Since when it counts as known, where its age is assumed; `firstDetected` is what the records have.',
          ).optional(),
        }),
      )
      .describe(
        'Images of this page: first those that may go, in order of removal, then the others by id.',
      ),
    next,
  }),
  example: {
    input: { bytes: 52428800, limit: 50 },
    reply: {
      planId: '5f0c2a41b7d93e68',
      trigger: 'request',
      plannedAt: '2026-11-20T22:12:00.000Z',
      agePass: 'off',
      bytesToFree: 52428800,
      disks: [exampleDisk],
      total: 2,
      removeCount: 1,
      expectedBytes: 71300000,
      collectableBytes: 71300000,
      expectedIsEstimate: false,
      keptByRule: { 'in-use': 1 },
      images: [
        {
          imageId: 'sha256:2b7d6430',
          repoTags: ['docker.io/library/nginx:1.25'],
          repoDigests: [],
          runtimeHandler: '',
          verdict: 'remove',
          rule: 'request',
          why: 'last used 2026-11-15T08:00:00.000Z; 0 B of 50.0 MiB expected so far',
          order: 1,
          sizeBytes: 71300000,
          expectedBytes: 71300000,
          expectedIsEstimate: false,
          pinned: false,
          firstDetected: '2026-11-01T10:00:00.000Z',
          lastUsed: '2026-11-15T08:00:00.000Z',
          usedBy: [],
        },
        {
          imageId: 'sha256:9c7a54a9',
          repoTags: ['docker.io/library/redis:7'],
          repoDigests: [],
          runtimeHandler: '',
          verdict: 'keep',
          rule: 'in-use',
          why: 'container cache of pod shop/cache-0',
          sizeBytes: 45000000,
          expectedBytes: 45000000,
          expectedIsEstimate: false,
          pinned: false,
          firstDetected: '2026-11-01T10:00:00.000Z',
          lastUsed: '2026-11-20T22:12:00.000Z',
          usedBy: ['container cache of pod shop/cache-0'],
        },
      ],
    },
  },
});
