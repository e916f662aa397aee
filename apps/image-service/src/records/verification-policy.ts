import {
  ImageReferenceError,
  parseReference,
  repositoryName,
  trimTagAndDigest,
} from '@stowage/image-ref';

/** Kubelet's policies for images that are on the node already (KEP-2535). */
export const verificationPolicies = [
  'NeverVerify',
  'NeverVerifyPreloadedImages',
  'NeverVerifyAllowlistedImages',
  'AlwaysVerify',
] as const;

/** One of {@link verificationPolicies}. */
export type VerificationPolicyName = (typeof verificationPolicies)[number];

/** A policy or an entry of the allow list that cannot be. The message is kubelet's. */
export class VerificationPolicyError extends Error {
  override readonly name = 'VerificationPolicyError';
}

/** Images whose use is never verified, by exact name or by prefix. */
export interface Allowlist {
  readonly exact: ReadonlySet<string>;
  /** Each ends in a slash. */
  readonly prefixes: readonly string[];
}

/**
 * Reads kubelet's `preloadedImagesVerificationAllowlist`. Throws VerificationPolicyError for the
 * first entry that is not allowed.
 */
export function parseAllowlist(patterns: readonly string[]): Allowlist {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  for (const pattern of patterns) {
    const isPrefix = pattern.endsWith('/*');
    const text = isPrefix ? pattern.slice(0, -1) : pattern;
    checkPattern(pattern, text, isPrefix);
    if (isPrefix) prefixes.push(text);
    else exact.add(text);
  }
  return { exact, prefixes };
}

function checkPattern(pattern: string, text: string, isPrefix: boolean): void {
  if (pattern !== pattern.trim()) {
    throw new VerificationPolicyError(`leading/trailing spaces are not allowed: ${pattern}`);
  }
  if (text === '') {
    throw new VerificationPolicyError(`the supplied pattern is too short: ${pattern}`);
  }
  if (text.includes('*')) {
    throw new VerificationPolicyError(
      `not a valid wildcard pattern, only patterns ending with '/*' are allowed: ${pattern}`,
    );
  }
  if (isPrefix) {
    if (text === '/') throw new VerificationPolicyError('at least registry hostname is required');
    return;
  }
  if (nameOf(text) !== text) {
    throw new VerificationPolicyError(
      `neither tag nor digest is accepted in an image reference: ${pattern}`,
    );
  }
}

function nameOf(image: string): string {
  try {
    return repositoryName(parseReference(image));
  } catch (error) {
    if (!(error instanceof ImageReferenceError)) throw error;
    throw new VerificationPolicyError(`failed to parse as an image name: ${error.message}`);
  }
}

/** Whether the use of an image that is there has to be verified. */
export type VerificationPolicy = (image: string, isPulledByUs: boolean) => boolean;

/**
 * Kubelet's policy of that name. Throws VerificationPolicyError for an unknown one, and what
 * `parseAllowlist` throws.
 */
export function verificationPolicy(
  name: string,
  allowlist: readonly string[] = [],
): VerificationPolicy {
  switch (name as VerificationPolicyName) {
    case 'NeverVerify':
      return () => false;
    case 'NeverVerifyPreloadedImages':
      return (_image, isPulledByUs) => isPulledByUs;
    case 'NeverVerifyAllowlistedImages': {
      const allowed = parseAllowlist(allowlist);
      return (image) => !isAllowed(allowed, image);
    }
    case 'AlwaysVerify':
      return () => true;
    default:
      throw new VerificationPolicyError(
        `unknown image pull credential verification policy: ${name}`,
      );
  }
}

/** As written, without Docker Hub rewriting; what does not parse is compared whole. */
function isAllowed({ exact, prefixes }: Allowlist, image: string): boolean {
  const name = withoutTagAndDigest(image) ?? image;
  return exact.has(name) || prefixes.some((prefix) => name.startsWith(prefix));
}

/** The key of an image in pull records; undefined when it does not parse. */
export function withoutTagAndDigest(image: string): string | undefined {
  try {
    return trimTagAndDigest(image);
  } catch (error) {
    if (!(error instanceof ImageReferenceError)) throw error;
    return undefined;
  }
}
