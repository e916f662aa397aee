import { stowageDifferences, type KubeletDifferences } from './differences';
import { goDurationText } from './go-duration';

/** What decides over images. Plain data; make it with {@link collectionPolicy}. Ages are milliseconds. */
export interface CollectionPolicy {
  /** Used percent from which a collection starts, 0 to 100 (kubelet: imageGCHighThresholdPercent). */
  readonly highThresholdPercent: number;
  /** Used percent a collection goes down to, 0 to the high one (kubelet: imageGCLowThresholdPercent). */
  readonly lowThresholdPercent: number;
  /** An image known for less than this is not removed for space (kubelet: imageMinimumGCAge). */
  readonly minAgeMs: number;
  /** An image idle for longer than this is removed whatever the disk says; 0 = off (kubelet: imageMaximumGCAge). */
  readonly maxAgeMs: number;
  readonly differences: KubeletDifferences;
}

/** kubelet's defaults: 85 %, 80 %, two minutes, no maximum age. */
const defaultPolicy: CollectionPolicy = {
  highThresholdPercent: 85,
  lowThresholdPercent: 80,
  minAgeMs: 120_000,
  maxAgeMs: 0,
  differences: stowageDifferences,
};

/** A policy that cannot be used; the text is kubelet's. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
}

const isPercent = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 100;

/**
 * A validated policy; what is not given has kubelet's default. Checks and texts are those of kubelet's image GC
 * constructor: the percents only, first failure wins, low equal to high allowed. Throws PolicyError.
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
  return policy;
}

/** The four settings as kubelet's configuration file checks them: every error, in kubelet's order and words. */
export function kubeletConfigErrors(
  policy: Pick<
    CollectionPolicy,
    'highThresholdPercent' | 'lowThresholdPercent' | 'minAgeMs' | 'maxAgeMs'
  >,
): string[] {
  const { highThresholdPercent: high, lowThresholdPercent: low, minAgeMs, maxAgeMs } = policy;
  const highName = 'imageGCHighThresholdPercent (--image-gc-high-threshold)';
  const lowName = 'imageGCLowThresholdPercent (--image-gc-low-threshold)';
  const [minAge, maxAge] = [goDurationText(minAgeMs), goDurationText(maxAgeMs)];
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

/** False when no collection can ever be due by itself (high mark 100 and no maximum age): kubelet then starts no loop. */
export function startsCollections(
  policy: Pick<CollectionPolicy, 'highThresholdPercent' | 'maxAgeMs'>,
): boolean {
  return policy.highThresholdPercent !== 100 || policy.maxAgeMs !== 0;
}
