import { isLowerHexText, isOciDigest } from './grammar';
import { ImageReferenceError } from './image-reference-error';
import { quote } from './quote';
import type { DigestAlgorithm, ParseOptions } from './types';

/** Hexadecimal digits a digest of each algorithm has. */
const hexLengths: Readonly<Record<DigestAlgorithm, number>> = {
  sha256: 64,
  sha384: 96,
  sha512: 128,
};

/** The algorithms that kubelet accepts. */
export const digestAlgorithms: readonly DigestAlgorithm[] = ['sha256', 'sha384', 'sha512'];

/**
 * Checks `algorithm:hex` and returns it. Throws ImageReferenceError REFERENCE_DIGEST_FORMAT,
 * REFERENCE_DIGEST_ALGORITHM or REFERENCE_DIGEST_LENGTH.
 */
export function parseDigest(digest: string, options: ParseOptions = {}): string {
  const allowed = options.digestAlgorithms ?? digestAlgorithms;
  const separator = digest.indexOf(':');
  const algorithm = allowed.find((name) => name === digest.slice(0, Math.max(separator, 0)));
  if (separator <= 0 || separator + 1 === digest.length) {
    throw badFormat(digest, `digest ${quote(digest)} is not ALGORITHM:HEX`);
  }
  if (algorithm == null) {
    if (!isOciDigest(digest)) {
      throw badFormat(digest, `digest ${quote(digest)} is not ALGORITHM:HEX in lower case`);
    }
    throw new ImageReferenceError(
      'REFERENCE_DIGEST_ALGORITHM',
      'unsupported digest algorithm',
      digest,
      `digest algorithm ${quote(digest.slice(0, separator))} is none of ${allowed.join(', ')}`,
    );
  }
  const hexLength = digest.length - separator - 1;
  if (hexLength !== hexLengths[algorithm]) {
    throw new ImageReferenceError(
      'REFERENCE_DIGEST_LENGTH',
      'invalid checksum digest length',
      digest,
      `a ${algorithm} digest has ${hexLengths[algorithm]} hexadecimal digits, this one ${hexLength}`,
    );
  }
  if (!isLowerHexText(digest, separator + 1)) {
    throw badFormat(digest, `a ${algorithm} digest is written in 0-9 a-f`);
  }
  return digest;
}

const badFormat = (digest: string, rule: string): ImageReferenceError =>
  new ImageReferenceError(
    'REFERENCE_DIGEST_FORMAT',
    'invalid checksum digest format',
    digest,
    rule,
  );
