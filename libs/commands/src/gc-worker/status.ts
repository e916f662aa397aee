import * as z from 'zod';
import { defineCommand } from '../define-command';
import {
  bytes,
  count,
  milliseconds,
  noInput,
  openWord,
  percent,
  text,
  texts,
  timestamp,
} from '../fields';
import { differences } from './differences';
import { holdFields } from './hold';
import { pauseFields } from './pause';
import { assessedDisk, breakdown, collection, exampleCollection, exampleDisk } from './fields';

const policy = z
  .object({
    collect: openWord(
      ['on', 'shadow', 'off'],
      'Whether collections remove images, only plan and publish, or do not run.',
    ),
    highThresholdPercent: percent('Used percent from which a collection starts.'),
    lowThresholdPercent: percent('Used percent that it goes down to.'),
    minAgeMs: milliseconds('Younger images do not go for space.'),
    maxAgeMs: milliseconds('Images idle for longer go; 0 is off.'),
    highMarkAvailableBytes: bytes('The high threshold as available bytes; 0: the percents decide.'),
    lowMarkAvailableBytes: bytes('The low threshold as available bytes.'),
    inodesHighThresholdPercent: percent('Used percent of inodes from which a collection starts.'),
    inodesLowThresholdPercent: percent('Used percent of inodes that it goes down to.'),
    warningThresholdPercent: percent('Used percent from which a warning is published; 0 is off.'),
    warningTimeToFullMs: milliseconds('Time to full from which a warning is published; 0 is off.'),
    criticalThresholdPercent: percent('Used percent from which maintenance windows do not count.'),
    maxImagesPerRun: count('Most images that one collection removes; 0: no limit.'),
    maxBytesPerRun: bytes('Most bytes that one collection removes; 0: no limit.'),
    assumedAgeMs: milliseconds(
      'Age of images that were there when the records began, for collections in shadow; 0: as the records have it.',
    ),
    minReclaimBytes: bytes(
      'No image goes for space when all that may go are expected to free less; 0: off.',
    ),
    maxRunMs: milliseconds('Longest time in which a collection begins removals; 0: no limit.'),
    removalsPerMinute: count('Most removals begun in a minute; 0: no limit.'),
    parallelRemovals: count('Removals at once.'),
    maintenanceWindows: texts('When collections start by themselves; empty: at any time.'),
    maintenanceTimeZone: text('Time zone of the windows; empty: that of the process.'),
    order: openWord(['last-used', 'cost'], 'Order of removal.'),
    regretWindowMs: milliseconds('An image that comes back within this counts as regret.'),
    exemptImages: texts(
      'Images that never go: globs over references, ids or digests, or regular expressions `/…/`.',
    ),
    exemptRules: z
      .array(
        z.object({
          image: text('Glob over references.').optional(),
          digest: text('Digest or image id.').optional(),
          label: text('Label, `name` or `name=value`.').optional(),
          namespace: text('Glob over namespaces.').optional(),
          youngerThanMs: milliseconds('Age below which the rule holds.').optional(),
        }),
      )
      .describe('Images that never go: all conditions of one entry hold.'),
    differences,
  })
  .describe('The policy that counts now.');

const trend = (description: string) =>
  z
    .object({
      perSecond: z
        .number()
        .describe('Change of what is used per second; negative when it empties.'),
      windowMs: milliseconds('Length of what was looked at.'),
      timeToFullMs: milliseconds(
        'Time until nothing is available at this rate; absent when it does not fill.',
      ).optional(),
    })
    .describe(description)
    .optional();

/** The worker itself. */
export const status = defineCommand({
  app: 'gc-worker',
  verb: 'status',
  description: 'Returns policy, file systems, records and the last collection.',
  answered: 'by-default',
  input: noInput,
  reply: z.object({
    policy,
    policyRefused: z
      .object({
        at: timestamp('When it was refused.'),
        reason: text('What is wrong with it.'),
      })
      .describe('The last change of the policy, while it is refused and the old one counts.')
      .optional(),
    collects: z.boolean().describe('False when no collection can start by itself.'),
    paused: z
      .object(pauseFields)
      .nullable()
      .describe('The pause of collections; null when there is none.'),
    holds: z
      .array(z.object(holdFields))
      .describe('Images that the command `hold` keeps, the first that ends first.'),
    disks: z
      .array(
        z.object({
          ...assessedDisk,
          exceededSince: timestamp(
            'Since when the high threshold of bytes is exceeded; null when it is not.',
          ).nullable(),
          exceeded: z
            .array(
              z.object({
                resource: openWord(['bytes', 'inodes'], 'What ran short.'),
                level: openWord(['warning', 'high', 'critical'], 'Which threshold.'),
                since: timestamp('Since when.'),
              }),
            )
            .describe('Thresholds that are exceeded.'),
          trend: z
            .object({ bytes: trend('Of bytes.'), inodes: trend('Of inodes.') })
            .describe('How it changes; empty until there are enough measurements.'),
          breakdown: breakdown('What holds it; absent where the runtime does not report enough.'),
        }),
      )
      .describe('File systems of images and containers.'),
    diskProblem: text('Why the file systems could not be read; `disks` is then empty.').optional(),
    records: z
      .object({
        state: openWord(['on-disk', 'in-memory', 'not-written'], 'Where they are.'),
        path: text('Their file.'),
        reason: text('Why they are not written.').optional(),
        since: timestamp('Since when they are not written.').optional(),
        images: count('Images that are remembered.'),
      })
      .describe('Records of images.'),
    use: z
      .object({
        lostContainers: count('Containers that went missing and still count.'),
        lostForMs: milliseconds('Since when the first of them is missing.').optional(),
        unknown: text(
          'Why unused images are kept, where it cannot be known who uses them.',
        ).optional(),
      })
      .describe('What is not certain about the use of images.'),
    exemptUnmatched: texts(
      'Exempt patterns and rules that hold for no image of the node as of the last detection: a slip perhaps.',
    ),
    lastCollection: collection
      .nullable()
      .describe('The last collection of this process; null before the first.'),
  }),
  example: {
    input: {},
    reply: {
      policy: {
        collect: 'on',
        highThresholdPercent: 85,
        lowThresholdPercent: 80,
        minAgeMs: 120000,
        maxAgeMs: 0,
        highMarkAvailableBytes: 0,
        lowMarkAvailableBytes: 0,
        inodesHighThresholdPercent: 100,
        inodesLowThresholdPercent: 90,
        warningThresholdPercent: 0,
        warningTimeToFullMs: 1800000,
        criticalThresholdPercent: 95,
        maxImagesPerRun: 0,
        maxBytesPerRun: 0,
        assumedAgeMs: 0,
        minReclaimBytes: 0,
        maxRunMs: 0,
        removalsPerMinute: 0,
        parallelRemovals: 1,
        maintenanceWindows: [],
        maintenanceTimeZone: '',
        order: 'last-used',
        regretWindowMs: 86400000,
        exemptImages: ['quay.io/base/**'],
        exemptRules: [],
        differences: {
          maxAgeCountsFrom: 'last-use-or-detection',
          maxAgeStarts: 'at-once',
          afterAgeRemovalError: 'go-on',
          nothingToFree: 'remove-none',
          freedBytes: 'measured',
          removalError: 'reported',
          remainingImages: 'all-that-remain',
          imageFileSystems: 'all',
          containerStatusError: 'keep-images',
          lostContainers: 'kept-for-a-while',
          inUseMatch: 'any-reference',
          sandboxImage: 'kept',
          useCheck: 'before-each-removal',
          collectionStart: 'when-mark-is-crossed',
          failureEvents: 'every',
          records: 'on-disk',
        },
      },
      collects: true,
      paused: null,
      holds: [
        {
          imageId: 'sha256:2b7d6430',
          image: 'nginx:1.25',
          since: '2026-11-20T22:12:00.000Z',
          until: '2026-11-21T00:12:00.000Z',
          reason: 'looking into a crash',
        },
      ],
      disks: [
        {
          ...exampleDisk,
          exceededSince: '2026-11-20T22:11:50.000Z',
          exceeded: [{ resource: 'bytes', level: 'high', since: '2026-11-20T22:11:50.000Z' }],
          trend: { bytes: { perSecond: 1048576, windowMs: 600000, timeToFullMs: 12288000 } },
          breakdown: {
            usedBytes: 94489280512,
            imageBytes: 21474836480,
            containerBytes: 4294967296,
            otherBytes: 68719476736,
            imagesSuffice: true,
          },
        },
      ],
      records: { state: 'on-disk', path: '/var/lib/stowage/gc-worker/records.db', images: 2 },
      use: { lostContainers: 0 },
      exemptUnmatched: ['quay.io/base/**'],
      lastCollection: exampleCollection,
    },
  },
});
