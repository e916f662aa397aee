import type { AuthConfig } from '@stowage/cri-proto';
import { InvalidArgumentError, NotFoundError } from '@stowage/errors';
import { redactSecrets, secretTexts } from '@stowage/registry-auth';

/** The fields of CRI's AuthConfig that hold something; the others are absent. */
export type PullAuth = Partial<
  Pick<
    AuthConfig,
    'username' | 'password' | 'auth' | 'serverAddress' | 'identityToken' | 'registryToken'
  >
>;

/** Where a credential came from; a closed set, used as metric label and in events. */
export type CredentialSource =
  | 'none'
  | 'request'
  | 'docker-config'
  | 'kubernetes-secret'
  | 'credential-helper'
  | 'credential-provider';

/** A Kubernetes secret that a credential came from, in kubelet's words. */
export interface SecretCoordinates {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** Kubelet's credential hash. */
  readonly credentialHash: string;
}

/** A service account that a credential came from. */
export interface ServiceAccountCoordinates {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** What may be published and logged about a credential. */
export interface CredentialLabel {
  readonly source: CredentialSource;
  /**
   * Name within the source: path of the file, `namespace/name` of the secret, name of the program.
   */
  readonly name?: string;
  /** Kubelet's credential hash, 64 hexadecimal digits. */
  readonly hash?: string;
}

/**
 * One way to ask a registry. `auth` absent is the anonymous one. Never log or publish more than
 * `label`.
 */
export interface PullCredential {
  readonly label: CredentialLabel;
  readonly auth?: PullAuth;
  /**
   * Whose it is, as pull records note it. Absent for what belongs to the node: whoever is on it may
   * use what it brings.
   */
  readonly owner?: {
    readonly secret?: SecretCoordinates;
    readonly serviceAccount?: ServiceAccountCoordinates;
  };
}

/** The credentials of one caller for one image. */
export interface CredentialChoice {
  /** Callers with the same key and image may share a pull. Not a secret. */
  readonly key: string;
  /** In the order they are tried; asked for once, whoever asks first. */
  list(options: { signal: AbortSignal }): Promise<readonly [PullCredential, ...PullCredential[]]>;
}

/** Where a node's own credentials come from. */
export interface NodeCredentials {
  /** Credentials for a repository (normalised, no tag), in the order they are to be tried. */
  forRepository(
    repository: string,
    options: {
      signal: AbortSignal;
      /**
       * `namespace/name` of the pull secret that alone is looked into; nobody else is asked then.
       */
      secretName?: string;
      /** Of the pod that the image is for; absent for a caller without one. */
      namespace?: string;
    },
  ): Promise<readonly PullCredential[]>;
  /**
   * Whether the namespace decides which credentials there are, so that pulls of two namespaces are
   * never one.
   */
  readonly dividesNamespaces?: boolean;
  /** Sources found unusable since the last call. */
  takeProblems?(): readonly CredentialProblem[];
}

/** A credential source that a pull had to do without. Holds no secret. */
export interface CredentialProblem {
  readonly source: CredentialSource;
  readonly name: string;
  readonly reason: string;
}

/** No credentials: the runtime asks anonymously, or with what it has configured itself. */
export const anonymous: PullCredential = { label: { source: 'none' } };

const authFields = [
  'username',
  'password',
  'auth',
  'serverAddress',
  'identityToken',
  'registryToken',
] as const;

/** Fields that make an AuthConfig a credential; a server address alone is none. */
const secretFields = ['username', 'password', 'auth', 'identityToken', 'registryToken'] as const;

/**
 * The credential of a request, or undefined when it brings none. An auth object without content
 * counts as none.
 */
export function requestCredential(
  auth: PullAuth | undefined,
  hash: (auth: PullAuth) => string,
): PullCredential | undefined {
  if (auth === undefined || secretFields.every((field) => (auth[field] ?? '') === '')) {
    return undefined;
  }
  const filled = Object.fromEntries(
    authFields.flatMap((field) => {
      const value = auth[field] ?? '';
      return value === '' ? [] : [[field, value]];
    }),
  ) as PullAuth;
  const credentialHash = hash(filled);
  return {
    label: { source: 'request', hash: credentialHash },
    auth: filled,
    // Has no coordinates of its own. The hash stands for them, so that two are never taken for one.
    owner: {
      secret: { uid: credentialHash, namespace: 'stowage.io', name: 'request', credentialHash },
    },
  };
}

/**
 * The credentials of one pull: the request's own one alone, else the node's for the pod's
 * namespace, else the anonymous way. As in kubelet, anonymous is not tried in addition to
 * credentials. Without a repository (it is not certain which registry the image is at) nothing of
 * the node is sent anywhere. With `secretName` (`namespace/name`) only that mounted secret counts;
 * `list` throws NotFoundError when it has nothing for the repository.
 */
export function chooseCredentials(
  repository: string | undefined,
  fromRequest: PullCredential | undefined,
  node: NodeCredentials,
  { secretName, namespace }: { secretName?: string; namespace?: string } = {},
): CredentialChoice {
  if (fromRequest !== undefined) {
    return { key: fromRequest.label.hash ?? '', list: () => Promise.resolve([fromRequest]) };
  }
  const ask = async (options: { signal: AbortSignal }) => {
    if (repository === undefined) {
      if (secretName === undefined) return [anonymous] as const;
      throw new InvalidArgumentError(
        'credentialsRef',
        secretName,
        'an image with its registry, as in docker.io/library/nginx: this runtime looks for short names where its own configuration says',
      );
    }
    const [first, ...rest] = await node.forRepository(repository, {
      ...options,
      secretName,
      namespace,
    });
    if (first !== undefined) return [first, ...rest] as const;
    if (secretName === undefined) return [anonymous] as const;
    throw new NotFoundError('pull secret with credentials for this image', secretName);
  };
  let asked: ReturnType<typeof ask> | undefined;
  const key = secretName === undefined ? namespaceKey(node, namespace) : `secret ${secretName}`;
  return { key, list: (options) => (asked ??= ask(options)) };
}

/**
 * Namespaces with different credentials do not share a pull; callers without one are as a namespace
 * of their own.
 */
const namespaceKey = ({ dividesNamespaces = false }: NodeCredentials, namespace = ''): string =>
  dividesNamespaces && namespace !== '' ? `namespace ${namespace}` : '';

/**
 * A message of a runtime or registry without anything of the credential: they quote URLs and
 * headers now and then.
 */
export function withoutSecrets(message: string, { auth = {} }: PullCredential): string {
  return redactSecrets(message, secretTexts(auth));
}
