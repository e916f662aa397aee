/** A parsed image reference: what a user typed, in parts. */
export interface ImageReference {
  /**
   * Registry host with port, e.g. `ghcr.io` or `[::1]:5000`; empty where a strictly parsed
   * reference has none.
   */
  readonly domain: string;
  /** Repository path without the domain, e.g. `library/nginx`; at most 255 characters. */
  readonly path: string;
  readonly tag?: string;
  /** `algorithm:hex`, validated. */
  readonly digest?: string;
}

/** A reference that names content only. */
export interface DigestReference {
  readonly digest: string;
}

/** What kubelet makes of the image string of a container. */
export interface ImageName {
  /**
   * Fully normalised repository, e.g. `docker.io/library/nginx`: the key for credential look-ups.
   */
  readonly repository: string;
  /** `latest` when the string had neither tag nor digest, empty when it had a digest only. */
  readonly tag: string;
  /** Empty when the string had none. */
  readonly digest: string;
}

/** Digest algorithms that kubelet accepts. */
export type DigestAlgorithm = 'sha256' | 'sha384' | 'sha512';

export interface ParseOptions {
  /** Algorithms a digest may have. Default: sha256, sha384, sha512, as in kubelet. */
  readonly digestAlgorithms?: readonly DigestAlgorithm[];
}
