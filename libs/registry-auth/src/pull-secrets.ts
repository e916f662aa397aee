import { StowageError } from '@stowage/errors';
import { hasNoAuths, mistakenContent, type ConfigFormat } from './config-content';
import { CredentialIndex } from './credential-index';
import {
  decodeDockerConfigJson,
  decodeDockercfg,
  DockerConfigError,
  type DockerConfigEntries,
} from './docker-config';
import type { Keyring, ProblemListener } from './keyring';

/** A Kubernetes secret, as far as it matters here. Holds secrets. */
export interface PullSecret {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly type: string;
  /** Values decoded from the base64 of the API object. */
  readonly data: Readonly<Record<string, string | Uint8Array>>;
}

/** Data key of each secret type that gives credentials, and how its payload is decoded. */
const payloads: Readonly<
  Record<
    string,
    {
      key: string;
      format: ConfigFormat;
      decode: (text: string) => DockerConfigEntries | undefined;
    }
  >
> = {
  'kubernetes.io/dockerconfigjson': {
    key: '.dockerconfigjson',
    format: 'config.json',
    decode: (text) => decodeDockerConfigJson(text).entries,
  },
  'kubernetes.io/dockercfg': { key: '.dockercfg', format: '.dockercfg', decode: decodeDockercfg },
};

/**
 * A secret that gives no credentials: of another type, without its payload, or undecodable. Holds
 * no value of it.
 */
export class PullSecretError extends StowageError {
  constructor(
    /** `namespace/name`. */
    readonly secret: string,
    readonly reason: string,
    /** True for a secret that kubelet skips, false for one that makes kubelet fail. */
    readonly isSkippedByKubelet: boolean,
  ) {
    super(`secret ${secret}: ${reason}`, {
      code: 'PULL_SECRET_UNUSABLE',
      grpcStatus: 'INVALID_ARGUMENT',
    });
  }
}

/**
 * The docker config entries of a secret. Throws PullSecretError, which says what to use instead.
 */
export function pullSecretEntries(secret: PullSecret): DockerConfigEntries {
  const { type, data } = secret;
  const name = secretName(secret);
  const payload = Object.hasOwn(payloads, type) ? payloads[type] : undefined;
  if (payload == null) throw new PullSecretError(name, wrongType(type), true);
  const value = Object.hasOwn(data, payload.key) ? data[payload.key] : undefined;
  if (value == null || value.length === 0) {
    throw new PullSecretError(name, `type ${type} needs the data key ${payload.key}`, true);
  }
  try {
    return payload.decode(textOf(value)) ?? new Map();
  } catch (error) {
    if (!(error instanceof DockerConfigError)) throw error;
    throw new PullSecretError(name, `${payload.key}: ${error.detail}`, false);
  }
}

/**
 * Why a secret that decodes gives no credential: kubelet takes such content for a configuration
 * without registries. Undefined when it is what it should be.
 */
function emptySecretReason({ type, data }: PullSecret): string | undefined {
  const { key, format } = payloads[type] ?? {};
  const value = key === undefined ? undefined : data[key];
  if (key === undefined || format === undefined || value === undefined) return undefined;
  const text = textOf(value);
  const mistaken = mistakenContent(text, format);
  if (mistaken !== undefined) return `${key}: ${mistaken}`;
  return format === 'config.json' && hasNoAuths(text)
    ? `${key}: it has no "auths"; expected is {"auths": {"REGISTRY": {"auth": …}}}`
    : undefined;
}

/** How a keyring treats secrets that cannot be used. */
export interface PullSecretOptions {
  readonly onProblem?: ProblemListener;
  /**
   * `skip` (default) reports an undecodable secret and goes on with the others; `fail` throws
   * PullSecretError as kubelet fails the pull. Secrets of other types never fail; they are
   * reported.
   */
  readonly undecodable?: 'skip' | 'fail';
}

/**
 * The keyring of a pod's pull secrets, in kubelet's order: all matching keys of all secrets, the
 * more specific key first, the order of the secrets within one key. Throws PullSecretError with
 * `undecodable: 'fail'`.
 */
export function pullSecretKeyring(
  secrets: readonly PullSecret[],
  options: PullSecretOptions = {},
): Keyring {
  const index = new CredentialIndex();
  for (const secret of secrets) {
    const name = secretName(secret);
    const report = (reason: string): void => options.onProblem?.({ kind: 'secret', name, reason });
    try {
      const { namespace, name: secretOwnName, uid } = secret;
      const source = { kind: 'secret', namespace, name: secretOwnName, uid } as const;
      for (const key of index.add(source, pullSecretEntries(secret))) {
        report(`registry key ${JSON.stringify(key)} cannot be parsed`);
      }
      const reason = emptySecretReason(secret);
      if (reason !== undefined) report(reason);
    } catch (error) {
      if (!(error instanceof PullSecretError)) throw error;
      if (options.undecodable === 'fail' && !error.isSkippedByKubelet) throw error;
      report(error.reason);
    }
  }
  return { lookup: (repository) => Promise.resolve(index.lookup(repository)) };
}

/** `namespace/name`, or the name alone where there is no namespace. */
export const secretName = ({ namespace, name }: Pick<PullSecret, 'namespace' | 'name'>): string =>
  namespace === '' ? name : `${namespace}/${name}`;

const textOf = (value: string | Uint8Array): string =>
  typeof value === 'string' ? value : Buffer.from(value).toString('utf8');

const use =
  'use a secret of type kubernetes.io/dockerconfigjson (kubectl create secret docker-registry)';

function wrongType(type: string): string {
  switch (type) {
    case 'Opaque':
    case '':
      return `type Opaque does not say that its content is a registry credential; ${use}`;
    case 'kubernetes.io/service-account-token':
      return `type ${type} holds a token for the Kubernetes API, which no registry takes; ${use}`;
    default:
      return `type ${JSON.stringify(type)} holds no registry credentials; ${use}`;
  }
}
