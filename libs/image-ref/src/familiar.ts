import { ImageReferenceError } from './image-reference-error';
import { dockerHubDomain, officialPrefix } from './normalize-reference';
import { BadPatternError, matchPath } from './match-path';
import { referenceToString, repositoryName, suffix } from './print-reference';
import { quote } from './quote';
import type { DigestReference, ImageReference } from './types';

/** The shortest name a Docker user would type: `nginx` for `docker.io/library/nginx`. */
export function familiarName(reference: ImageReference): string {
  if (reference.domain !== dockerHubDomain) return repositoryName(reference);
  const { path } = reference;
  const isOfficial = path.startsWith(officialPrefix) && !path.includes('/', officialPrefix.length);
  return isOfficial ? path.slice(officialPrefix.length) : path;
}

/** familiarName with tag and digest; the digest for a reference without a name. */
export function familiarString(reference: ImageReference | DigestReference): string {
  return 'path' in reference
    ? familiarName(reference) + suffix(reference)
    : referenceToString(reference);
}

/**
 * True when the pattern matches the familiar form of the reference, with or without its tag and
 * digest. `*` and `**` both stand for any run of characters but `/`, `?` for one of them, `[a-z]`
 * and `[^a-z]` for one character. Throws ImageReferenceError REFERENCE_BAD_PATTERN for a pattern
 * that cannot be read.
 */
export function familiarMatch(
  pattern: string,
  reference: ImageReference | DigestReference,
): boolean {
  try {
    return (
      matchPath(pattern, familiarString(reference)) ||
      ('path' in reference && matchPath(pattern, familiarName(reference)))
    );
  } catch (error) {
    if (!(error instanceof BadPatternError)) throw error;
    throw new ImageReferenceError(
      'REFERENCE_BAD_PATTERN',
      'syntax error in pattern',
      pattern,
      `pattern ${quote(pattern)}: ${error.message}`,
    );
  }
}
