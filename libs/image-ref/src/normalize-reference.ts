import { parseDigest } from './digest';
import { hasUpperCase, isHexIdentifier } from './grammar';
import { ImageReferenceError } from './image-reference-error';
import { parseAs, refuseUserInfo } from './parse-reference';
import { referenceToString } from './print-reference';
import { quote, shown } from './quote';
import type { DigestReference, ImageReference, ParseOptions } from './types';

/** Domain of Docker Hub in normalised references. */
export const dockerHubDomain = 'docker.io';

/** Path prefix of Docker Hub's official images. */
export const officialPrefix = 'library/';

/** The tag that stands for "no tag". */
export const defaultTag = 'latest';

const legacyDockerHubDomain = 'index.docker.io';

/**
 * Parses what a user typed into a full reference: `nginx` is `docker.io/library/nginx`.
 *
 * The first component is a host when it holds a `.` or `:`, is `localhost`, or is not all lower
 * case; otherwise the reference is one of Docker Hub. Adds no tag. Throws ImageReferenceError; 64
 * lower-case hexadecimal digits are refused as a name.
 */
export function normalizeReference(reference: string, options: ParseOptions = {}): ImageReference {
  if (isHexIdentifier(reference)) {
    throw new ImageReferenceError(
      'REFERENCE_NAME_HEX64',
      `invalid repository name (${reference}), cannot specify 64-byte hexadecimal strings`,
      reference,
      '64 hexadecimal digits are an image id, not a name',
    );
  }
  refuseUserInfo(reference);
  const { domain, remainder } = splitDockerDomain(reference);
  const tagAt = remainder.indexOf(':');
  const path = tagAt < 0 ? remainder : remainder.slice(0, tagAt);
  if (hasUpperCase(path)) {
    throw new ImageReferenceError(
      'REFERENCE_NAME_UPPERCASE',
      `invalid reference format: repository name (${shown(path)}) must be lowercase`,
      reference,
      `the repository path ${quote(path)} has upper-case characters`,
    );
  }
  return parseAs(reference, `${domain}/${remainder}`, options);
}

/**
 * Parses a reference that must be in full form already: `docker.io/library/nginx`, not `nginx`.
 * Throws ImageReferenceError, REFERENCE_NAME_NOT_CANONICAL for a short form.
 */
export function parseCanonicalReference(
  reference: string,
  options: ParseOptions = {},
): ImageReference {
  const parsed = normalizeReference(reference, options);
  const canonical = referenceToString(parsed);
  if (canonical !== reference) {
    throw new ImageReferenceError(
      'REFERENCE_NAME_NOT_CANONICAL',
      'repository name must be canonical',
      reference,
      `the full form is ${quote(canonical)}`,
    );
  }
  return parsed;
}

/**
 * Parses a name, a digest (`sha256:…`), or 64 hexadecimal digits, which stand for a sha256 digest.
 * Throws ImageReferenceError.
 */
export function parseAnyReference(
  reference: string,
  options: ParseOptions = {},
): ImageReference | DigestReference {
  if (isHexIdentifier(reference)) return { digest: `sha256:${reference}` };
  try {
    return { digest: parseDigest(reference, options) };
  } catch (error) {
    if (!(error instanceof ImageReferenceError)) throw error;
    return normalizeReference(reference, options);
  }
}

/**
 * True for a name without a registry: `nginx`, `team/app:1`. Docker's rules make it one of Docker
 * Hub; runtimes with search registries (CRI-O, Podman) have rules of their own, and by those upper
 * case does not make a host.
 */
export function isShortName(reference: string): boolean {
  const slash = reference.indexOf('/');
  const first = reference.slice(0, Math.max(slash, 0));
  return !(first === 'localhost' || first.includes('.') || first.includes(':'));
}

/** True for a reference that is a digest without a name. */
export function isDigestOnly(
  reference: ImageReference | DigestReference,
): reference is DigestReference {
  return !('path' in reference);
}

/**
 * The reference a container runtime pulls and stores an image under: with the digest alone when
 * there is one, with the tag `latest` when there is neither. Throws ImageReferenceError.
 */
export function parsePullReference(reference: string, options: ParseOptions = {}): ImageReference {
  const { domain, path, tag, digest } = normalizeReference(reference, options);
  return digest == null ? { domain, path, tag: tag ?? defaultTag } : { domain, path, digest };
}

/**
 * Domain and the rest (path, tag, digest), by Docker's rules. Looks at nothing but the first
 * component.
 */
function splitDockerDomain(reference: string): { domain: string; remainder: string } {
  const slash = reference.indexOf('/');
  if (slash < 0) return { domain: dockerHubDomain, remainder: officialPrefix + reference };
  const first = reference.slice(0, slash);
  const isHost =
    first === 'localhost' || first.includes('.') || first.includes(':') || hasUpperCase(first);
  const domain = isHost && first !== legacyDockerHubDomain ? first : dockerHubDomain;
  const remainder = isHost ? reference.slice(slash + 1) : reference;
  return domain === dockerHubDomain && !remainder.includes('/')
    ? { domain, remainder: officialPrefix + remainder }
    : { domain, remainder };
}
