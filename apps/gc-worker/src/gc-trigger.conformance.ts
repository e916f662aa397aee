import type { ConformanceAdapter, ConformanceCase } from '@stowage/conformance';
import { carryOut, type CollectionFailure, type CollectionOutcome } from './collect/collect';
import { kubeletDifferences } from './policy/differences';
import { defaultMeterLimits } from './disk/measure-freed';
import { planCollection } from './collect/plan-collection';
import { collectionPolicy, kubeletConfigErrors, startsCollections } from './policy/policy';
import { assessDisk, sizeText, type FileSystemReading } from './disk/assess-disk';

interface DiskCheckCase extends ConformanceCase {
  readonly capacity: number | null;
  readonly available: number | null;
  readonly high_percent: number;
  readonly low_percent: number;
  readonly removable_sizes_in_order: readonly number[];
  readonly want: {
    readonly available_clamped_to?: number;
    readonly usage_percent?: number;
    readonly bytes_to_free?: number;
    readonly freed_bytes?: number;
    readonly result: string;
    readonly error?: string | null;
    readonly event?: object | null;
  };
}

interface StatsErrorCase extends ConformanceCase {
  readonly stats_error: string;
  readonly want: { readonly result: string; readonly error: string; readonly event: object | null };
}

interface PercentsCase extends ConformanceCase {
  readonly high_percent: number;
  readonly low_percent: number;
  readonly error: string | null;
}

interface ConfigCase extends ConformanceCase {
  readonly high_percent: number;
  readonly low_percent: number;
  readonly min_age_seconds: number;
  readonly max_age_seconds: number;
  readonly errors: readonly string[];
}

interface LoopStartCase extends ConformanceCase {
  readonly high_percent: number;
  readonly max_age_seconds: number;
  readonly starts_gc_loop: boolean;
}

interface SizeTextCase extends ConformanceCase {
  readonly bytes: number;
  readonly text: string;
}

const now = 1_000_000_000;

/** One collection by kubelet's rules over a disk that reads as `readDisks` says. */
function collect(
  percents: { high_percent: number; low_percent: number },
  sizes: readonly number[],
  readDisks: () => Promise<FileSystemReading[]>,
  planned: readonly FileSystemReading[],
): Promise<CollectionOutcome> {
  const policy = collectionPolicy({
    highThresholdPercent: percents.high_percent,
    lowThresholdPercent: percents.low_percent,
    minAgeMs: 0,
    differences: kubeletDifferences,
  });
  const images = sizes.map((sizeBytes, index) => ({
    imageId: `image-${String(index)}`,
    repoTags: [],
    repoDigests: [],
    sizeBytes,
    pinned: false,
    runtimeHandler: '',
    firstDetected: null,
    lastUsed: index,
    usedBy: [],
  }));
  const plan = planCollection({ images, disks: planned, policy, now, collectingSince: now });
  return carryOut(
    plan,
    {
      readDisks,
      pace: () => Promise.resolve(),
      batch: (task) => task(),
      protectionNow: () => Promise.resolve(undefined),
      removeImage: () => Promise.resolve(),
      removing: () => undefined,
      removed: () => undefined,
      settle: () => Promise.resolve(new Set<string>()),
      notRemoved: () => undefined,
      now: () => now,
      elapsedMs: () => 0,
      sleep: () => Promise.resolve(),
    },
    { policy, meter: defaultMeterLimits, signal: new AbortController().signal },
  );
}

const nodeEvent = (failure: CollectionFailure | undefined) =>
  failure?.nodeEventReason === undefined
    ? undefined
    : { type: 'Warning', reason: failure.nodeEventReason, message: failure.message };

function result({ askedBytes, failure }: CollectionOutcome): string {
  if (failure !== undefined) return 'error';
  return askedBytes === undefined ? 'no space pass' : 'ok';
}

export const conformance: ConformanceAdapter = {
  file: 'gc-trigger',
  sections: {
    disk_check: async (testCase: DiskCheckCase) => {
      const reading: FileSystemReading = {
        mountpoint: '/',
        capacityBytes: testCase.capacity,
        availableBytes: testCase.available,
        inodes: null,
        inodesFree: null,
      };
      const outcome = await collect(
        testCase,
        testCase.removable_sizes_in_order,
        () => Promise.resolve([reading]),
        [reading],
      );
      const disk =
        (testCase.capacity ?? 0) === 0
          ? undefined
          : assessDisk(reading, {
              highThresholdPercent: testCase.high_percent,
              lowThresholdPercent: testCase.low_percent,
            });
      const spacePass = outcome.askedBytes !== undefined;
      const { want } = testCase;
      return {
        want: { ...want, error: want.error ?? undefined, event: want.event ?? undefined },
        got: {
          available_clamped_to: disk?.clamped === true ? disk.availableBytes : undefined,
          usage_percent: disk?.usedPercent,
          bytes_to_free: outcome.askedBytes,
          freed_bytes: spacePass ? outcome.freedBytes : undefined,
          result: result(outcome),
          error: outcome.failure?.message,
          event: nodeEvent(outcome.failure),
        },
      };
    },
    stats_error: async (testCase: StatsErrorCase) => {
      const outcome = await collect(
        { high_percent: 85, low_percent: 80 },
        [],
        () => Promise.reject(new Error(testCase.stats_error)),
        [],
      );
      return {
        want: testCase.want,
        got: {
          result: result(outcome),
          error: outcome.failure?.message,
          event: nodeEvent(outcome.failure) ?? null,
        },
      };
    },
    constructor_policy: (testCase: PercentsCase) => {
      let error: string | null = null;
      try {
        collectionPolicy({
          highThresholdPercent: testCase.high_percent,
          lowThresholdPercent: testCase.low_percent,
        });
      } catch (thrown) {
        error = (thrown as Error).message;
      }
      return { want: testCase.error, got: error };
    },
    kubelet_config_validation: (testCase: ConfigCase) => ({
      want: testCase.errors,
      got: kubeletConfigErrors({
        highThresholdPercent: testCase.high_percent,
        lowThresholdPercent: testCase.low_percent,
        minAgeMs: testCase.min_age_seconds * 1000,
        maxAgeMs: testCase.max_age_seconds * 1000,
      }),
    }),
    loop_start: (testCase: LoopStartCase) => ({
      want: testCase.starts_gc_loop,
      got: startsCollections({
        highThresholdPercent: testCase.high_percent,
        maxAgeMs: testCase.max_age_seconds * 1000,
      }),
    }),
    size_text: (testCase: SizeTextCase) => ({
      want: testCase.text,
      got: sizeText(testCase.bytes),
    }),
  },
};
