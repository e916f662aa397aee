import { formatGoDuration } from '@stowage/go-duration';
import { stowageDifferences, type KubeletDifferences } from './differences';
import { exemptRuleProblem, type ExemptRule } from './exempt';
import { exemptPatternProblem } from './exempt-pattern';
import { isTimeZone, parseWindow } from './maintenance';

/**
 * What decides over images. Plain data; make it with {@link collectionPolicy}. Ages are
 * milliseconds.
 */
export interface CollectionPolicy {
  /**
   * Whether collections remove images (`on`), do all but that (`shadow`), or do not run (`off`).
   */
  readonly collect: 'on' | 'shadow' | 'off';
  /**
   * Used percent from which a collection starts, 0 to 100 (kubelet: imageGCHighThresholdPercent).
   */
  readonly highThresholdPercent: number;
  /**
   * Used percent a collection goes down to, 0 to the high one (kubelet:
   * imageGCLowThresholdPercent).
   */
  readonly lowThresholdPercent: number;
  /** An image known for less than this is not removed for space (kubelet: imageMinimumGCAge). */
  readonly minAgeMs: number;
  /**
   * An image idle for longer than this is removed whatever the disk usage; 0 = off (kubelet:
   * imageMaximumGCAge).
   */
  readonly maxAgeMs: number;
  /**
   * The high threshold as bytes: a collection starts when fewer are available. 0 = the percents
   * decide.
   */
  readonly highMarkAvailableBytes: number;
  /**
   * The low threshold as bytes: a collection goes on until so many are available. Above the high
   * one, or both 0.
   */
  readonly lowMarkAvailableBytes: number;
  /** Used percent of the inodes from which a collection starts; 100 = inodes start none. */
  readonly inodesHighThresholdPercent: number;
  /** Used percent of the inodes that a collection goes down to. */
  readonly inodesLowThresholdPercent: number;
  /** Used percent (bytes or inodes) from which a warning is given; 0 = none by percent. */
  readonly warningThresholdPercent: number;
  /** A warning is given when a file system is going to be full within this; 0 = none by trend. */
  readonly warningTimeToFullMs: number;
  /**
   * Used percent from which it is critical: maintenance windows hold nothing back any more; 100 =
   * never.
   */
  readonly criticalThresholdPercent: number;
  /** Most images one collection removes; 0 = no limit. */
  readonly maxImagesPerRun: number;
  /**
   * Most bytes (reported sizes) one collection removes, though one image always may; 0 = no limit.
   */
  readonly maxBytesPerRun: number;
  /**
   * No image goes for space when all that may go are expected to free less than this, unless that
   * is all that is to be freed; 0 = off. Bytes, in the sizes the runtime reports.
   */
  readonly minReclaimBytes: number;
  /**
   * Age of the images that were there when the records began, for collections in shadow; 0 = as the
   * records have it. Milliseconds.
   */
  readonly assumedAgeMs: number;
  /** A collection that has run for this long begins no further removal; 0 = no limit. */
  readonly maxRunMs: number;
  /** Most removals begun in a minute, over all collections; 0 = no limit. */
  readonly removalsPerMinute: number;
  /** Removals at once. */
  readonly parallelRemovals: number;
  /**
   * When collections may start by themselves, such as `Sat,Sun 22:00-06:00`; empty = at any time.
   */
  readonly maintenanceWindows: readonly string[];
  /** IANA name of the windows' time zone; empty = that of the process. */
  readonly maintenanceTimeZone: string;
  /**
   * Order of removal: `last-used` (kubelet), or `cost`: idle time against what it costs to pull it
   * again.
   */
  readonly order: 'last-used' | 'cost';
  /** An image pulled again within this time after its removal counts as regret; 0 = none. */
  readonly regretWindowMs: number;
  /** Images never to be removed: globs over references, ids or digests, or `/…/`. */
  readonly exemptImages: readonly string[];
  /** Images never to be removed, by conditions that must all hold. */
  readonly exemptRules: readonly ExemptRule[];
  readonly differences: KubeletDifferences;
}

/**
 * kubelet's defaults (85 %, 80 %, two minutes, no maximum age), and nothing beyond kubelet that
 * would hold back or start a collection.
 */
export const defaultPolicy: CollectionPolicy = {
  collect: 'on',
  highThresholdPercent: 85,
  lowThresholdPercent: 80,
  minAgeMs: 120_000,
  maxAgeMs: 0,
  highMarkAvailableBytes: 0,
  lowMarkAvailableBytes: 0,
  inodesHighThresholdPercent: 100,
  inodesLowThresholdPercent: 90,
  warningThresholdPercent: 0,
  warningTimeToFullMs: 30 * 60_000,
  criticalThresholdPercent: 95,
  maxImagesPerRun: 0,
  maxBytesPerRun: 0,
  minReclaimBytes: 0,
  assumedAgeMs: 0,
  maxRunMs: 0,
  removalsPerMinute: 0,
  parallelRemovals: 1,
  maintenanceWindows: [],
  maintenanceTimeZone: '',
  order: 'last-used',
  regretWindowMs: 86_400_000,
  exemptImages: [],
  exemptRules: [],
  differences: stowageDifferences,
};

/** A policy that cannot be used; for kubelet's own settings the text is kubelet's. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
}

const isPercent = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 100;
const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
const isSpan = (value: number): boolean => Number.isFinite(value) && value >= 0;

/**
 * A validated policy; what is not given has its default. The percents are checked first, with the
 * checks and texts of kubelet's image GC constructor (first failure wins, low equal to high
 * allowed), then the rest. Throws PolicyError that names field, value and what is allowed.
 */
export function collectionPolicy(values: Partial<CollectionPolicy> = {}): CollectionPolicy {
  const policy = { ...defaultPolicy, ...values };
  const { highThresholdPercent: high, lowThresholdPercent: low } = policy;
  if (!isPercent(high)) {
    throw new PolicyError(`invalid HighThresholdPercent ${high}, must be in range [0-100]`);
  }
  if (!isPercent(low)) {
    throw new PolicyError(`invalid LowThresholdPercent ${low}, must be in range [0-100]`);
  }
  if (low > high) {
    throw new PolicyError(
      `LowThresholdPercent ${low} can not be higher than HighThresholdPercent ${high}`,
    );
  }
  const [problem] = policyProblems(policy);
  if (problem !== undefined) {
    const { field, value, allowed } = problem;
    throw new PolicyError(`${field} is ${JSON.stringify(value)}; allowed: ${allowed}`);
  }
  return policy;
}

/** What an exempt list may hold, in words. */
export const exemptPatternsAllowed =
  'references, globs over them such as quay.io/base/** or nginx:1.*, regular expressions as /…/';

/** A field of a policy that cannot be used. */
export interface PolicyProblem {
  readonly field: keyof CollectionPolicy;
  readonly value: unknown;
  readonly allowed: string;
}

/** What is wrong with the settings that kubelet does not have. */
export function policyProblems(policy: CollectionPolicy): PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  const check = (field: keyof CollectionPolicy, isGood: boolean, allowed: string) => {
    if (!isGood) problems.push({ field, value: policy[field], allowed });
  };
  const { highMarkAvailableBytes: high, lowMarkAvailableBytes: low } = policy;
  check('highMarkAvailableBytes', isCount(high), 'a number of bytes, or 0 for percents');
  check(
    'lowMarkAvailableBytes',
    isCount(low) && (high === 0 ? low === 0 : low >= high),
    high === 0
      ? '0 where highMarkAvailableBytes is 0'
      : `at least highMarkAvailableBytes (${String(high)})`,
  );
  const percents = [
    'inodesHighThresholdPercent',
    'inodesLowThresholdPercent',
    'warningThresholdPercent',
    'criticalThresholdPercent',
  ] as const;
  for (const field of percents) {
    check(field, isPercent(policy[field]), 'a whole number from 0 to 100');
  }
  const inodesHigh = policy.inodesHighThresholdPercent;
  check(
    'inodesLowThresholdPercent',
    policy.inodesLowThresholdPercent <= inodesHigh,
    `at most inodesHighThresholdPercent (${String(inodesHigh)})`,
  );
  for (const field of ['minAgeMs', 'maxAgeMs'] as const) {
    check(field, isFinite(policy[field]), 'milliseconds');
  }
  for (const field of [
    'warningTimeToFullMs',
    'maxRunMs',
    'regretWindowMs',
    'assumedAgeMs',
  ] as const) {
    check(field, isSpan(policy[field]), 'milliseconds, 0 or more');
  }
  for (const field of ['maxImagesPerRun', 'maxBytesPerRun', 'removalsPerMinute'] as const) {
    check(field, isCount(policy[field]), 'a whole number, 0 for no limit');
  }
  check('minReclaimBytes', isCount(policy.minReclaimBytes), 'a number of bytes, 0 for none');
  const parallel = policy.parallelRemovals;
  check(
    'parallelRemovals',
    isCount(parallel) && parallel >= 1 && parallel <= 64,
    'a whole number from 1 to 64',
  );
  check(
    'maintenanceWindows',
    policy.maintenanceWindows.every((text) => parseWindow(text) !== undefined),
    'windows such as 22:00-06:00, Mon-Fri 01:00-05:00 or Sat,Sun 00:00-24:00',
  );
  check(
    'maintenanceTimeZone',
    policy.maintenanceTimeZone === '' || isTimeZone(policy.maintenanceTimeZone),
    'an IANA time zone such as Europe/Berlin, or empty for that of the process',
  );
  for (const pattern of policy.exemptImages) {
    const problem = exemptPatternProblem(pattern);
    if (problem !== undefined) {
      const allowed = `${exemptPatternsAllowed}; ${JSON.stringify(pattern)} matches none: ${problem}`;
      problems.push({ field: 'exemptImages', value: pattern, allowed });
    }
  }
  for (const rule of policy.exemptRules) {
    const problem = exemptRuleProblem(rule);
    if (problem !== undefined) {
      problems.push({ field: 'exemptRules', value: rule, allowed: problem });
    }
  }
  return problems;
}

/**
 * The four settings as kubelet's configuration file checks them: every error, in kubelet's order
 * and words.
 */
export function kubeletConfigErrors(
  policy: Pick<
    CollectionPolicy,
    'highThresholdPercent' | 'lowThresholdPercent' | 'minAgeMs' | 'maxAgeMs'
  >,
): string[] {
  const { highThresholdPercent: high, lowThresholdPercent: low, minAgeMs, maxAgeMs } = policy;
  const highName = 'imageGCHighThresholdPercent (--image-gc-high-threshold)';
  const lowName = 'imageGCLowThresholdPercent (--image-gc-low-threshold)';
  const [minAge, maxAge] = [formatGoDuration(minAgeMs), formatGoDuration(maxAgeMs)];
  const errors: string[] = [];
  if (!isPercent(high)) errors.push(`${highName} ${high} must be between 0 and 100, inclusive`);
  if (!isPercent(low)) errors.push(`${lowName} ${low} must be between 0 and 100, inclusive`);
  if (low >= high) errors.push(`${lowName} ${low} must be less than ${highName} ${high}`);
  if (minAgeMs < 0) errors.push(`imageMinimumGCAge ${minAge} must not be negative`);
  if (maxAgeMs < 0) errors.push(`imageMaximumGCAge ${maxAge} must not be negative`);
  if (maxAgeMs > 0 && maxAgeMs <= minAgeMs) {
    errors.push(`imageMaximumGCAge ${maxAge} must be greater than imageMinimumGCAge ${minAge}`);
  }
  return errors.map((text) => `invalid configuration: ${text}`);
}

/**
 * False when no collection can ever be due by itself: high threshold 100 and no maximum age
 * (kubelet then starts no loop), and none of our own thresholds.
 */
export function startsCollections(
  policy: Pick<CollectionPolicy, 'highThresholdPercent' | 'maxAgeMs'> &
    Partial<
      Pick<CollectionPolicy, 'collect' | 'highMarkAvailableBytes' | 'inodesHighThresholdPercent'>
    >,
): boolean {
  if (policy.collect === 'off') return false;
  return (
    policy.highThresholdPercent !== 100 ||
    policy.maxAgeMs !== 0 ||
    (policy.highMarkAvailableBytes ?? 0) > 0 ||
    (policy.inodesHighThresholdPercent ?? 100) < 100
  );
}
