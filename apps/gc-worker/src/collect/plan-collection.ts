import { createHash } from 'node:crypto';
import { keepRules, type removeRules } from '@stowage/commands';
import { LayerShares, type Share } from '../detect/layer-shares';
import { inMaintenance } from '../policy/maintenance';
import type { CollectionPolicy } from '../policy/policy';
import {
  assessDisk,
  bytesToPlan,
  disksToRelieve,
  type DiskAssessment,
  type FileSystemReading,
} from '../disk/assess-disk';
import type { ImageUser } from '../records/image-record';
import {
  type PlanImage,
  type Protection,
  type RemoveRule,
  type KeepRule,
  firstProtection,
  type PlannedImage,
} from '../policy/keep-rules';

/** What is asked of a collection beyond the policy. */
export interface CollectionRequest {
  /** Bytes to free whatever the marks say; Infinity = everything that may go. */
  readonly bytes: number;
}

export interface PlanInput {
  /** Every image the runtime lists. */
  readonly images: readonly PlanImage[];
  /** The image file systems; without a request, those over the high mark say how much is to be freed. */
  readonly disks: readonly FileSystemReading[];
  readonly policy: CollectionPolicy;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** When this process began to collect; counts only with `maxAgeStarts: 'after-max-age-of-uptime'`. */
  readonly collectingSince: number;
  readonly request?: CollectionRequest;
  /** Images whose removal failed not long ago, with the reason in words; a request tries them all the same. */
  readonly paused?: ReadonlyMap<string, string>;
}

/** What a collection would do now. The same input gives the same plan. */
export interface CollectionPlan {
  /** Hash of what would be removed and under which policy: equal plans have equal ids. */
  readonly planId: string;
  /** Milliseconds since the epoch. */
  readonly plannedAt: number;
  /** Why: a request, a mark that is reached, an age that is exceeded, or nothing to do. */
  readonly trigger: 'request' | 'threshold' | 'max-age' | 'none';
  readonly agePass: 'applied' | 'off' | 'not-up-long-enough' | 'outside-window';
  /** Bytes the space pass has to free; absent when there is none. */
  readonly bytesToFree?: number;
  readonly disks: readonly DiskAssessment[];
  /** Images that may go, in removal order (whatever the verdict), then the others by id. */
  readonly images: readonly PlannedImage[];
  readonly removeCount: number;
  readonly expectedBytes: number;
  /** True when the expectation for any image to be removed is one. */
  readonly expectedIsEstimate: boolean;
  readonly keptByRule: Readonly<Partial<Record<KeepRule, number>>>;
}

/** Least recently used first, never used before used, then first detected; ids decide between equals. */
export function compareByLastUse(
  a: Pick<PlanImage, 'imageId' | 'firstDetected' | 'lastUsed'>,
  b: Pick<PlanImage, 'imageId' | 'firstDetected' | 'lastUsed'>,
): number {
  return (
    compareTimes(a.lastUsed, b.lastUsed) ||
    compareTimes(a.firstDetected, b.firstDetected) ||
    (a.imageId < b.imageId ? -1 : a.imageId > b.imageId ? 1 : 0)
  );
}

const compareTimes = (a: number | null, b: number | null): number =>
  a === b ? 0 : (a ?? -Infinity) - (b ?? -Infinity);

/**
 * Decides over every image: a pure function of its input. Protected images are kept; the others go by age, then, when a
 * mark is reached or bytes are asked for, in order of last use until the expected sum reaches the amount.
 * A disk without capacity decides nothing here; the collection reports it.
 */
export function planCollection(input: PlanInput): CollectionPlan {
  const { policy, now, request } = input;
  const paused = request === undefined ? input.paused : undefined;
  const disks = input.disks
    .filter(({ capacityBytes }) => (capacityBytes ?? 0) > 0)
    .map((reading) => assessDisk(reading, policy));
  const kept: PlannedImage[] = [];
  const candidates: PlanImage[] = [];
  const shares = new LayerShares(input.images);
  const countsLayers = policy.differences.freedBytes === 'measured';
  const shareOf = (image: PlanImage): Share =>
    countsLayers ? shares.share(image) : { bytes: image.sizeBytes, isEstimate: true };
  const keep = (image: PlanImage, rule: KeepRule, why: string): PlannedImage =>
    planned(image, { verdict: 'keep', rule, why, share: shareOf(image) });
  for (const image of input.images) {
    const protection = firstProtection(image);
    if (protection === undefined) candidates.push(image);
    else kept.push(keep(image, protection.rule, protection.why));
  }
  candidates.sort(policy.order === 'cost' ? byCost(candidates, now) : compareByLastUse);
  kept.sort((a, b) => (a.imageId < b.imageId ? -1 : 1));

  const isMaintenance = request !== undefined || inMaintenance(policy, now);
  const agePass = agePassState(input, isMaintenance);
  const overMark = disksToRelieve(disks, isMaintenance);
  const isHeldBack = disks.some((disk) => disk.overHigh) && overMark.length === 0;
  const bytesToFree =
    request?.bytes ?? (overMark.length === 0 ? undefined : Math.max(...overMark.map(bytesToPlan)));

  const byAge = agePass === 'applied' ? candidates.filter((image) => tooOld(image, input)) : [];
  const aged = new Set(byAge);
  const rest = candidates.filter((image) => !aged.has(image));
  const budget = new Budget(policy);
  // Age removals go first and count: the space pass asks for what they are not expected to free.
  let freed = 0;
  let removedForSpace = 0;
  const oneAtLeast = policy.differences.nothingToFree === 'remove-one';
  const images: PlannedImage[] = [];
  const remove = (image: PlanImage, rule: RemoveRule, why: string): PlannedImage => {
    const share = shareOf(image);
    shares.remove(image);
    budget.spend(image.sizeBytes);
    freed += share.bytes;
    if (rule !== 'max-age') removedForSpace += 1;
    return planned(image, { verdict: 'remove', rule, why, share });
  };
  for (const image of byAge) images.push({ ...ageVerdict(image), order: images.length + 1 });
  for (const image of rest) images.push({ ...spaceVerdict(image), order: images.length + 1 });
  const removals = images.filter((image) => image.verdict === 'remove');
  const all = [...images, ...kept];
  return {
    planId: planIdOf(removals, policy, request),
    plannedAt: now,
    trigger: triggerOf(request, bytesToFree, byAge.length > 0),
    agePass,
    ...(bytesToFree === undefined ? {} : { bytesToFree }),
    disks,
    images: all,
    removeCount: removals.length,
    expectedBytes: removals.reduce((sum, image) => sum + image.expectedBytes, 0),
    expectedIsEstimate: removals.some((image) => image.expectedIsEstimate),
    keptByRule: countKept(all),
  };

  function ageVerdict(image: PlanImage): PlannedImage {
    const pause = paused?.get(image.imageId);
    if (pause !== undefined) return keep(image, 'removal-paused', pause);
    const over = budget.refuses(image.sizeBytes);
    return over === undefined
      ? remove(image, 'max-age', ageText(image, input))
      : keep(image, 'budget', over);
  }

  function spaceVerdict(image: PlanImage): PlannedImage {
    const young = tooYoung(image, policy, now);
    if (young !== undefined) return keep(image, young.rule, young.why);
    const pause = paused?.get(image.imageId);
    if (pause !== undefined) return keep(image, 'removal-paused', pause);
    if (bytesToFree === undefined && isHeldBack) {
      return keep(image, 'outside-window', windowText(disks, policy));
    }
    if (bytesToFree === undefined) {
      return keep(image, 'below-threshold', belowThresholdText(disks, policy));
    }
    if (freed >= bytesToFree && (!oneAtLeast || removedForSpace > 0)) {
      const why = `the images before it are expected to free ${freed} of ${amount(bytesToFree)}`;
      return keep(image, 'enough-freed', why);
    }
    const over = budget.refuses(image.sizeBytes);
    if (over !== undefined) return keep(image, 'budget', over);
    return remove(
      image,
      request === undefined ? 'threshold' : 'request',
      `${useText(image)}; ${freed} of ${amount(bytesToFree)} expected so far`,
    );
  }
}

/**
 * Cheapest regret first: size times pull time (what another pull costs) against idle time (how unlikely it is). Where nobody told how long
 * the pull took, the mean rate of the others counts. Equal costs go by last use.
 */
function byCost(images: readonly PlanImage[], now: number) {
  const known = images.filter(({ pulled, sizeBytes }) => pulled !== undefined && sizeBytes > 0);
  const pullMs = known.reduce((sum, { pulled }) => sum + (pulled?.durationMs ?? 0), 0);
  const pullBytes = known.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  // Without any pull of our own only the ratio between images counts, so any rate will do.
  const msPerByte = pullBytes > 0 ? pullMs / pullBytes : 1;
  const cost = (image: PlanImage): number => {
    const time = image.pulled?.durationMs ?? image.sizeBytes * msPerByte;
    const since = Math.max(image.lastUsed ?? -Infinity, image.firstDetected ?? -Infinity);
    return (image.sizeBytes * Math.max(1, time)) / Math.max(1, now - since);
  };
  const costs = new Map(images.map((image) => [image.imageId, cost(image)]));
  return (a: PlanImage, b: PlanImage): number =>
    (costs.get(a.imageId) ?? 0) - (costs.get(b.imageId) ?? 0) || compareByLastUse(a, b);
}

/** Why an image that nothing protects is still too fresh to go for space, or undefined when it may go. */
function tooYoung(
  image: Pick<PlanImage, 'firstDetected' | 'lastUsed'>,
  policy: Pick<CollectionPolicy, 'minAgeMs'>,
  now: number,
): { rule: 'recently-used' | 'min-age'; why: string } | undefined {
  if (image.lastUsed != null && image.lastUsed >= now) {
    return {
      rule: 'recently-used',
      why: `last used ${timeText(image.lastUsed)}, which is not past`,
    };
  }
  if (image.firstDetected != null && now - image.firstDetected < policy.minAgeMs) {
    const age = seconds(now - image.firstDetected);
    const minimum = seconds(policy.minAgeMs);
    return { rule: 'min-age', why: `known for ${age}, the minimum age is ${minimum}` };
  }
  return undefined;
}

/** Counts what a collection removes against the policy's limits for one run. */
export class Budget {
  private images = 0;
  private bytes = 0;

  constructor(
    private readonly limits: Pick<CollectionPolicy, 'maxImagesPerRun' | 'maxBytesPerRun'>,
  ) {}

  /** Why one more image of this size is too many; undefined when it may go. The first image always may. */
  refuses(sizeBytes: number): string | undefined {
    const { maxImagesPerRun: maxImages, maxBytesPerRun: maxBytes } = this.limits;
    if (this.images === 0) return undefined;
    if (maxImages > 0 && this.images >= maxImages) {
      return `one collection removes at most ${maxImages} images`;
    }
    if (maxBytes > 0 && this.bytes + sizeBytes > maxBytes) {
      return `one collection removes at most ${maxBytes} bytes, ${this.bytes} are taken`;
    }
    return undefined;
  }

  spend(sizeBytes: number): void {
    this.images += 1;
    this.bytes += sizeBytes;
  }
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
  if (image.lastUsed == null) return image.firstDetected;
  return Math.max(image.lastUsed, image.firstDetected ?? -Infinity);
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
    : `idle for ${seconds(input.now - since)}, ${limit}`;
}

function windowText(disks: readonly DiskAssessment[], policy: CollectionPolicy): string {
  const over = disks.filter(({ overHigh }) => overHigh).map(({ mountpoint }) => mountpoint);
  const critical = policy.criticalThresholdPercent;
  const unless = critical < 100 ? `, below ${critical} % used they are kept` : '';
  return `${over.join(', ')} is over the high mark outside the maintenance windows (${policy.maintenanceWindows.join('; ')})${unless}`;
}

function belowThresholdText(disks: readonly DiskAssessment[], policy: CollectionPolicy): string {
  const available = policy.highMarkAvailableBytes;
  const mark =
    available > 0
      ? `the high mark is ${available} bytes available`
      : `the high mark is ${policy.highThresholdPercent} %`;
  if (disks.length === 0) return `no file system is over the mark; ${mark}`;
  return `${disks.map((disk) => `${disk.mountpoint} is ${disk.usedPercent} % used`).join(', ')}; ${mark}`;
}

const useText = (image: PlanImage): string =>
  image.lastUsed == null ? 'never seen in use' : `last used ${timeText(image.lastUsed)}`;
const timeText = (ms: number): string => new Date(ms).toISOString();
const seconds = (ms: number): string => `${Math.floor(ms / 1000)} s`;
const amount = (bytes: number): string => (bytes === Infinity ? 'all bytes' : `${bytes} bytes`);

function planned(
  image: PlanImage,
  decided: Pick<PlannedImage, 'verdict' | 'rule' | 'why'> & { share: Share },
): PlannedImage {
  const { imageId, repoTags, repoDigests, runtimeHandler } = image;
  const { pinned, firstDetected, lastUsed, usedBy, sizeBytes } = image;
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

/** Ages belong to the content: an image that went and came back, or was used meanwhile, makes another plan. */
function planIdOf(
  removals: readonly PlannedImage[],
  policy: CollectionPolicy,
  request: CollectionRequest | undefined,
): string {
  const content = {
    removals: removals.map(({ imageId, rule, expectedBytes, firstDetected, lastUsed }) => [
      imageId,
      rule,
      expectedBytes,
      firstDetected,
      lastUsed,
    ]),
    policy: Object.entries(policy).sort(([a], [b]) => (a < b ? -1 : 1)),
    request: request === undefined ? null : String(request.bytes),
  };
  return `plan-${createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 24)}`;
}
