import * as z from 'zod';
import {
  bytes,
  count,
  milliseconds,
  openWord,
  percent,
  signedBytes,
  text,
  texts,
  timestamp,
} from '../fields';

/** Keys of commands whose reply is a list in pages. */
export const page = {
  limit: z.int().min(1).max(5000).optional().describe('Most entries in the reply; 500 when absent'),
  after: z
    .string()
    .optional()
    .describe('Image id after which the list goes on: `next` of the reply before'),
};

/** Why an operator asks for something: one line for whoever finds it. */
export const reasonArgument = (description: string) =>
  z
    .string()
    .regex(/^[^\p{Cc}]+$/u, 'one line of text')
    .max(256)
    .describe(description);

export const bytesToFree = z
  .int()
  .positive()
  .optional()
  .describe('Bytes to free; absent: what the policy asks for');

/** An age in Go's notation, for images whose own is not known. */
export const assumedAge = z
  .string()
  .max(64)
  .regex(/^(\d+(\.\d+)?(ms|s|m|h))+$/, 'a duration such as 90m or 168h')
  .optional()
  .describe(
    'Age of the images that were there when the records began, whose own is not known: a duration such as `168h`, ten years at most; absent: the records count',
  );

export const next = text(
  'Where the list goes on: `after` of the next request. Absent at the end of the list.',
).optional();

export const total = count('Images in all pages.');

export const planId = text(
  'Hash of what is removed and under which policy: equal plans have equal ids.',
);

/** Rules that keep an image, in the order in which they are asked. */
export const keepRules = [
  'in-use',
  'pinned',
  'sandbox-image',
  'exempt',
  'pull-in-progress',
  'container-creating',
  'held',
  'use-unknown',
  'removal-paused',
  'recently-used',
  'min-age',
  'outside-window',
  'min-reclaim',
  'budget',
  'enough-freed',
  'below-threshold',
] as const;

/** Rules that remove an image. */
export const removeRules = ['max-age', 'threshold', 'request'] as const;

export const usage = {
  firstDetected: timestamp(
    'Detection that found the image first; null: longer ago than anybody remembers.',
  ).nullable(),
  lastUsed: timestamp('When it was last seen in use; null: never.').nullable(),
  usedBy: texts('Who uses it, in words; empty: nobody.'),
};

/** A file system against the thresholds of the policy. */
export const assessedDisk = {
  mountpoint: text('Where it is mounted.'),
  role: openWord(
    ['image', 'container'],
    'What the runtime keeps there: images, or containers’ layers alone.',
  ),
  capacityBytes: bytes('Size.'),
  availableBytes: bytes(
    'Bytes an unprivileged process can still write; never more than the capacity.',
  ),
  clamped: z
    .boolean()
    .describe('True when the file system reported more available than its capacity.'),
  usedPercent: percent('Used percent, as kubelet computes it.'),
  overHigh: z.boolean().describe('Whether the high threshold of bytes or of inodes is reached.'),
  overHighBytes: z.boolean().describe('Whether the high threshold of bytes is reached.'),
  overHighInodes: z.boolean().describe('Whether the high threshold of inodes is reached.'),
  overCritical: z.boolean().describe('Whether it is critical, by bytes or by inodes.'),
  bytesToFree: signedBytes(
    'Bytes to free down to the low threshold; 0 or negative when it is reached.',
  ),
  inodes: count('Number of inodes; null where it is not fixed.').nullable(),
  inodesFree: count('Free inodes; null where the number is not fixed.').nullable(),
  inodesUsedPercent: percent(
    'Used percent of the inodes; null where the number is not fixed.',
  ).nullable(),
  inodesToFree: z
    .int()
    .nullable()
    .describe(
      'Inodes to free down to their low threshold; null without a threshold or a fixed number.',
    ),
};

/** What the bytes in use on a file system belong to. */
export const breakdown = (description: string) =>
  z
    .object({
      usedBytes: bytes('Bytes that files take; blocks reserved for root are not included.'),
      imageBytes: bytes('Bytes that images hold, packed and unpacked.'),
      containerBytes: bytes('Bytes that containers wrote on top of their images.'),
      otherBytes: bytes('All other bytes: logs, volumes, files of other programs.'),
      imagesSuffice: z
        .boolean()
        .describe(
          'Whether it would be down at its low threshold of bytes without any image, those in use included; absent while it is down there.',
        )
        .optional(),
    })
    .describe(description)
    .optional();

/** What came of a collection. */
export const collection = z.object({
  planId,
  trigger: openWord(
    ['request', 'threshold', 'max-age', 'period'],
    'Why it ran; `period` where the periodic look itself failed.',
  ),
  startedAt: timestamp('When it began.'),
  durationMs: milliseconds('How long it took.'),
  askedBytes: bytes('Bytes that had to come free; absent when there was no amount.').optional(),
  expectedBytes: bytes('What removing the removed images was expected to free.'),
  freedBytes: signedBytes('Bytes freed by the policy’s way of counting.'),
  measuredBytes: signedBytes(
    'Growth of the available bytes over the collection; null where it cannot be measured.',
  ).nullable(),
  leakedBytes: bytes(
    'Bytes in use that no image or container accounts for; only where less was freed than expected.',
  ).optional(),
  removedCount: count('Images removed.'),
  attemptedCount: count('Images whose removal was tried.'),
  remainingCount: count(
    'Images that remain, by the policy’s `remainingImages`; null where kubelet would not count them.',
  ).nullable(),
  keptByReason: z
    .record(z.string(), z.int().nonnegative())
    .describe(
      'Images that stay, counted by rule; `removal-failed`, `not-reached` and `shadow` are among the rules.',
    ),
  shadow: z
    .object({
      wouldRemoveCount: count('Images that would have been removed; `images` names them.'),
      expectedBytes: bytes('What that was expected to free.'),
    })
    .describe('Present for a collection in shadow (`collect: shadow`), which removes nothing.')
    .optional(),
  before: z
    .object(assessedDisk)
    .describe('The file system with most to free, before; absent when none was measured.')
    .optional(),
  after: z.object(assessedDisk).describe('The same file system afterwards.').optional(),
  breakdown: breakdown(
    'What held the file system of `before`, before a collection by threshold; absent where the runtime does not report enough.',
  ),
  limitedBy: text(
    'The limit of a run that ended it before it was through; absent when none did.',
  ).optional(),
  failure: z
    .object({
      code: openWord(
        [
          'runtime-unavailable',
          'stats-failed',
          'invalid-disk-capacity',
          'removal-failed',
          'insufficient-space-freed',
          'cancelled',
        ],
        'Class of the failure.',
      ),
      grpcStatus: text('gRPC status name.'),
      message: text('The failure in words.'),
      nodeEventReason: openWord(
        ['InvalidDiskCapacity', 'FreeDiskSpaceFailed'],
        'Reason of the event that kubelet puts on the node, where it does so.',
      ).optional(),
    })
    .describe('How it fell short; absent when it did not.')
    .optional(),
  failures: z
    .array(
      z.object({
        imageId: text('Image that could not be removed.'),
        grpcStatus: text('gRPC status name.'),
        message: text('The runtime’s words.'),
      }),
    )
    .describe('Removals that failed, the first 200.'),
  measured: z
    .array(
      z.object({
        imageId: text('Image that was removed.'),
        expectedBytes: bytes('What its removal was expected to free.'),
        measuredBytes: signedBytes(
          'What came free; null when it was not removed alone, or cannot be measured.',
        ).nullable(),
      }),
    )
    .describe('Removals with what they brought, the first 200.'),
  images: z
    .array(
      z.object({
        imageId: text('Image id.'),
        repoTags: texts('Its tags.'),
        result: openWord(
          ['removed', 'kept', 'failed', 'would-remove'],
          'What became of it; `would-remove`: kept by a collection in shadow alone.',
        ),
        rule: openWord(
          [...keepRules, ...removeRules, 'removal-failed', 'not-reached'],
          'The rule that decided.',
        ),
        why: text('The rule in words, with the facts of this image.'),
      }),
    )
    .describe('Images of the plan with what became of them, the first 200.'),
});

/** A realistic file system for the examples. */
export const exampleDisk = {
  mountpoint: '/var/lib/containerd',
  role: 'image',
  capacityBytes: 107374182400,
  availableBytes: 12884901888,
  clamped: false,
  usedPercent: 89,
  overHigh: true,
  overHighBytes: true,
  overHighInodes: false,
  overCritical: false,
  bytesToFree: 8589934592,
  inodes: 6553600,
  inodesFree: 5242880,
  inodesUsedPercent: 20,
  inodesToFree: null,
} as const;

/** A realistic collection for the examples. */
export const exampleCollection: z.input<typeof collection> = {
  planId: '5f0c2a41b7d93e68',
  trigger: 'request',
  startedAt: '2026-11-20T22:12:00.000Z',
  durationMs: 412,
  askedBytes: 52428800,
  expectedBytes: 71300000,
  freedBytes: 73400320,
  measuredBytes: 73400320,
  removedCount: 1,
  attemptedCount: 1,
  remainingCount: 1,
  keptByReason: { 'in-use': 1 },
  failures: [],
  measured: [{ imageId: 'sha256:2b7d6430', expectedBytes: 71300000, measuredBytes: 73400320 }],
  images: [
    {
      imageId: 'sha256:2b7d6430',
      repoTags: ['docker.io/library/nginx:1.25'],
      result: 'removed',
      rule: 'request',
      why: 'last used 2026-11-15T08:00:00.000Z; 0 B of 50.0 MiB expected so far',
    },
    {
      imageId: 'sha256:9c7a54a9',
      repoTags: ['docker.io/library/redis:7'],
      result: 'kept',
      rule: 'in-use',
      why: 'container cache of pod shop/cache-0',
    },
  ],
};
