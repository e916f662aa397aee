import type { ConformanceAdapter, ConformanceCase } from '@stowage/conformance';
import {
  carryOut,
  type CollectionOutcome,
  type CollectionPorts,
} from '../../apps/gc-worker/src/collect/collect';
import { kubeletDifferences } from '../../apps/gc-worker/src/policy/differences';
import { defaultMeterLimits } from '../../apps/gc-worker/src/disk/measure-freed';
import {
  compareByLastUse,
  planCollection,
  type CollectionPlan,
} from '../../apps/gc-worker/src/collect/plan-collection';
import { collectionPolicy, type CollectionPolicy } from '../../apps/gc-worker/src/policy/policy';
import { applyDetection } from '../../apps/gc-worker/src/records/apply-detection';
import type { ImageRecord } from '../../apps/gc-worker/src/records/image-record';
import type { PlanImage } from '../../apps/gc-worker/src/policy/keep-rules';
import { nameIn, pickLike, type Named } from '../forms';

interface ImageVector {
  readonly id: string;
  readonly size?: number;
  readonly last_used?: number | null;
  readonly first_detected?: number | null;
  readonly pinned?: boolean;
  readonly in_use?: boolean;
}

interface PassWant {
  readonly attempted: readonly string[];
  readonly removed: readonly string[];
  readonly error?: string | null;
}

interface SpacePassCase extends ConformanceCase {
  readonly free_time: number;
  readonly min_age: number;
  readonly bytes_to_free: number;
  readonly images: readonly ImageVector[];
  readonly remove_errors?: Readonly<Record<string, string>>;
  readonly want: PassWant & {
    readonly freed_bytes: number;
    readonly hook_images: readonly string[] | null;
  };
}

interface AgePassCase extends ConformanceCase {
  readonly free_time: number;
  readonly gc_loop_started: number;
  readonly max_age: number;
  readonly min_age?: number;
  readonly images: readonly ImageVector[];
  readonly remove_errors?: Readonly<Record<string, string>>;
  readonly want: PassWant & {
    readonly skipped?: string;
    readonly still_candidates?: readonly string[] | null;
  };
}

interface RecordsCase extends ConformanceCase {
  readonly steps: readonly {
    /** Ids, or images with more of them. */
    readonly images: readonly (string | ImageVector)[];
    /** Ids of images, or containers with theirs. */
    readonly containers_use: readonly Named<'image'>[];
    readonly detect_time: number | null;
  }[];
  /** Null for an image that has no record. */
  readonly want: Readonly<
    Record<string, { first_detected?: TimeVector; last_used?: TimeVector } | null>
  >;
}

/**
 * Seconds, or words: `wall clock of the pass`, `wall clock of pass 2`, `detect time of pass 1`,
 * `unchanged` (as the pass before the last left it).
 */
type TimeVector = number | string | null;

const ms = (seconds: number): number => seconds * 1000;
const msOrNever = (seconds: number | null | undefined): number | null =>
  seconds == null ? null : ms(seconds);

const planImage = (image: ImageVector): PlanImage => ({
  imageId: image.id,
  repoTags: [],
  repoDigests: [],
  sizeBytes: image.size ?? 0,
  pinned: image.pinned ?? false,
  runtimeHandler: '',
  firstDetected: msOrNever(image.first_detected),
  lastUsed: msOrNever(image.last_used),
  usedBy: image.in_use === true ? [{ as: 'container', containerId: 'container' }] : [],
});

const kubeletPolicy = (values: Partial<CollectionPolicy>): CollectionPolicy =>
  collectionPolicy({ minAgeMs: 0, ...values, differences: kubeletDifferences });

function ports(now: number, errors: Readonly<Record<string, string>> = {}): CollectionPorts {
  return {
    disks: { read: () => Promise.resolve([]) },
    rateLimiter: { wait: () => Promise.resolve() },
    lock: { run: (task) => task() },
    detector: { protectionNow: () => Promise.resolve(undefined) },
    removals: {
      begin: () => undefined,
      remove: ({ imageId }) => {
        const message = errors[imageId];
        return message === undefined ? Promise.resolve() : Promise.reject(new Error(message));
      },
      removed: () => undefined,
      settle: () => Promise.resolve(new Set<string>()),
      failed: () => undefined,
    },
    clock: { now: () => now, elapsedMs: () => 0, sleep: () => Promise.resolve() },
  };
}

const collect = (
  plan: CollectionPlan,
  policy: CollectionPolicy,
  now: number,
  errors: Readonly<Record<string, string>> | undefined,
  bytes?: number,
): Promise<CollectionOutcome> =>
  carryOut(plan, ports(now, errors), {
    policy,
    ...(bytes === undefined ? {} : { request: { bytes } }),
    meter: defaultMeterLimits,
    signal: new AbortController().signal,
  });

const passResult = ({ asKubelet, removed, failure }: CollectionOutcome) => ({
  attempted: asKubelet.attempted,
  removed: removed.map(({ imageId }) => imageId),
  // Freeing less than asked is no error of the pass itself; the disk check reports it.
  error: failure?.code === 'removal-failed' ? failure.message : undefined,
});

const skippedTexts: Readonly<Record<CollectionPlan['agePass'], string | undefined>> = {
  applied: undefined,
  off: 'max age disabled',
  'outside-window': undefined,
  'not-up-long-enough': 'kubelet has not been up longer than max age',
};

export const conformance: ConformanceAdapter = {
  file: 'gc-freespace',
  sections: {
    space_pass: async (testCase: SpacePassCase) => {
      const now = ms(testCase.free_time);
      // 2^63-1, "everything", is beyond what a JSON number holds exactly.
      const bytes = Number.isSafeInteger(testCase.bytes_to_free)
        ? testCase.bytes_to_free
        : Infinity;
      const policy = kubeletPolicy({ minAgeMs: ms(testCase.min_age) });
      const plan = planCollection({
        images: testCase.images.map(planImage),
        disks: [],
        policy,
        now,
        collectingSince: now,
        request: { bytes },
      });
      const outcome = await collect(plan, policy, now, testCase.remove_errors, bytes);
      const { want } = testCase;
      return {
        want: { ...want, error: want.error ?? undefined },
        got: pickLike(
          want,
          {
            ...passResult(outcome),
            freed_bytes: outcome.asKubelet.freedBytes,
            hook_images: outcome.asKubelet.remaining,
          },
          ['error'],
        ),
      };
    },
    age_pass: async (testCase: AgePassCase) => {
      const now = ms(testCase.free_time);
      const policy = kubeletPolicy({
        maxAgeMs: ms(testCase.max_age),
        minAgeMs: ms(testCase.min_age ?? 0),
      });
      const images = testCase.images.map(planImage);
      const plan = planCollection({
        images,
        disks: [],
        policy,
        now,
        collectingSince: ms(testCase.gc_loop_started),
      });
      const outcome = await collect(plan, policy, now, testCase.remove_errors);
      const removed = new Set(outcome.removed.map(({ imageId }) => imageId));
      const stillCandidates = images
        .filter(({ pinned, usedBy }) => !pinned && usedBy.length === 0)
        .sort(compareByLastUse)
        .map(({ imageId }) => imageId)
        .filter((imageId) => !removed.has(imageId));
      const { want } = testCase;
      return {
        want: { ...want, error: want.error ?? undefined },
        got: pickLike(
          want,
          {
            ...passResult(outcome),
            skipped: skippedTexts[plan.agePass],
            still_candidates:
              want.still_candidates == null ? want.still_candidates : stillCandidates,
          },
          ['error', 'skipped'],
        ),
      };
    },
    records: (testCase: RecordsCase) => {
      const wallClock = (pass: number): number => ms(1_000_000 + pass);
      let before: ReadonlyMap<string, ImageRecord> = new Map();
      let records = before;
      testCase.steps.forEach((step, index) => {
        before = records;
        records = applyDetection(before, {
          images: step.images.map((image) =>
            planImage(typeof image === 'string' ? { id: image } : image),
          ),
          users: new Map(
            step.containers_use
              .map((user) => nameIn(user, 'image'))
              .map((id) => [id, [{ as: 'container', containerId: id }]]),
          ),
          detectTime: msOrNever(step.detect_time),
          now: wallClock(index + 1),
        }).records;
      });
      const time = (value: TimeVector, unchanged: number | null | undefined) => {
        if (typeof value !== 'string') return msOrNever(value);
        if (value === 'unchanged') {
          if (unchanged === undefined) throw new Error('no time before that could be unchanged');
          return unchanged;
        }
        const [, what, number] =
          /^(wall clock|detect time) of (?:the pass|pass (\d+))$/.exec(value) ?? [];
        const pass = Number(number ?? testCase.steps.length);
        const step = testCase.steps[pass - 1];
        if (what === undefined || step === undefined) {
          throw new Error(`time "${value}" is not understood`);
        }
        return what === 'wall clock' ? wallClock(pass) : msOrNever(step.detect_time);
      };
      const wanted = Object.entries(testCase.want);
      return {
        want: Object.fromEntries(
          wanted.map(([id, want]) => {
            if (want == null) return [id, undefined];
            const { first_detected: first, last_used: last } = want;
            const was = before.get(id);
            return [
              id,
              {
                firstDetected: first === undefined ? undefined : time(first, was?.firstDetected),
                lastUsed: last === undefined ? undefined : time(last, was?.lastUsed),
              },
            ];
          }),
        ),
        got: Object.fromEntries(
          [...records].map(([id, { firstDetected, lastUsed }]) => {
            const want = testCase.want[id];
            return [
              id,
              {
                firstDetected: want?.first_detected === undefined ? undefined : firstDetected,
                lastUsed: want?.last_used === undefined ? undefined : lastUsed,
              },
            ];
          }),
        ),
      };
    },
  },
};
