import { createHash } from 'node:crypto';
import { Budget } from './budget';
import { LayerShares, type Share } from '../detect/layer-shares';
import { inMaintenance } from '../policy/maintenance';
import type { CollectionPolicy } from '../policy/policy';
import { bytesToPlan, disksToRelieve, sizeText, type DiskAssessment } from '../disk/assess-disk';
import {
  type PlanImage,
  type RemoveRule,
  type KeepRule,
  firstProtection,
  type PlannedImage,
} from '../policy/keep-rules';

/** What is asked of a plan beyond the policy. */
export interface PlanRequest {
  /** Bytes to free whatever the thresholds say. */
  readonly bytes?: number;
  /**
   * Age of the images that were there when the records began. Absent: `assumedAge` of the policy in
   * shadow, else as the records have it. Milliseconds.
   */
  readonly assumedAgeMs?: number;
}

/** What is asked of a collection beyond the policy. */
export interface CollectionRequest {
  /** Bytes to free whatever the thresholds say; Infinity = everything that may go. */
  readonly bytes: number;
}

export interface PlanInput {
  /** Every image the runtime lists. */
  readonly images: readonly PlanImage[];
  /**
   * The image file systems that have a capacity; without a request, those over the high threshold
   * say how much is to be freed.
   */
  readonly disks: readonly DiskAssessment[];
  readonly policy: CollectionPolicy;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /**
   * When this process began to collect; counts only with `maxAgeStarts: 'after-max-age-of-uptime'`.
   */
  readonly collectingSince: number;
  readonly request?: CollectionRequest;
  /**
   * Age that the images have which were there when the records began, at that time. Absent: they
   * count as detected then. Milliseconds.
   */
  readonly assumedAgeMs?: number;
  /** When the records began, milliseconds since the epoch; without it no age is assumed. */
  readonly recordsBegan?: number;
  /**
   * Images whose removal failed not long ago, with the reason in words; a request tries them all
   * the same.
   */
  readonly paused?: ReadonlyMap<string, string>;
}

/** What a collection would do now. The same input gives the same plan. */
export interface CollectionPlan {
  /** Hash of what would be removed and under which policy: equal plans have equal ids. */
  readonly planId: string;
  /** Milliseconds since the epoch. */
  readonly plannedAt: number;
  /** Why: a request, a threshold that is reached, an age that is exceeded, or nothing to do. */
  readonly trigger: 'request' | 'threshold' | 'max-age' | 'none';
  readonly agePass: 'applied' | 'off' | 'not-up-long-enough' | 'outside-window';
  /** Age that was assumed of images that were there when the records began. Milliseconds. */
  readonly assumedAgeMs?: number;
  /** Bytes the space pass has to free; absent when there is none. */
  readonly bytesToFree?: number;
  readonly disks: readonly DiskAssessment[];
  /** Images that may go, in removal order (whatever the verdict), then the others by id. */
  readonly images: readonly PlannedImage[];
  readonly removeCount: number;
  readonly expectedBytes: number;
  /**
   * What the removal of every image that may go now is expected to free, whatever the thresholds
   * and the limits of one run say.
   */
  readonly collectableBytes: number;
  /** True when the expectation for any image to be removed is one. */
  readonly expectedIsEstimate: boolean;
  readonly keptByRule: Readonly<Partial<Record<KeepRule, number>>>;
}

/**
 * Least recently used first, never used before used, then first detected; ids decide between
 * equals.
 */
export function compareByLastUse(a: Aged & { imageId: string }, b: Aged & { imageId: string }) {
  return (
    compareTimes(a.lastUsed, b.lastUsed) ||
    compareTimes(knownSince(a), knownSince(b)) ||
    (a.imageId < b.imageId ? -1 : a.imageId > b.imageId ? 1 : 0)
  );
}

/** What the age of an image comes from. */
type Aged = Pick<PlanImage, 'firstDetected' | 'lastUsed' | 'assumedSince'>;

/** Since when an image counts as known: as was assumed, else as the records have it. */
const knownSince = ({ firstDetected, assumedSince }: Aged): number | null =>
  assumedSince ?? firstDetected;

const compareTimes = (a: number | null, b: number | null): number =>
  a === b ? 0 : (a ?? -Infinity) - (b ?? -Infinity);

/**
 * Decides over every image: a pure function of its input. Protected images are kept; the others go
 * by age, then, when a threshold is reached or bytes are asked for, in order of last use until the
 * expected sum reaches the amount.
 */
export function planCollection(given: PlanInput): CollectionPlan {
  const input = { ...given, images: withAssumedAge(given) };
  const { policy, now, request, disks, assumedAgeMs } = input;
  const isMaintenance = request !== undefined || inMaintenance(policy, now);
  const toRelieve = disksToRelieve(disks, isMaintenance);
  const bytesToFree =
    request?.bytes ??
    (toRelieve.length === 0 ? undefined : Math.max(...toRelieve.map(bytesToPlan)));
  const agePass = agePassState(input, isMaintenance);

  const planner = new VerdictPlanner(input, bytesToFree, toRelieve.length === 0);
  const kept: PlannedImage[] = [];
  const candidates: PlanImage[] = [];
  for (const image of input.images) {
    const protection = firstProtection(image);
    if (protection === undefined) candidates.push(image);
    else kept.push(planner.keep(image, protection.rule, protection.why));
  }
  candidates.sort(policy.order === 'cost' ? byCost(candidates, now) : compareByLastUse);
  kept.sort((a, b) => (a.imageId < b.imageId ? -1 : 1));

  const aged = agePass === 'applied' ? candidates.filter((image) => tooOld(image, input)) : [];
  const isAged = new Set(aged);
  const others = candidates.filter((image) => !isAged.has(image));
  const collectable = new Collectable(input);
  for (const image of aged) collectable.add(image);
  const agedBytes = collectable.bytes;
  for (const image of others) {
    if (tooYoung(image, policy, now) === undefined) collectable.add(image);
  }
  // Age removals go first and count: the space pass asks for what they are not expected to free.
  const forAge = aged.map((image) => planner.forAge(image));
  planner.startSpace(collectable.bytes - agedBytes);
  const decided = [...forAge, ...others.map((image) => planner.forSpace(image))].map(
    (image, at) => ({ ...image, order: at + 1 }),
  );
  const removals = decided.filter((image) => image.verdict === 'remove');
  const images = [...decided, ...kept];
  return {
    planId: planIdOf(removals, policy, request),
    plannedAt: now,
    trigger: triggerOf(request, bytesToFree, aged.length > 0),
    agePass,
    assumedAgeMs,
    bytesToFree,
    disks,
    images,
    removeCount: removals.length,
    expectedBytes: removals.reduce((sum, image) => sum + image.expectedBytes, 0),
    collectableBytes: collectable.bytes,
    expectedIsEstimate: removals.some((image) => image.expectedIsEstimate),
    keptByRule: countKept(images),
  };
}

/** Images that were there when the records began get the age that is assumed. */
function withAssumedAge({ images, assumedAgeMs, recordsBegan }: PlanInput): readonly PlanImage[] {
  if (assumedAgeMs === undefined || recordsBegan === undefined) return images;
  // Not from now: the same images make the same plan a moment later.
  const assumedSince = recordsBegan - assumedAgeMs;
  return images.map((image) =>
    image.firstDetected != null && image.firstDetected <= recordsBegan
      ? { ...image, assumedSince }
      : image,
  );
}

/** Sums up what removals are expected to free, one after the other. */
class Collectable {
  bytes = 0;
  readonly #shares: LayerShares;
  readonly #paused: PlanInput['paused'];

  constructor(private readonly input: PlanInput) {
    this.#shares = new LayerShares(input.images);
    this.#paused = input.request === undefined ? input.paused : undefined;
  }

  /** Adds what one more removal is expected to free, unless its removal is paused. */
  add(image: PlanImage): void {
    if (this.#paused?.has(image.imageId) === true) return;
    this.bytes +=
      this.input.policy.differences.freedBytes === 'measured'
        ? this.#shares.share(image).bytes
        : image.sizeBytes;
    this.#shares.remove(image);
  }
}

/**
 * Verdicts over images in removal order. Each removal that it plans counts for those after it: in
 * what the images share, in the limits of one run and in what is expected to be free by then.
 */
class VerdictPlanner {
  readonly #shares: LayerShares;
  readonly #budget: Budget;
  readonly #paused: PlanInput['paused'];
  #expectedBytes = 0;
  #removedForSpace = 0;
  #tooLittle: string | undefined;

  constructor(
    private readonly input: PlanInput,
    private readonly bytesToFree: number | undefined,
    private readonly nothingToRelieve: boolean,
  ) {
    this.#shares = new LayerShares(input.images);
    this.#budget = new Budget(input.policy);
    this.#paused = input.request === undefined ? input.paused : undefined;
  }

  keep(image: PlanImage, rule: KeepRule, why: string): PlannedImage {
    return planned(image, { verdict: 'keep', rule, why, share: this.#shareOf(image) });
  }

  /** The verdict on an image beyond the maximum age. */
  forAge(image: PlanImage): PlannedImage {
    const pause = this.#paused?.get(image.imageId);
    if (pause !== undefined) return this.keep(image, 'removal-paused', pause);
    const over = this.#budget.refuses(image.sizeBytes);
    if (over !== undefined) return this.keep(image, 'budget', over);
    return this.#remove(image, 'max-age', ageText(image, this.input));
  }

  /**
   * The images that go by age are decided. Finds out whether those that may go for space would
   * bring so little, `collectableBytes` in all, that they stay.
   */
  startSpace(collectableBytes: number): void {
    const { policy, request } = this.input;
    if (request !== undefined || this.bytesToFree === undefined) return;
    const open = this.bytesToFree - this.#expectedBytes;
    if (collectableBytes >= Math.min(policy.minReclaimBytes, open)) return;
    this.#tooLittle =
      `all images that may go are expected to free ${sizeText(collectableBytes)} ` +
      `of ${sizeText(open)}, less than ${sizeText(policy.minReclaimBytes)} (minReclaim)`;
  }

  /** The verdict on an image that may go for space. */
  forSpace(image: PlanImage): PlannedImage {
    const { policy, now, request } = this.input;
    const young = tooYoung(image, policy, now);
    if (young !== undefined) return this.keep(image, young.rule, young.why);
    const pause = this.#paused?.get(image.imageId);
    if (pause !== undefined) return this.keep(image, 'removal-paused', pause);
    if (this.bytesToFree === undefined) return this.#keepWithoutNeed(image);
    const freed = `${sizeText(this.#expectedBytes)} of ${amount(this.bytesToFree)}`;
    if (this.#isEnough(this.bytesToFree)) {
      const why = `the images before it are expected to free ${freed}`;
      return this.keep(image, 'enough-freed', why);
    }
    if (this.#tooLittle !== undefined) return this.keep(image, 'min-reclaim', this.#tooLittle);
    const over = this.#budget.refuses(image.sizeBytes);
    if (over !== undefined) return this.keep(image, 'budget', over);
    const rule = request === undefined ? 'threshold' : 'request';
    return this.#remove(image, rule, `${useText(image)}; ${freed} expected so far`);
  }

  #keepWithoutNeed(image: PlanImage): PlannedImage {
    const { disks, policy } = this.input;
    const isHeldBack = disks.some((disk) => disk.overHigh) && this.nothingToRelieve;
    return isHeldBack
      ? this.keep(image, 'outside-window', windowText(disks, policy))
      : this.keep(image, 'below-threshold', belowThresholdText(disks, policy));
  }

  #isEnough(bytesToFree: number): boolean {
    const oneAtLeast = this.input.policy.differences.nothingToFree === 'remove-one';
    return this.#expectedBytes >= bytesToFree && (!oneAtLeast || this.#removedForSpace > 0);
  }

  #remove(image: PlanImage, rule: RemoveRule, why: string): PlannedImage {
    const share = this.#shareOf(image);
    this.#shares.remove(image);
    this.#budget.spend(image.sizeBytes);
    this.#expectedBytes += share.bytes;
    if (rule !== 'max-age') this.#removedForSpace += 1;
    return planned(image, { verdict: 'remove', rule, why, share });
  }

  #shareOf(image: PlanImage): Share {
    return this.input.policy.differences.freedBytes === 'measured'
      ? this.#shares.share(image)
      : { bytes: image.sizeBytes, isEstimate: true };
  }
}

/**
 * Cheapest regret first: size times pull time (what another pull costs) against idle time (how
 * unlikely it is). Where it is not known how long the pull took, the mean rate of the others
 * counts. Equal costs go by last use.
 */
function byCost(images: readonly PlanImage[], now: number) {
  const known = images.filter(({ pulled, sizeBytes }) => pulled !== undefined && sizeBytes > 0);
  const pullMs = known.reduce((sum, { pulled }) => sum + (pulled?.durationMs ?? 0), 0);
  const pullBytes = known.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  // Without any pull of our own only the ratio between images counts, so any rate will do.
  const msPerByte = pullBytes > 0 ? pullMs / pullBytes : 1;
  const cost = (image: PlanImage): number => {
    const time = image.pulled?.durationMs ?? image.sizeBytes * msPerByte;
    const since = Math.max(image.lastUsed ?? -Infinity, knownSince(image) ?? -Infinity);
    return (image.sizeBytes * Math.max(1, time)) / Math.max(1, now - since);
  };
  const costs = new Map(images.map((image) => [image.imageId, cost(image)]));
  return (a: PlanImage, b: PlanImage): number =>
    (costs.get(a.imageId) ?? 0) - (costs.get(b.imageId) ?? 0) || compareByLastUse(a, b);
}

/**
 * Why an image that nothing protects is still too fresh to go for space, or undefined when it may
 * go.
 */
function tooYoung(
  image: Aged,
  policy: Pick<CollectionPolicy, 'minAgeMs'>,
  now: number,
): { rule: 'recently-used' | 'min-age'; why: string } | undefined {
  if (image.lastUsed != null && image.lastUsed >= now) {
    return {
      rule: 'recently-used',
      why: `last used ${timeText(image.lastUsed)}, which is not past`,
    };
  }
  const since = knownSince(image);
  if (since != null && now - since < policy.minAgeMs) {
    const age = seconds(now - since);
    const minimum = seconds(policy.minAgeMs);
    const why = `known for ${age}${assumedText(image)}, the minimum age is ${minimum}`;
    return { rule: 'min-age', why };
  }
  return undefined;
}

function agePassState(
  { policy, now, collectingSince }: PlanInput,
  isMaintenance: boolean,
): CollectionPlan['agePass'] {
  if (policy.maxAgeMs === 0) return 'off';
  if (!isMaintenance) return 'outside-window';
  return policy.differences.maxAgeStarts === 'after-max-age-of-uptime' &&
    now - collectingSince <= policy.maxAgeMs
    ? 'not-up-long-enough'
    : 'applied';
}

/** Since when an image counts as idle for the maximum age; null = for ever. */
function idleSince(image: PlanImage, { policy }: PlanInput): number | null {
  if (policy.differences.maxAgeCountsFrom === 'last-use') return image.lastUsed;
  const since = knownSince(image);
  return image.lastUsed == null ? since : Math.max(image.lastUsed, since ?? -Infinity);
}

function tooOld(image: PlanImage, input: PlanInput): boolean {
  const since = idleSince(image, input);
  return since == null || input.now - since > input.policy.maxAgeMs;
}

function ageText(image: PlanImage, input: PlanInput): string {
  const since = idleSince(image, input);
  const limit = `the maximum age is ${seconds(input.policy.maxAgeMs)}`;
  return since == null
    ? `never seen in use; ${limit}`
    : `idle for ${seconds(input.now - since)}${assumedText(image)}, ${limit}`;
}

const assumedText = ({ assumedSince, lastUsed }: Aged): string =>
  assumedSince !== undefined && lastUsed == null ? ' (assumed)' : '';

function windowText(disks: readonly DiskAssessment[], policy: CollectionPolicy): string {
  const over = disks.filter(({ overHigh }) => overHigh).map(({ mountpoint }) => mountpoint);
  const critical = policy.criticalThresholdPercent;
  const unless = critical < 100 ? `, below ${critical} % used they are kept` : '';
  return `${over.join(', ')} is over the high threshold outside the maintenance windows (${policy.maintenanceWindows.join('; ')})${unless}`;
}

function belowThresholdText(disks: readonly DiskAssessment[], policy: CollectionPolicy): string {
  const available = policy.highMarkAvailableBytes;
  const threshold =
    available > 0
      ? `the high threshold is ${sizeText(available)} available`
      : `the high threshold is ${policy.highThresholdPercent} %`;
  if (disks.length === 0) return `no file system is over the threshold; ${threshold}`;
  return `${disks.map((disk) => `${disk.mountpoint} is ${disk.usedPercent} % used`).join(', ')}; ${threshold}`;
}

const useText = (image: PlanImage): string =>
  image.lastUsed == null ? 'never seen in use' : `last used ${timeText(image.lastUsed)}`;
const timeText = (ms: number): string => new Date(ms).toISOString();
const seconds = (ms: number): string => `${Math.floor(ms / 1000)} s`;
const amount = (bytes: number): string => (bytes === Infinity ? 'all bytes' : sizeText(bytes));

function planned(
  image: PlanImage,
  decided: Pick<PlannedImage, 'verdict' | 'rule' | 'why'> & { share: Share },
): PlannedImage {
  const { imageId, repoTags, repoDigests, runtimeHandler } = image;
  const { pinned, firstDetected, lastUsed, assumedSince, usedBy, sizeBytes } = image;
  const { verdict, rule, why, share } = decided;
  return {
    imageId,
    repoTags,
    repoDigests,
    runtimeHandler,
    verdict,
    rule,
    why,
    sizeBytes,
    expectedBytes: share.bytes,
    expectedIsEstimate: share.isEstimate,
    pinned,
    firstDetected,
    lastUsed,
    assumedSince,
    usedBy,
  };
}

function triggerOf(
  request: CollectionRequest | undefined,
  bytesToFree: number | undefined,
  isForAge: boolean,
): CollectionPlan['trigger'] {
  if (request !== undefined) return 'request';
  if (bytesToFree !== undefined) return 'threshold';
  return isForAge ? 'max-age' : 'none';
}

function countKept(images: readonly PlannedImage[]): CollectionPlan['keptByRule'] {
  const counts: Partial<Record<KeepRule, number>> = {};
  for (const image of images) {
    if (image.verdict === 'remove') continue;
    const rule = image.rule as KeepRule;
    counts[rule] = (counts[rule] ?? 0) + 1;
  }
  return counts;
}

/**
 * Ages belong to the content: an image that went and came back, or was used meanwhile, makes
 * another plan.
 */
function planIdOf(
  removals: readonly PlannedImage[],
  policy: CollectionPolicy,
  request: CollectionRequest | undefined,
): string {
  const content = {
    removals: removals.map((image) => {
      const { imageId, rule, expectedBytes, lastUsed } = image;
      return [imageId, rule, expectedBytes, knownSince(image), lastUsed];
    }),
    // Not whether it is carried out: a plan of a collection in shadow is the same once that is on.
    policy: Object.entries(policy)
      .filter(([name]) => name !== 'collect' && name !== 'assumedAgeMs')
      .sort(([a], [b]) => (a < b ? -1 : 1)),
    request: request === undefined ? null : String(request.bytes),
  };
  return `plan-${createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 24)}`;
}
