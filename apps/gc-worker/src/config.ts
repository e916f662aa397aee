import { verbsOf } from '@stowage/commands';
import { parseGoDuration } from '@stowage/go-duration';
import { parseAnyReference } from '@stowage/image-ref';
import {
  byteSizeKey,
  commonKeys,
  contextToken,
  defineConfig,
  durationKey,
  enumKey,
  integerKey,
  key,
  listKey,
  pathKey,
  stringKey,
  type ConfigOf,
} from '@stowage/service-kit/config';
import * as z from 'zod';
import {
  kubeletDifferences,
  stowageDifferences,
  type KubeletDifferences,
} from './policy/differences';
import { exemptRuleProblem, type ExemptRule } from './policy/exempt';
import { splitPatterns } from './policy/exempt-pattern';
import { isTimeZone, parseWindow } from './policy/maintenance';
import {
  collectionPolicy,
  defaultPolicy,
  exemptPatternsAllowed,
  kubeletConfigErrors,
  policyProblems,
  type CollectionPolicy,
} from './policy/policy';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

const differenceNames = Object.keys(stowageDifferences) as (keyof KubeletDifferences)[];

const percentKey = (name: string, defaultPercent: number, meaning: string) =>
  integerKey({
    default: defaultPercent,
    min: 0,
    max: 100,
    meaning,
    kubelet: { key: name, kind: 'number' },
  });

const ownPercentKey = (defaultPercent: number, meaning: string) =>
  integerKey({ default: defaultPercent, min: 0, max: 100, meaning });

const countKey = (meaning: string) =>
  integerKey({ default: 0, min: 0, max: 1_000_000, meaning: `${meaning}; 0 is no limit.` });

const sizeKey = (meaning: string) =>
  byteSizeKey({ default: 0, minBytes: 0, maxBytes: 2 ** 50, meaning });

const exemptRuleSchema = z
  .strictObject({
    image: z.string().optional(),
    digest: z.string().optional(),
    label: z.string().optional(),
    namespace: z.string().optional(),
    youngerThan: z.string().optional(),
  })
  .transform(({ youngerThan, ...rest }, context): ExemptRule => {
    const youngerThanMs = youngerThan === undefined ? undefined : parseGoDuration(youngerThan);
    const rule = { ...rest, youngerThanMs };
    const isWrong = youngerThan !== undefined && youngerThanMs === undefined;
    if (isWrong || exemptRuleProblem(rule) !== undefined) {
      context.addIssue({ code: 'custom', message: 'not allowed' });
      return z.NEVER;
    }
    return rule;
  });

function isReference(text: string): boolean {
  try {
    parseAnyReference(text);
    return true;
  } catch {
    return false;
  }
}

/** YAML has the rules as mappings; the environment as JSON. */
function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** Configuration of gc-worker. kubelet's settings have kubelet's names, in the YAML file too. */
export const config = defineConfig({
  app: 'gc-worker',
  summary: 'Collects unused images, by kubelet’s rules, with ages that survive a restart.',
  switches: {
    '--dry-run':
      'print what a collection would do now, as the command plan, change nothing, and exit',
  },
  switchOptions: {
    '--bytes': {
      of: '--dry-run',
      value: 'SIZE',
      does: 'what to free instead of what the policy asks for',
      key: byteSizeKey({ default: 0, minBytes: 1, maxBytes: 2 ** 50, meaning: '' }),
    },
    '--assumed-age': {
      of: '--dry-run',
      value: 'TIME',
      does: 'age of the images that were there when the records began',
      key: durationKey({ default: 0, minMs: 1, maxMs: 10 * 365 * dayMs, meaning: '' }),
    },
  },
  keys: {
    ...commonKeys({
      httpAddr: '127.0.0.1:9472',
      ...verbsOf('gc-worker'),
    }),
    collect: enumKey({
      values: ['on', 'shadow', 'off'],
      default: 'on',
      meaning:
        'Whether collections remove images: on, shadow (all is done, measured and published but the removal), or off (no collection, asked for or not).',
    }),
    assumedAgeMs: durationKey({
      default: 0,
      minMs: 0,
      maxMs: 10 * 365 * dayMs,
      meaning:
        'In shadow: age of the images that were there when the records began, whose own is not known; 0 is as the records have it. Does not count where collect is on.',
    }),
    imageGCHighThresholdPercent: percentKey(
      'imageGCHighThresholdPercent',
      85,
      'Used percent of an image file system from which images are collected; 100 never collects for space.',
    ),
    imageGCLowThresholdPercent: percentKey(
      'imageGCLowThresholdPercent',
      80,
      'Used percent that a collection goes down to.',
    ),
    imageMinimumGCAgeMs: durationKey({
      default: 120_000,
      minMs: 0,
      maxMs: 365 * dayMs,
      meaning: 'An image known for less than this is not removed for space.',
      kubelet: { key: 'imageMinimumGCAge', kind: 'string', zeroIsUnset: true },
    }),
    imageMaximumGCAgeMs: durationKey({
      default: 0,
      minMs: 0,
      maxMs: 10 * 365 * dayMs,
      meaning: 'An image idle for longer than this is removed whatever the disk usage; 0 is off.',
      kubelet: { key: 'imageMaximumGCAge', kind: 'string' },
    }),
    exemptImages: listKey({
      default: [],
      item: z.string().max(1024),
      split: splitPatterns,
      allowed: exemptPatternsAllowed,
      meaning:
        'Images that are never removed: globs over full or familiar references, ids or digests; without tag every tag is meant. `/…/` is a regular expression, matched anywhere in a name in linear time.',
    }),
    exemptRules: key<readonly ExemptRule[]>({
      schema: z.array(exemptRuleSchema),
      default: [],
      allowed:
        'a list of mappings with one or more of image (glob), digest, label (name or name=value), namespace (glob), youngerThan (duration); in the environment as JSON',
      meaning:
        'Images that are never removed: all conditions of one entry hold. Namespace: of pods that use or used it; youngerThan: since it was first detected.',
      fromText: parsedJson,
    }),
    highMarkAvailableBytes: sizeKey(
      'Instead of percents: a collection starts when fewer bytes are available; 0 is off.',
    ),
    lowMarkAvailableBytes: sizeKey(
      'Instead of percents: a collection goes on until so many bytes are available.',
    ),
    inodesHighThresholdPercent: ownPercentKey(
      100,
      'Used percent of the inodes from which images are collected; 100 is never.',
    ),
    inodesLowThresholdPercent: ownPercentKey(
      90,
      'Used percent of the inodes that a collection goes down to.',
    ),
    warningThresholdPercent: ownPercentKey(
      0,
      'Used percent (bytes, and inodes where they have a threshold) from which a warning is published; 0 is off.',
    ),
    warningTimeToFullMs: durationKey({
      default: defaultPolicy.warningTimeToFullMs,
      minMs: 0,
      maxMs: 30 * dayMs,
      meaning:
        'A warning is published when a file system is going to be full within this at the rate of the last minutes; 0 is off.',
    }),
    criticalThresholdPercent: ownPercentKey(
      95,
      'Used percent from which it is critical: maintenance windows no longer hold collections back; 100 is never.',
    ),
    maxImagesPerRun: countKey('Most images that one collection removes'),
    maxBytesPerRun: sizeKey(
      'Most bytes (reported sizes) that one collection removes, one image at least; 0 is no limit.',
    ),
    minReclaim: sizeKey(
      'No image goes for space when all that may go are expected to free less than this (reported sizes) and less than is asked; 0 is off.',
    ),
    maxRunMs: durationKey({
      default: 0,
      minMs: 0,
      maxMs: dayMs,
      meaning: 'A collection that has run for this long begins no further removal; 0 is no limit.',
    }),
    removalsPerMinute: countKey('Most removals begun in a minute'),
    parallelRemovals: integerKey({
      default: 1,
      min: 1,
      max: 64,
      meaning: 'Removals at once; with more than one, what each frees is not measured on its own.',
    }),
    maintenanceWindows: listKey({
      default: [],
      item: z.string().refine((text) => parseWindow(text) !== undefined),
      allowed:
        'windows such as 22:00-06:00, Mon-Fri 01:00-05:00; in the environment days as a range or one day',
      meaning:
        'When collections may start by themselves; empty is at any time. Requests and a critical file system do not wait.',
    }),
    maintenanceTimeZone: {
      ...stringKey({
        default: '',
        allowed: 'an IANA time zone such as Europe/Berlin, or empty for that of the process',
        meaning: 'Time zone of the maintenance windows; empty is that of the process.',
      }),
      schema: z.string().refine((name) => name === '' || isTimeZone(name)),
    },
    removalOrder: enumKey({
      values: ['last-used', 'cost'],
      default: 'last-used',
      meaning:
        'Order of removal: least recently used first, or cheapest to pull again (size x pull time against idle time).',
    }),
    regretWindowMs: durationKey({
      default: defaultPolicy.regretWindowMs,
      minMs: 0,
      maxMs: 365 * dayMs,
      meaning:
        'An image pulled again within this time after its removal is counted as regret; 0 is off.',
    }),
    kubeletBehaviour: key<readonly string[]>({
      schema: listKey({
        default: [],
        meaning: '',
        allowed: '',
        item: z.enum(['all', ...differenceNames]),
      }).schema,
      default: [],
      allowed: `all, or a list of ${differenceNames.join(', ')}`,
      meaning: 'Differences from kubelet that are switched back to kubelet’s behaviour.',
    }),
    imageListIntervalMs: durationKey({
      default: 30_000,
      minMs: 100,
      maxMs: hourMs,
      meaning:
        'Pause between looks at the list of images alone; a change brings the next detection forward.',
    }),
    nodeStatusMaxImages: integerKey({
      default: 50,
      min: -1,
      max: 1_000_000,
      meaning: 'Images in the list for a node status (command images with nodeStatus); -1 is all.',
      kubelet: { key: 'nodeStatusMaxImages', kind: 'number' },
    }),
    detectionIntervalMs: durationKey({
      default: 300_000,
      minMs: 100,
      maxMs: dayMs,
      meaning: 'Pause between detections of images and their use.',
    }),
    collectionIntervalMs: durationKey({
      default: 300_000,
      minMs: 100,
      maxMs: dayMs,
      meaning: 'Pause between checks for something to collect, by age or by thresholds.',
    }),
    diskCheckIntervalMs: durationKey({
      default: 10_000,
      minMs: 50,
      maxMs: hourMs,
      meaning: 'Pause between measurements of the file systems of images and containers.',
    }),
    collectionRetryMs: durationKey({
      default: 30_000,
      minMs: 100,
      maxMs: hourMs,
      meaning:
        'While a file system stays over the high threshold, pause before the next attempt to collect.',
    }),
    removalTimeoutMs: durationKey({
      default: 120_000,
      minMs: 100,
      maxMs: hourMs,
      meaning: 'A removal that takes longer counts as failed; the collection goes on.',
    }),
    freeingWaitMs: durationKey({
      default: 5000,
      minMs: 0,
      maxMs: 300_000,
      meaning:
        'Longest wait for a runtime that frees space after it answered, before more images than planned go.',
    }),
    maxPullMs: durationKey({
      default: 2 * hourMs,
      minMs: 1000,
      maxMs: 7 * dayMs,
      meaning:
        'A pull whose start was published and whose end was not keeps its image for at most this.',
    }),
    maxHoldMs: durationKey({
      default: 30 * dayMs,
      minMs: 1000,
      maxMs: 365 * dayMs,
      meaning:
        'Longest time for which an event may hold an image; a hold that ends later is refused and counted.',
    }),
    lostContainerWaitMs: durationKey({
      default: 30_000,
      minMs: 100,
      maxMs: hourMs,
      meaning:
        'A container that the runtime does not list any more, and that nobody saw removed, keeps its images for this (twice as long while its pod is ready).',
    }),
    sandboxImage: {
      ...stringKey({
        default: '',
        allowed: 'a reference such as registry.k8s.io/pause:3.10, or empty',
        meaning:
          'Image that the runtime starts pods with; it is never removed. Needed where the runtime does not report it (runtimeEndpoint is a read-only socket).',
      }),
      schema: z.string().refine((name) => name === '' || isReference(name)),
    },
    runtimeRequestTimeoutMs: durationKey({
      default: 120_000,
      minMs: 100,
      maxMs: hourMs,
      meaning: 'Time limit of ordinary calls to the runtime.',
      kubelet: { key: 'runtimeRequestTimeout', kind: 'string', zeroIsUnset: true },
    }),
    hostRoot: pathKey({
      default: '',
      emptyAllowed: true,
      meaning:
        'Folder below which the host’s file systems are mounted, where the worker runs in a container.',
    }),
  },
  checks: [
    (values) => {
      const [error] = kubeletConfigErrors(thresholds(values));
      if (error === undefined) return undefined;
      const text = error.replace(/^invalid configuration: /, '');
      return text.startsWith('imageMaximumGCAge')
        ? { key: 'imageMaximumGCAgeMs', allowed: '0, or more than imageMinimumGCAge' }
        : {
            key: 'imageGCLowThresholdPercent',
            allowed: `less than imageGCHighThresholdPercent (${values.imageGCHighThresholdPercent})`,
          };
    },
    (values) => {
      const [problem] = policyProblems({ ...defaultPolicy, ...ownSettings(values) });
      return problem === undefined
        ? undefined
        : { key: keyOfField[problem.field] ?? problem.field, allowed: problem.allowed };
    },
  ],
});

/** The worker's settings. */
export type GcConfig = ConfigOf<typeof config.keys>;

/** The name under which the modules find the running service. */
export const CONTEXT = contextToken<GcConfig>();

type ThresholdKeys = Pick<
  GcConfig,
  | 'imageGCHighThresholdPercent'
  | 'imageGCLowThresholdPercent'
  | 'imageMinimumGCAgeMs'
  | 'imageMaximumGCAgeMs'
>;

const thresholds = (values: ThresholdKeys) => ({
  highThresholdPercent: values.imageGCHighThresholdPercent,
  lowThresholdPercent: values.imageGCLowThresholdPercent,
  minAgeMs: values.imageMinimumGCAgeMs,
  maxAgeMs: values.imageMaximumGCAgeMs,
});

/** Settings that stand in the policy under the same name. */
const sameNames = [
  'collect',
  'assumedAgeMs',
  'exemptImages',
  'exemptRules',
  'highMarkAvailableBytes',
  'lowMarkAvailableBytes',
  'inodesHighThresholdPercent',
  'inodesLowThresholdPercent',
  'warningThresholdPercent',
  'warningTimeToFullMs',
  'criticalThresholdPercent',
  'maxImagesPerRun',
  'maxBytesPerRun',
  'maxRunMs',
  'removalsPerMinute',
  'parallelRemovals',
  'maintenanceWindows',
  'maintenanceTimeZone',
  'regretWindowMs',
] as const satisfies (keyof GcConfig & keyof CollectionPolicy)[];

const keyOfField: Readonly<Partial<Record<keyof CollectionPolicy, string>>> = {
  order: 'removalOrder',
  minReclaimBytes: 'minReclaim',
};

type OwnKeys = Pick<GcConfig, (typeof sameNames)[number] | 'removalOrder' | 'minReclaim'>;

const ownSettings = (values: OwnKeys): Partial<CollectionPolicy> => ({
  ...(Object.fromEntries(sameNames.map((name) => [name, values[name]])) as Pick<
    CollectionPolicy,
    (typeof sameNames)[number]
  >),
  order: values.removalOrder,
  minReclaimBytes: values.minReclaim,
});

/** Settings that are part of the policy; they can be changed while the worker runs. */
export const policyKeys: readonly (keyof GcConfig)[] = [
  'imageGCHighThresholdPercent',
  'imageGCLowThresholdPercent',
  'imageMinimumGCAgeMs',
  'imageMaximumGCAgeMs',
  ...sameNames,
  'removalOrder',
  'minReclaim',
  'kubeletBehaviour',
];

/**
 * The policy that the settings describe. Throws PolicyError for settings that did not pass the
 * configuration's checks.
 */
export function policyOf(
  values: ThresholdKeys & OwnKeys & Pick<GcConfig, 'kubeletBehaviour'>,
): CollectionPolicy {
  const back = values.kubeletBehaviour;
  const differences = Object.fromEntries(
    differenceNames.map((name) => [
      name,
      back.includes('all') || back.includes(name)
        ? kubeletDifferences[name]
        : stowageDifferences[name],
    ]),
  ) as unknown as KubeletDifferences;
  return collectionPolicy({ ...thresholds(values), ...ownSettings(values), differences });
}
