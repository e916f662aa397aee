import { parseImageName } from '@stowage/image-ref';

/** When an image is pulled, in Kubernetes' words. */
export const pullPolicies = ['Always', 'IfNotPresent', 'Never'] as const;

/** One of {@link pullPolicies}. */
export type PullPolicy = (typeof pullPolicies)[number];

/**
 * The policy of an image for which none was given, as the Kubernetes API defaults it: Always for the tag `latest` (also when
 * neither tag nor digest is given), else IfNotPresent. A name that does not parse gets IfNotPresent.
 */
export function defaultPullPolicy(image: string): PullPolicy {
  try {
    return parseImageName(image).tag === 'latest' ? 'Always' : 'IfNotPresent';
  } catch {
    return 'IfNotPresent';
  }
}

/** What an ensure does about an image: take the one that is there, pull it, or refuse. */
export type EnsureStep = 'use-present' | 'pull' | 'refuse';

/** Whether the runtime has to be asked for the image before {@link ensureStep} can decide; kubelet does not for Always. */
export function needsPresence(policy: PullPolicy): boolean {
  return policy !== 'Always';
}

/** The decision of kubelet's image manager for a policy and what the runtime said about presence. */
export function ensureStep(policy: PullPolicy, isPresent: boolean): EnsureStep {
  switch (policy) {
    case 'Always':
      return 'pull';
    case 'IfNotPresent':
      return isPresent ? 'use-present' : 'pull';
    case 'Never':
      return isPresent ? 'use-present' : 'refuse';
  }
}
