import type { AuthConfig } from '@stowage/cri-proto';

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

/** What may be told about a credential. */
export interface CredentialLabel {
  readonly source: CredentialSource;
  /** Name within the source: path of the file, `namespace/name` of the secret, name of the program. */
  readonly name?: string;
  /** Kubelet's credential hash, 64 hexadecimal digits. */
  readonly hash?: string;
}

/** One way to ask a registry. `auth` absent is the anonymous one. Never log or publish more than `label`. */
export interface PullCredential {
  readonly label: CredentialLabel;
  readonly auth?: PullAuth;
}

/** Where a node's own credentials come from. */
export interface NodeCredentials {
  /** Credentials for a repository (normalised, no tag), in the order they are to be tried. */
  forRepository(
    repository: string,
    options: { signal: AbortSignal },
  ): Promise<readonly PullCredential[]>;
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

/** The credential of a request, or undefined when it brings none. An auth object without content counts as none. */
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
  return { label: { source: 'request', hash: hash(filled) }, auth: filled };
}

/**
 * The credentials of one pull, in the order they are tried: the request's own one alone, else the node's, else the anonymous
 * way. As in kubelet, anonymous is not tried in addition to credentials.
 */
export async function credentialsForPull(
  repository: string,
  fromRequest: PullCredential | undefined,
  node: NodeCredentials,
  options: { signal: AbortSignal },
): Promise<readonly [PullCredential, ...PullCredential[]]> {
  if (fromRequest !== undefined) return [fromRequest];
  const [first, ...rest] = await node.forRepository(repository, options);
  return first === undefined ? [anonymous] : [first, ...rest];
}

/** Texts of a credential that must never leave the process, longest first. */
export function secretsOf({ auth }: PullCredential): string[] {
  if (auth === undefined) return [];
  const { password = '', auth: basic = '', identityToken = '', registryToken = '' } = auth;
  return [password, basic, identityToken, registryToken]
    .filter((secret) => secret.length >= 4)
    .sort((a, b) => b.length - a.length);
}
