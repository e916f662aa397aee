import { parseDigest } from './digest';
import { brokenRule, lowerCase, scanName, scanReference, type NameParts } from './grammar';
import { ImageReferenceError } from './image-reference-error';
import type { ImageReference, ParseOptions } from './types';
import { hasUserInfo } from './user-info';

/** Longest repository path, without the domain. */
const maxPathLength = 255;

/**
 * Parses a reference as it stands, without Docker Hub rewriting: `a/b` has the domain `a`.
 * Throws ImageReferenceError.
 */
export function parseReference(reference: string, options: ParseOptions = {}): ImageReference {
  refuseUserInfo(reference);
  return parseAs(reference, reference, options);
}

/** Parses `text`, which was made from `given`; errors speak of what was given. */
export function parseAs(given: string, text: string, options: ParseOptions): ImageReference {
  const parts = scanReference(text);
  if (parts == null) throw refusal(given, text);
  checkPathLength(given, parts);
  return {
    domain: parts.domain,
    path: parts.path,
    tag: parts.tag === '' ? undefined : parts.tag,
    digest: parts.digest === '' ? undefined : digestOf(given, parts.digest, options),
  };
}

/**
 * Parses a repository name, without tag and digest: `ghcr.io/a/b`.
 * Throws ImageReferenceError.
 */
export function parseRepositoryName(name: string): ImageReference {
  refuseUserInfo(name);
  const parts = scanName(name);
  if (parts == null) {
    const rule =
      scanReference(name) == null
        ? brokenRule(name)
        : 'a repository name has neither tag nor digest';
    throw badFormat(name, rule);
  }
  checkPathLength(name, parts);
  return parts;
}

/** Before any rule that would quote a part of the input: that part could be a password. */
export function refuseUserInfo(reference: string): void {
  if (!hasUserInfo(reference)) return;
  throw badFormat(
    reference,
    'a reference holds neither a user name or password nor a query; credentials are given apart from it',
  );
}

function refusal(given: string, text: string): ImageReferenceError {
  if (text === '') {
    return new ImageReferenceError(
      'REFERENCE_NAME_EMPTY',
      'repository name must have at least one component',
      given,
      'a reference is not empty',
    );
  }
  const lower = lowerCase(text);
  if (lower !== text && scanReference(lower) != null) {
    return new ImageReferenceError(
      'REFERENCE_NAME_UPPERCASE',
      'repository name must be lowercase',
      given,
      'upper case is allowed in the host, the tag and the digest, not in the repository path',
    );
  }
  return badFormat(given, brokenRule(text));
}

function checkPathLength(given: string, { path }: NameParts): void {
  if (path.length <= maxPathLength) return;
  throw new ImageReferenceError(
    'REFERENCE_NAME_TOO_LONG',
    `repository name must not be more than ${maxPathLength} characters`,
    given,
    `the repository path has ${path.length} characters, at most ${maxPathLength} are allowed`,
  );
}

function digestOf(given: string, digest: string, options: ParseOptions): string {
  try {
    return parseDigest(digest, options);
  } catch (error) {
    if (!(error instanceof ImageReferenceError)) throw error;
    throw new ImageReferenceError(error.code, error.message, given, error.rule);
  }
}

const badFormat = (given: string, rule: string): ImageReferenceError =>
  new ImageReferenceError('REFERENCE_BAD_FORMAT', 'invalid reference format', given, rule);
