import type { ConformanceAdapter, ConformanceCase } from '@stowage/conformance';
import { carryOut, type CollectionOutcome, type CollectionPorts } from './collect/collect';
import { kubeletDifferences } from './policy/differences';
import { defaultMeterLimits } from './disk/measure-freed';
import { compareByLastUse, planCollection, type CollectionPlan } from './collect/plan-collection';
import { collectionPolicy, type CollectionPolicy } from './policy/policy';
import { applyDetection } from './records/apply-detection';
import type { ImageRecord } from './records/image-record';
import type { PlanImage } from './policy/keep-rules';

interface ImageVector {
  readonly id: string;
  readonly size: number;
  readonly last_used: number | null;
  readonly first_detected: number | null;
  readonly pinned: boolean;
  readonly in_use: boolean;
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
    readonly images: readonly string[];
    readonly containers_use: readonly string[];
    readonly detect_time: number | null;
  }[];
  readonly want: Readonly<
    Record<string, { first_detected: number | null; last_used: number | string | null }>
  >;
}

const ms = (seconds: number): number => seconds * 1000;
const msOrNever = (seconds: number | null): number | null => (seconds == null ? null : ms(seconds));

const planImage = (image: ImageVector): PlanImage => ({
  imageId: image.id,
  repoTags: [],
  repoDigests: [],
  sizeBytes: image.size,
  pinned: image.pinned,
  runtimeHandler: '',
  firstDetected: msOrNever(image.first_detected),
  lastUsed: msOrNever(image.last_used),
  usedBy: image.in_use ? [{ as: 'container', containerId: 'container' }] : [],
});

const kubeletPolicy = (values: Partial<CollectionPolicy>): CollectionPolicy =>
  collectionPolicy({ minAgeMs: 0, ...values, differences: kubeletDifferences });

function ports(now: number, errors: Readonly<Record<string, string>> = {}): CollectionPorts {
  return {
    readDisks: () => Promise.resolve([]),
    pace: () => Promise.resolve(),
    batch: (task) => task(),
    protectionNow: () => Promise.resolve(undefined),
    removeImage: ({ imageId }) => {
      const message = errors[imageId];
      return message === undefined ? Promise.resolve() : Promise.reject(new Error(message));
    },
    removing: () => undefined,
    removed: () => undefined,
    settle: () => Promise.resolve(new Set<string>()),
    notRemoved: () => undefined,
    now: () => now,
    elapsedMs: () => 0,
    sleep: () => Promise.resolve(),
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

const passResult = ({ attempted, removed, failure }: CollectionOutcome) => ({
  attempted,
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
        got: {
          ...passResult(outcome),
          freed_bytes: outcome.freedBytes,
          hook_images: outcome.remaining,
        },
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
        got: {
          ...passResult(outcome),
          skipped: skippedTexts[plan.agePass],
          still_candidates: want.still_candidates == null ? want.still_candidates : stillCandidates,
        },
      };
    },
    records: (testCase: RecordsCase) => {
      const wallClock = (pass: number): number => ms(1_000_000 + pass);
      let records: ReadonlyMap<string, ImageRecord> = new Map();
      testCase.steps.forEach((step, index) => {
        records = applyDetection(records, {
          images: step.images.map((id) => planImage(emptyImage(id))),
          users: new Map(
            step.containers_use.map((id) => [id, [{ as: 'container', containerId: id }]]),
          ),
          detectTime: msOrNever(step.detect_time),
          now: wallClock(index + 1),
        }).records;
      });
      const time = (text: number | string | null): number | null => {
        if (typeof text !== 'string') return msOrNever(text);
        const pass = /^wall clock of (?:the pass|pass (\d+))$/.exec(text);
        if (pass == null) throw new Error(`time "${text}" is not understood`);
        return wallClock(Number(pass[1] ?? testCase.steps.length));
      };
      return {
        want: Object.fromEntries(
          Object.entries(testCase.want).map(([id, { first_detected, last_used }]) => [
            id,
            { firstDetected: msOrNever(first_detected), lastUsed: time(last_used) },
          ]),
        ),
        got: Object.fromEntries(
          [...records].map(([id, { firstDetected, lastUsed }]) => [
            id,
            { firstDetected, lastUsed },
          ]),
        ),
      };
    },
  },
};

const emptyImage = (id: string): ImageVector => ({
  id,
  size: 0,
  last_used: null,
  first_detected: null,
  pinned: false,
  in_use: false,
});
