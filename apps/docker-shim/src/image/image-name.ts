import { InvalidArgumentError, InvalidImageNameError } from '@stowage/errors';
import {
  idBeginning,
  ImageReferenceError,
  normalizeReference,
  parsePullReference,
  referenceToString,
  repositoryName,
} from '@stowage/image-ref';

/** What tools on Docker nodes put before images and digests; callers give back what they got. */
const prefixes = ['docker-pullable://', 'docker://'];

/** @throws {InvalidArgumentError} when no image is named. */
export function givenImage(image: string | undefined): string {
  const prefix = prefixes.find((one) => image?.startsWith(one));
  const name = prefix === undefined ? image : image?.slice(prefix.length);
  if (name === undefined || name === '') {
    throw new InvalidArgumentError('image', '', 'an image reference or id');
  }
  return name;
}

/**
 * The name to ask the engine for: an id, its beginning, or a reference. The digest alone decides
 * where there is one.
 *
 * @throws {InvalidImageNameError}
 */
export function inspectName(given: string): string {
  if (idBeginning(given) !== undefined) return given;
  const reference = parsed(given, () => normalizeReference(given));
  if (reference.digest === undefined) return given;
  return `${repositoryName(reference)}@${reference.digest}`;
}

/** What to pull: the engine fetches every tag where none is sent, so `latest` is. */
export function pullName(given: string): {
  readonly repository: string;
  readonly tagOrDigest: string;
  /** In full. */
  readonly reference: string;
} {
  const reference = parsed(given, () => parsePullReference(given));
  return {
    repository: repositoryName(reference),
    tagOrDigest: reference.digest ?? reference.tag ?? '',
    reference: referenceToString(reference),
  };
}

function parsed<T>(given: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ImageReferenceError)) throw error;
    throw new InvalidImageNameError(error.reference, error.rule, { cause: error });
  }
}
