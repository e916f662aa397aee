import { familiarString, parseAnyReference } from '@stowage/image-ref';
import picomatch from 'picomatch';
import type { ListedImage } from './records/apply-detection';

/** Says which pattern of the exempt list an image falls under, if any. */
export type ExemptMatch = (
  image: Pick<ListedImage, 'imageId' | 'repoTags' | 'repoDigests'>,
) => string | undefined;

/**
 * Compiles the exempt list. A pattern is a glob over references, in full (`docker.io/library/nginx:1.*`) or familiar form
 * (`nginx:1.*`), or an image id or digest. `*` stays within a path component, `**` crosses them. A pattern without
 * tag and digest (`quay.io/base/*`) covers every tag and digest.
 */
export function compileExempt(patterns: readonly string[]): ExemptMatch {
  const matchers = patterns.map((pattern) => ({
    pattern,
    matches: picomatch(pattern, { dot: true, nonegate: true }),
  }));
  if (matchers.length === 0) return () => undefined;
  return ({ imageId, repoTags, repoDigests }) => {
    const names = [imageId, ...[...repoTags, ...repoDigests].flatMap(forms)];
    return matchers.find(({ matches }) => names.some((name) => matches(name)))?.pattern;
  };
}

/** Ways to write one reference: as listed, familiar, each without tag and digest, and the digest alone. */
function forms(reference: string): string[] {
  const written = new Set([reference]);
  try {
    written.add(familiarString(parseAnyReference(reference)));
  } catch {
    // A runtime may list what is no reference, such as <none>:<none>; it is matched as it is.
  }
  const digest = reference.split('@', 2)[1];
  const all = [...written].flatMap((name) => [name, withoutTagAndDigest(name)]);
  return digest === undefined ? all : [...all, digest];
}

function withoutTagAndDigest(name: string): string {
  const [beforeDigest = ''] = name.split('@', 1);
  const colon = beforeDigest.lastIndexOf(':');
  return colon > beforeDigest.lastIndexOf('/') ? beforeDigest.slice(0, colon) : beforeDigest;
}
