import { createHash } from 'node:crypto';
import { inspect } from 'node:util';

/** The fields of CRI's AuthConfig; empty ones are absent. */
export interface RegistryAuth {
  readonly username?: string;
  /** Secret. */
  readonly password?: string;
  /** Secret: user name and password joined by a colon, in base64. */
  readonly auth?: string;
  readonly serverAddress?: string;
  /** Secret: exchanged at the registry for a token to pull with. */
  readonly identityToken?: string;
  /** Secret: bearer token sent to the registry as it is. */
  readonly registryToken?: string;
}

/** Where a credential came from. */
export type CredentialSource =
  | { readonly kind: 'request' }
  | { readonly kind: 'docker-config'; readonly path: string }
  | {
      readonly kind: 'secret';
      /** Empty where a mounted secret does not say. */
      readonly namespace: string;
      readonly name: string;
      /** Empty where a mounted secret does not say. */
      readonly uid: string;
    }
  | { readonly kind: 'credential-helper'; readonly helper: string }
  | {
      readonly kind: 'credential-provider';
      readonly provider: string;
      /** The service account whose token the provider was given. */
      readonly serviceAccount?: ServiceAccountRef;
    };

export interface ServiceAccountRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** The closed set of source kinds, for metric labels. */
export type CredentialSourceKind = CredentialSource['kind'];

/** What a log or an event may contain of a credential. */
export interface CredentialLabel {
  readonly kind: CredentialSourceKind;
  /** Path, `namespace/name`, helper or provider; empty for a request. */
  readonly name: string;
  readonly hash: string;
}

/**
 * One credential for a registry. Its secrets show in `auth`'s own fields only: printing, logging or
 * JSON-encoding the credential or its `auth` gives the label, never a secret.
 */
export class Credential {
  readonly auth: RegistryAuth;

  constructor(
    auth: RegistryAuth,
    readonly source: CredentialSource,
    /**
     * Kubelet's credential hash: 64 hexadecimal digits, the same for the same credential on every
     * node.
     */
    readonly hash: string,
  ) {
    this.auth = new RedactedAuth(auth);
  }

  get label(): CredentialLabel {
    return { kind: this.source.kind, name: sourceName(this.source), hash: this.hash };
  }

  toJSON(): CredentialLabel {
    return this.label;
  }

  toString(): string {
    const { kind, name } = this.label;
    return name === '' ? kind : `${kind} ${name}`;
  }

  [inspect.custom](): string {
    return `Credential(${this.toString()}, hash ${this.hash})`;
  }
}

const authFields = [
  'username',
  'password',
  'auth',
  'serverAddress',
  'identityToken',
  'registryToken',
] as const;

/** Only filled fields exist. */
class RedactedAuth implements RegistryAuth {
  declare readonly username?: string;
  declare readonly password?: string;
  declare readonly auth?: string;
  declare readonly serverAddress?: string;
  declare readonly identityToken?: string;
  declare readonly registryToken?: string;

  constructor(auth: RegistryAuth) {
    for (const field of authFields) {
      const value = auth[field];
      if (value != null && value !== '') Object.assign(this, { [field]: value });
    }
  }

  toJSON(): string {
    return '[redacted]';
  }

  toString(): string {
    return '[redacted]';
  }

  [inspect.custom](): string {
    return '[redacted]';
  }
}

/** A credential with its hash. `email` belongs to kubelet's hash and to nothing else. */
export function createCredential(
  auth: RegistryAuth,
  source: CredentialSource,
  email = '',
): Credential {
  return new Credential(auth, source, credentialHash(auth, email));
}

/**
 * Kubelet's credential hash, as in its pull records: lower-case hexadecimal SHA-256 over compact
 * JSON of the filled fields in kubelet's order, with Go's escapes.
 */
export function credentialHash(auth: RegistryAuth, email = ''): string {
  return createHash('sha256').update(hashedJson(auth, email)).digest('hex');
}

/** The text that is hashed. Holds the secret. */
export function hashedJson(auth: RegistryAuth, email = ''): string {
  const ordered = [
    ['username', auth.username],
    ['password', auth.password],
    ['auth', auth.auth],
    ['email', email],
    ['serveraddress', auth.serverAddress],
    ['identitytoken', auth.identityToken],
    ['registrytoken', auth.registryToken],
  ];
  return goJson(Object.fromEntries(ordered.filter(([, value]) => value != null && value !== '')));
}

/** Compact JSON with the characters escaped that Go escapes too. */
export function goJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function sourceName(source: CredentialSource): string {
  switch (source.kind) {
    case 'request':
      return '';
    case 'docker-config':
      return source.path;
    case 'secret':
      return source.namespace === '' ? source.name : `${source.namespace}/${source.name}`;
    case 'credential-helper':
      return source.helper;
    case 'credential-provider':
      return source.provider;
  }
}
