import {
  commonKeys,
  defineConfig,
  durationKey,
  integerKey,
  key,
  listKey,
  pathKey,
  type ConfigOf,
} from '@stowage/service-kit';
import * as z from 'zod';
import { kubeletDifferences, stowageDifferences, type KubeletDifferences } from './differences';
import { collectionPolicy, kubeletConfigErrors, type CollectionPolicy } from './policy';

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

/** Configuration of gc-worker. kubelet's settings have kubelet's names, in the YAML file too. */
export const config = defineConfig({
  app: 'gc-worker',
  summary: 'Collects unused images, by kubelet’s rules, with ages that survive a restart.',
  keys: {
    ...commonKeys({
      httpAddr: '127.0.0.1:9472',
      commands: ['plan', 'images', 'status'],
      allCommands: ['plan', 'run', 'images', 'status'],
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
      meaning: 'An image idle for longer than this is removed whatever the disk says; 0 is off.',
      kubelet: { key: 'imageMaximumGCAge', kind: 'string' },
    }),
    exemptImages: listKey({
      default: [],
      item: z.string().max(1024),
      allowed: 'globs over image references, such as quay.io/base/** or nginx:1.*',
      meaning:
        'Images that are never removed: globs over full or familiar references, ids or digests; without tag every tag is meant.',
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
      meaning: 'Pause between looks for something to collect, by age or by marks.',
    }),
    diskCheckIntervalMs: durationKey({
      default: 10_000,
      minMs: 50,
      maxMs: hourMs,
      meaning: 'Pause between measurements of the image file systems.',
    }),
    collectionRetryMs: durationKey({
      default: 30_000,
      minMs: 100,
      maxMs: hourMs,
      meaning:
        'While a file system stays over the high mark, pause after which it is tried again to collect.',
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
      meaning: 'A pull that has been announced and not ended keeps its image for at most this.',
    }),
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
  ],
});

/** The worker's settings. */
export type GcConfig = ConfigOf<typeof config.keys>;

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

/** The policy that the settings describe. Throws PolicyError for settings that did not pass the configuration's checks. */
export function policyOf(
  values: ThresholdKeys & Pick<GcConfig, 'kubeletBehaviour'>,
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
  return collectionPolicy({ ...thresholds(values), differences });
}
