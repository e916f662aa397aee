import { Base64Error, decodeBase64 } from './base64';
import { mistakenContent, type ConfigFormat } from './config-content';
import { goJson, type RegistryAuth } from './credential';
import {
  checkedJson,
  isField,
  JsonError,
  jsonMembers,
  jsonString,
  type JsonText,
} from './json-object';

/** One entry of a docker config: what is known for one registry. Holds secrets. */
export interface DockerConfigEntry {
  readonly username: string;
  readonly password: string;
  readonly email: string;
  /** Kubelet does not read this one. */
  readonly identityToken: string;
  /** Kubelet does not read this one. */
  readonly registryToken: string;
}

/** Registry key, as written in the file, to entry. In the order of the file. */
export type DockerConfigEntries = ReadonlyMap<string, DockerConfigEntry>;

/** A decoded config.json. */
export interface DockerConfigFile {
  /** Undefined when the file has no `auths`. */
  readonly entries: DockerConfigEntries | undefined;
  /** Registry key to credential helper. Kubelet does not read this one. */
  readonly credHelpers: ReadonlyMap<string, string>;
  /** Credential helper for all registries; empty for none. Kubelet does not read this one. */
  readonly credsStore: string;
}

/**
 * A docker config that cannot be decoded. The message is kubelet's; neither it nor `detail` holds a
 * value of the file.
 */
export class DockerConfigError extends Error {
  override readonly name = 'DockerConfigError';

  constructor(
    message: string,
    /** What exactly is wrong, and in which entry. */
    readonly detail = message,
  ) {
    super(message);
  }
}

/** Kubelet's text for any decoding failure of a file. */
const undecodable = 'error occurred while trying to unmarshal json';

const emptyEntry: DockerConfigEntry = {
  username: '',
  password: '',
  email: '',
  identityToken: '',
  registryToken: '',
};

/**
 * Decodes a config.json (or the payload of a kubernetes.io/dockerconfigjson secret). Throws
 * DockerConfigError.
 */
export function decodeDockerConfigJson(text: string): DockerConfigFile {
  return decoding(text, 'config.json', () => {
    let entries: Map<string, DockerConfigEntry> | undefined;
    const credHelpers = new Map<string, string>();
    let credsStore = '';
    for (const [key, value] of jsonMembers(checkedJson(text)) ?? []) {
      if (isField(key, 'auths')) entries = addEntries(entries, value);
      else if (isField(key, 'httpheaders')) jsonMembers(value)?.forEach(([, v]) => jsonString(v));
      else if (isField(key, 'credhelpers')) {
        for (const [registry, helper] of tolerated(() => jsonMembers(value)) ?? []) {
          credHelpers.set(registry, tolerated(() => jsonString(helper)) ?? '');
        }
      } else if (isField(key, 'credsstore')) credsStore = tolerated(() => jsonString(value)) ?? '';
    }
    return { entries, credHelpers, credsStore };
  });
}

/**
 * Decodes a .dockercfg (or the payload of a kubernetes.io/dockercfg secret): entries alone. Throws
 * DockerConfigError.
 */
export function decodeDockercfg(text: string): DockerConfigEntries | undefined {
  return decoding(text, '.dockercfg', () => addEntries(undefined, checkedJson(text)));
}

/** Decodes one entry of `auths`. Throws JsonError, Base64Error or DockerConfigError. */
export function decodeDockerConfigEntry(json: JsonText): DockerConfigEntry {
  const { entry, auth } = readEntry(json);
  return auth === '' ? entry : { ...entry, ...decodeAuthField(auth) };
}

/**
 * The members of one entry as they stand, `auth` not yet decoded. Throws JsonError for a wrong
 * type.
 */
export function readEntry(json: JsonText): { entry: DockerConfigEntry; auth: string } {
  const entry = { ...emptyEntry };
  let auth = '';
  for (const [key, value] of jsonMembers(json) ?? []) {
    if (isField(key, 'username')) entry.username = jsonString(value) ?? entry.username;
    else if (isField(key, 'password')) entry.password = jsonString(value) ?? entry.password;
    else if (isField(key, 'email')) entry.email = jsonString(value) ?? entry.email;
    else if (isField(key, 'auth')) auth = jsonString(value) ?? auth;
    else if (isField(key, 'identitytoken')) {
      entry.identityToken = tolerated(() => jsonString(value)) ?? '';
    } else if (isField(key, 'registrytoken')) {
      entry.registryToken = tolerated(() => jsonString(value)) ?? '';
    }
  }
  return { entry, auth };
}

/**
 * Decodes an `auth` field: base64 of `username:password`, padded or not. Nothing is trimmed from
 * the parts. Throws Base64Error or DockerConfigError with kubelet's texts.
 */
export function decodeAuthField(field: string): { username: string; password: string } {
  const decoded = decodeBase64(field, field.trim().endsWith('=')).toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon < 0) {
    throw new DockerConfigError(
      'unable to parse auth field, must be formatted as base64(username:password)',
    );
  }
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

/** An entry as kubelet writes it. Holds the secret. */
export function encodeDockerConfigEntry(
  entry: Pick<DockerConfigEntry, 'username' | 'password' | 'email'>,
): string {
  const { username, password, email } = entry;
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  const fields = Object.entries({ username, password, email, auth });
  return goJson(Object.fromEntries(fields.filter(([, value]) => value !== '')));
}

/**
 * What to send to the runtime for an entry. An entry with an identity token and no password (as
 * `docker login` writes it) is sent without its user name, because runtimes that see a user name do
 * not look at the token.
 */
export function entryAuth(entry: DockerConfigEntry): RegistryAuth {
  const { username, password, identityToken, registryToken } = entry;
  return identityToken !== '' && password === ''
    ? { identityToken, registryToken }
    : { username, password, identityToken, registryToken };
}

/**
 * True for an entry that says nothing, as docker writes for registries whose credential a helper
 * keeps.
 */
export function isEmptyEntry(entry: DockerConfigEntry): boolean {
  return Object.values(entry).every((value) => value === '');
}

function addEntries(
  before: Map<string, DockerConfigEntry> | undefined,
  json: JsonText,
): Map<string, DockerConfigEntry> | undefined {
  const members = jsonMembers(json);
  if (members == null) return undefined;
  const entries = before ?? new Map<string, DockerConfigEntry>();
  for (const [key, value] of members) {
    try {
      entries.set(key, decodeDockerConfigEntry(value));
    } catch (error) {
      throw new DockerConfigError(undecodable, `entry ${JSON.stringify(key)}: ${detailOf(error)}`);
    }
  }
  return entries;
}

/** Any failure becomes kubelet's one text; the detail says more. */
function decoding<T>(text: string, format: ConfigFormat, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new DockerConfigError(undecodable, mistakenContent(text, format) ?? detailOf(error));
  }
}

/** Messages of the decoders hold no value of what they decode; others might. */
function detailOf(error: unknown): string {
  if (error instanceof DockerConfigError) return error.detail;
  if (error instanceof JsonError || error instanceof Base64Error) return error.message;
  return undecodable;
}

/** Fields that kubelet does not know must not fail a file that it takes. */
function tolerated<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return undefined;
  }
}
