import type { pullPolicies } from '@stowage/commands';
import { parseImageName } from '@stowage/image-ref';

/** When an image is pulled, in Kubernetes' words. */
export type PullPolicy = (typeof pullPolicies)[number];

/**
 * The policy of an image for which none was given, as the Kubernetes API defaults it: Always for
 * the tag `latest` (also when neither tag nor digest is given), else IfNotPresent. A name that does
 * not parse gets IfNotPresent.
 */
export function defaultPullPolicy(image: string): PullPolicy {
  try {
    return parseImageName(image).tag === 'latest' ? 'Always' : 'IfNotPresent';
  } catch {
    return 'IfNotPresent';
  }
}
