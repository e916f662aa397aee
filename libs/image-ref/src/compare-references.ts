import { digestAlgorithms, parseDigest } from './digest';
import { familiarName } from './familiar';
import { isHexIdentifier, isLowerHexText } from './grammar';
import {
  defaultTag,
  dockerHubDomain,
  normalizeReference,
  officialPrefix,
} from './normalize-reference';
import { repositoryName, suffix } from './print-reference';
import type { ImageReference } from './types';

/** An image under every name that a runtime lists for it. */
export interface ListedNames {
  /** `Image.id`: `sha256:…` of containerd and Docker, the hexadecimal digits alone of CRI-O. */
  readonly imageId: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

/**
 * Fewest hexadecimal digits without `sha256:` that are taken for the beginning of an id: what
 * `docker images` prints, `crictl images` prints 13.
 */
const shortIdLength = 12;
/** Fewest after `sha256:`. CRI-O takes no shorter ones either. */
const shortPrefixedIdLength = 3;
const idPrefix = 'sha256:';

/**
 * The one spelling by which references are compared: two references name the same image when their
 * keys are equal.
 *
 * - An image id or a digest is its own key. CRI-O's id, 64 hexadecimal digits, gets the `sha256:`
 *   that others write.
 * - A reference with a digest has the digest as its key, whatever stands before it: it names that
 *   content. Name and tag in front say where it was found; runtimes list it without the tag.
 * - Any other is a name and a tag, in full: `nginx` is `docker.io/library/nginx:latest`.
 *
 * What is none of these (a runtime may list `<none>:<none>`) is its own key. Never throws.
 */
export function referenceKey(reference: string): string {
  if (isHexIdentifier(reference)) return idPrefix + reference;
  if (isDigestText(reference)) return reference;
  const parsed = parsedOrUndefined(reference);
  if (parsed !== undefined) return parsed.digest ?? nameKey(parsed);
  // What Docker's shims write: docker-pullable://NAME@DIGEST, docker://ID, and <none>@DIGEST where
  // there is no name.
  const [, rest] = /^docker(?:-pullable)?:\/\/(.+)$/s.exec(reference) ?? [];
  return rest === undefined ? (digestAtEnd(reference) ?? reference) : referenceKey(rest);
}

/**
 * Keys of every name of an image, as {@link referenceKey} makes them. A name that is listed with
 * tag and digest counts as both. Costs little where names are listed in full, as runtimes do.
 */
export function imageKeys({ imageId, repoTags, repoDigests }: ListedNames): Set<string> {
  const keys = new Set([referenceKey(imageId)]);
  for (const listed of repoTags) addListedKeys(keys, listed);
  for (const listed of repoDigests) addListedKeys(keys, listed);
  return keys;
}

/**
 * Whether a reference as a user or a runtime wrote it (name in any form, with tag, digest or both,
 * image id with or without `sha256:` or the beginning of one) names the image. For many images make
 * the key once and look it up in {@link imageKeys}.
 */
export function namesImage(reference: string, image: ListedNames): boolean {
  if (imageKeys(image).has(referenceKey(reference))) return true;
  const beginning = idBeginning(reference);
  return beginning !== undefined && referenceKey(image.imageId).startsWith(beginning);
}

/**
 * What a key of an image id begins with when the reference may be a shortened id, as runtimes take
 * it: 12 hexadecimal digits or more, or 3 or more after `sha256:`. Undefined for all others. A name
 * that an image has goes before: `namesImage` and runtimes look for it first.
 */
export function idBeginning(reference: string): string | undefined {
  if (reference.startsWith(idPrefix)) {
    const isLong = reference.length >= idPrefix.length + shortPrefixedIdLength;
    return isLong && isLowerHexText(reference, idPrefix.length) ? reference : undefined;
  }
  const isShortId = reference.length >= shortIdLength && isLowerHexText(reference, 0);
  return isShortId ? idPrefix + reference : undefined;
}

/**
 * Every way to write the names of an image, for patterns to be matched with: as listed, in full and
 * short, Docker Hub's also with half of what is implied (`docker.io/busybox`, `library/busybox`),
 * each without tag and digest as well; digests, and the id with `sha256:`.
 */
export function writtenNames({ imageId, repoTags, repoDigests }: ListedNames): Set<string> {
  const written = new Set([imageId, referenceKey(imageId)]);
  for (const listed of [...repoTags, ...repoDigests]) {
    written.add(listed);
    written.add(withoutTagAndDigest(listed));
    const digest = digestAtEnd(listed);
    if (digest !== undefined) written.add(digest);
    const parsed = parsedOrUndefined(listed);
    if (parsed === undefined) continue;
    for (const name of nameForms(parsed)) {
      written.add(name);
      written.add(name + suffix(parsed));
    }
  }
  return written;
}

function nameForms(reference: ImageReference): string[] {
  const full = repositoryName(reference);
  if (reference.domain !== dockerHubDomain) return [full];
  const short = familiarName(reference);
  return short === reference.path
    ? [full, short]
    : [full, short, officialPrefix + short, `${dockerHubDomain}/${short}`];
}

const nameKey = (reference: ImageReference): string =>
  `${repositoryName(reference)}:${reference.tag ?? defaultTag}`;

function addListedKeys(keys: Set<string>, listed: string): void {
  const digest = digestAtEnd(listed);
  if (digest === undefined) {
    keys.add(isFullTagged(listed) ? listed : referenceKey(listed));
    return;
  }
  keys.add(digest);
  const name = listed.slice(0, listed.length - digest.length - 1);
  if (name !== withoutTagAndDigest(name)) keys.add(referenceKey(name));
}

/**
 * True for names that are their own key, by a look at the text: most that runtimes list are, and
 * parsing costs ten times as much.
 */
function isFullTagged(listed: string): boolean {
  const slash = listed.indexOf('/');
  if (slash < 0 || listed.lastIndexOf(':') < listed.lastIndexOf('/')) return false;
  const host = listed.slice(0, slash);
  if (host === dockerHubDomain) return listed.includes('/', slash + 1);
  return (host.includes('.') || host.includes(':')) && !host.endsWith(dockerHubDomain);
}

/**
 * An id or a digest, or the beginning of one. `sha256:9f86` is not read as a name with a tag here:
 * runtimes try it as an id, and no registry is known to have a repository of that name.
 */
const isDigestText = (text: string): boolean =>
  digestAlgorithms.some((algorithm) => text.startsWith(`${algorithm}:`)) && !/[/@]/.test(text);

function digestAtEnd(text: string): string | undefined {
  const at = text.lastIndexOf('@');
  if (at < 0) return undefined;
  try {
    return parseDigest(text.slice(at + 1));
  } catch {
    return undefined;
  }
}

function withoutTagAndDigest(name: string): string {
  const at = name.indexOf('@');
  const beforeDigest = at < 0 ? name : name.slice(0, at);
  const colon = beforeDigest.lastIndexOf(':');
  return colon > beforeDigest.lastIndexOf('/') ? beforeDigest.slice(0, colon) : beforeDigest;
}

function parsedOrUndefined(text: string): ImageReference | undefined {
  try {
    return normalizeReference(text);
  } catch {
    return undefined;
  }
}
