import type { DigestReference, ImageReference } from './types';

/** Name without tag and digest: `docker.io/library/nginx`. */
export function repositoryName({ domain, path }: ImageReference): string {
  return domain === '' ? path : `${domain}/${path}`;
}

/** `name[:tag][@digest]`, or the digest alone. */
export function referenceToString(reference: ImageReference | DigestReference): string {
  return 'path' in reference ? repositoryName(reference) + suffix(reference) : reference.digest;
}

/** `[:tag][@digest]` of a reference. */
export function suffix({ tag, digest }: ImageReference): string {
  return (tag == null ? '' : `:${tag}`) + (digest == null ? '' : `@${digest}`);
}
