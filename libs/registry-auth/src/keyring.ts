import type { Credential, ServiceAccountRef } from './credential';

/** What look-ups of all keyrings take. */
export interface LookupOptions {
  /** Ends helpers and plugins that a look-up started. */
  readonly signal?: AbortSignal;
  /** The service account of the pod the image is for; plugins may ask for its token. */
  readonly serviceAccount?: PodServiceAccount;
  /**
   * Namespace that the image is for, empty for none. Credentials that belong to another namespace
   * are left out then. Undefined: whose they are does not count.
   */
  readonly namespace?: string;
}

/** A pod's service account, and a way to its tokens. */
export interface PodServiceAccount extends ServiceAccountRef {
  readonly annotations: Readonly<Record<string, string>>;
  /** A token for the audience, bound to the pod. */
  token(audience: string, options?: { readonly signal?: AbortSignal }): Promise<string>;
}

/** Gives the credentials for an image. */
export interface Keyring {
  /**
   * Credentials for a repository (normalised, without tag and digest: `docker.io/library/nginx`),
   * in the order they are to be tried; empty for none. A source that cannot be read is reported,
   * not thrown, unless the keyring is configured otherwise.
   */
  lookup(repository: string, options?: LookupOptions): Promise<readonly Credential[]>;
}

/** A credential source that could not be used. Holds no secret. */
export interface SourceProblem {
  readonly kind: 'docker-config' | 'secret' | 'credential-helper' | 'credential-provider';
  /** Path, `namespace/name`, helper or provider. */
  readonly name: string;
  /** What is wrong, in one line. */
  readonly reason: string;
}

/** Called for each problem when it is met. */
export type ProblemListener = (problem: SourceProblem) => void;

/**
 * The lists of several keyrings one after the other, nothing left out: kubelet's order is secrets,
 * node files, plugins.
 */
export function concatKeyrings(keyrings: readonly Keyring[]): Keyring {
  return {
    lookup: async (repository, options) => {
      const lists = await Promise.all(
        keyrings.map((keyring) => keyring.lookup(repository, options)),
      );
      return lists.flat();
    },
  };
}
