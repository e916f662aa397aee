import { createHash } from 'node:crypto';
import type { Credential, CredentialSource } from './credential';
import { CredentialIndex } from './credential-index';
import type { CredentialProvider, CredentialProviderConfig } from './credential-provider-config';
import type { DockerConfigEntries, DockerConfigEntry } from './docker-config';
import {
  checkedJson,
  isField,
  JsonError,
  jsonMembers,
  jsonString,
  type JsonText,
} from './json-object';
import { parseGoDuration } from '@stowage/go-duration';
import type { Keyring, LookupOptions, PodServiceAccount, ProblemListener } from './keyring';
import { registryMatches } from './match-registry';
import { ProgramError, runProgram } from './run-program';
import { SingleFlight } from './single-flight';

/** Time a plugin may take, as in kubelet. */
const defaultTimeoutMs = 60_000;

/** Expired answers are looked for at most this often. */
const purgeIntervalMs = 15 * 60_000;

/** One run of a plugin, for metrics. */
export interface ProviderRun {
  readonly provider: string;
  readonly durationMs: number;
  readonly failed: boolean;
}

export interface CredentialProvidersOptions {
  readonly onProblem?: ProblemListener;
  readonly onRun?: (run: ProviderRun) => void;
  /** Time a plugin may take; default 60 s. */
  readonly timeoutMs?: number;
  /** Milliseconds of a clock that never jumps, as kubelet's is; default the process's own. */
  readonly now?: () => number;
}

/**
 * Kubelet's exec credential-provider plugins as a keyring: all plugins whose `matchImages` match
 * are asked, each through its cache, and their answers looked up together. A plugin that fails is
 * reported and gives none; the others go on.
 */
export class CredentialProviders implements Keyring {
  readonly #plugins: readonly ProviderPlugin[];

  constructor(config: CredentialProviderConfig, options: CredentialProvidersOptions = {}) {
    this.#plugins = config.providers.map((provider) => new ProviderPlugin(provider, options));
  }

  async lookup(repository: string, options: LookupOptions = {}): Promise<readonly Credential[]> {
    const answers = await Promise.all(
      this.#plugins.map((plugin) => plugin.entriesFor(repository, options)),
    );
    const index = new CredentialIndex();
    for (const answer of answers) if (answer != null) index.add(answer.source, answer.entries);
    return index.lookup(repository);
  }
}

/** A failure of one plugin. */
class PluginError extends Error {}

interface CacheEntry {
  readonly expiresAtMs: number;
  readonly entries: DockerConfigEntries;
}

interface PluginAnswer {
  readonly cacheKeyType: 'Image' | 'Registry' | 'Global';
  /** Undefined for the provider's default. */
  readonly cacheMs: number | undefined;
  readonly entries: DockerConfigEntries;
}

/** What of a service account goes to a plugin. */
interface AccountInput {
  readonly account: PodServiceAccount;
  readonly annotations: Readonly<Record<string, string>>;
  readonly token: string;
}

class ProviderPlugin {
  readonly #cache = new Map<string, CacheEntry>();
  readonly #flights = new SingleFlight<DockerConfigEntries>();
  readonly #now: () => number;
  #purgedAtMs: number;

  constructor(
    private readonly provider: CredentialProvider,
    private readonly options: CredentialProvidersOptions,
  ) {
    this.#now = options.now ?? (() => performance.now());
    this.#purgedAtMs = this.#now();
  }

  /**
   * The plugin's entries for an image, from its cache or itself; undefined when it has nothing to
   * say or fails.
   */
  async entriesFor(
    image: string,
    { signal, serviceAccount }: LookupOptions,
  ): Promise<{ source: CredentialSource; entries: DockerConfigEntries } | undefined> {
    const { name, matchImages } = this.provider;
    if (!matchImages.some((pattern) => registryMatches(pattern, image))) return undefined;
    try {
      const account = await this.#accountInput(serviceAccount, signal);
      if (account === 'not-for-this-pod') return undefined;
      const entries = this.#cached(image, account) ?? (await this.#ask(image, account, signal));
      return { source: sourceOf(name, account), entries };
    } catch (error) {
      if (!(error instanceof PluginError)) throw error;
      this.options.onProblem?.({
        kind: 'credential-provider',
        name,
        reason: error.message,
      });
      return undefined;
    }
  }

  async #accountInput(
    account: PodServiceAccount | undefined,
    signal: AbortSignal | undefined,
  ): Promise<AccountInput | undefined | 'not-for-this-pod'> {
    const attributes = this.provider.tokenAttributes;
    if (attributes == null) return undefined;
    if (account == null) {
      return attributes.requireServiceAccount ? 'not-for-this-pod' : undefined;
    }
    const annotations: Record<string, string> = {};
    for (const key of attributes.requiredServiceAccountAnnotationKeys) {
      const value = annotationOf(account, key);
      if (value == null) return 'not-for-this-pod';
      annotations[key] = value;
    }
    for (const key of attributes.optionalServiceAccountAnnotationKeys) {
      const value = annotationOf(account, key);
      if (value != null) annotations[key] = value;
    }
    try {
      const token = await account.token(attributes.serviceAccountTokenAudience, { signal });
      return { account, annotations, token };
    } catch (error) {
      signal?.throwIfAborted();
      throw new PluginError(
        `failed to get service account token: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  #cached(image: string, account: AccountInput | undefined): DockerConfigEntries | undefined {
    const accountPart = this.#accountPart(account);
    for (const base of [image, registryOf(image), globalKey]) {
      const entry = this.#cache.get(cacheKey(base, accountPart));
      if (entry != null && this.#now() <= entry.expiresAtMs) return entry.entries;
    }
    return undefined;
  }

  async #ask(
    image: string,
    account: AccountInput | undefined,
    signal: AbortSignal | undefined,
  ): Promise<DockerConfigEntries> {
    const flightKey =
      account == null
        ? image
        : JSON.stringify([image, sha256(account.token), sortedEntries(account.annotations)]);
    return await this.#flights.run(
      flightKey,
      async (flightSignal) => {
        const answer = await this.#exec(image, account, flightSignal);
        this.#store(image, account, answer);
        return answer.entries;
      },
      signal,
    );
  }

  #store(image: string, account: AccountInput | undefined, answer: PluginAnswer): void {
    const now = this.#now();
    if (now - this.#purgedAtMs >= purgeIntervalMs) {
      for (const [key, { expiresAtMs }] of this.#cache) {
        if (now > expiresAtMs) this.#cache.delete(key);
      }
      this.#purgedAtMs = now;
    }
    const cacheMs = answer.cacheMs ?? this.provider.defaultCacheMs;
    if (cacheMs <= 0) return;
    const bases = { Image: image, Registry: registryOf(image), Global: globalKey };
    this.#cache.set(cacheKey(bases[answer.cacheKeyType], this.#accountPart(account)), {
      expiresAtMs: now + cacheMs,
      entries: answer.entries,
    });
  }

  async #exec(
    image: string,
    account: AccountInput | undefined,
    signal: AbortSignal,
  ): Promise<PluginAnswer> {
    const { name, program, args, env, apiVersion } = this.provider;
    const startedAtMs = performance.now();
    let failed = true;
    try {
      const output = await runProgram({
        program,
        args,
        env,
        input: JSON.stringify({
          kind: 'CredentialProviderRequest',
          apiVersion,
          image,
          ...(account != null && {
            serviceAccountToken: account.token,
            ...(Object.keys(account.annotations).length > 0 && {
              serviceAccountAnnotations: account.annotations,
            }),
          }),
        }),
        timeoutMs: this.options.timeoutMs ?? defaultTimeoutMs,
        signal,
        secrets: account == null ? [] : [account.token],
      });
      const answer = readAnswer(output, apiVersion);
      this.#checkNoToken(answer, account);
      failed = false;
      return answer;
    } catch (error) {
      if (error instanceof ProgramError) {
        throw new PluginError(
          `error execing credential provider plugin ${name} for image ${image}: ${error.message}`,
        );
      }
      throw error;
    } finally {
      this.options.onRun?.({
        provider: name,
        durationMs: performance.now() - startedAtMs,
        failed,
      });
    }
  }

  /** A token may be a password only where answers are kept for that token alone. */
  #checkNoToken({ entries }: PluginAnswer, account: AccountInput | undefined): void {
    if (account == null || this.provider.tokenAttributes?.cacheType === 'Token') return;
    if ([...entries.values()].some(({ password }) => password === account.token)) {
      throw new PluginError(
        "credential provider plugin returned the service account token as the password which is not allowed when service account cache type is not set to 'Token'",
      );
    }
  }

  #accountPart(input: AccountInput | undefined): string {
    if (input == null) return '';
    const { account, annotations, token } = input;
    const isForToken = this.provider.tokenAttributes?.cacheType === 'Token';
    return JSON.stringify([
      account.namespace,
      account.name,
      account.uid,
      sortedEntries(annotations),
      ...(isForToken ? ['token', `sha256:${sha256(token)}`] : []),
    ]);
  }
}

const globalKey = '<global>';

const registryOf = (image: string): string => image.split('/', 1)[0] ?? '';

const cacheKey = (base: string, accountPart: string): string => JSON.stringify([base, accountPart]);

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const sortedEntries = (record: Readonly<Record<string, string>>): [string, string][] =>
  Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));

const annotationOf = ({ annotations }: PodServiceAccount, key: string): string | undefined =>
  Object.hasOwn(annotations, key) ? annotations[key] : undefined;

function sourceOf(provider: string, input: AccountInput | undefined): CredentialSource {
  if (input == null) return { kind: 'credential-provider', provider };
  const { namespace, name, uid } = input.account;
  return { kind: 'credential-provider', provider, serviceAccount: { namespace, name, uid } };
}

/**
 * Reads an answer as kubelet does: one JSON object, `kind` and `apiVersion` in any case, the other
 * names exactly, null for none, other fields left alone. Throws PluginError in kubelet's words,
 * which never repeats the answer.
 */
function readAnswer(output: string, apiVersion: string): PluginAnswer {
  try {
    return readMembers(jsonMembers(checkedJson(output)) ?? [], apiVersion);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw undecodable(error.message);
  }
}

const undecodable = (reason: string): PluginError =>
  new PluginError(`error decoding credential provider plugin response from stdout: ${reason}`);

function readMembers(
  members: readonly (readonly [string, JsonText])[],
  apiVersion: string,
): PluginAnswer {
  let [kind, version, cacheKeyType]: (string | undefined)[] = [];
  let cacheMs: number | undefined;
  const entries = new Map<string, DockerConfigEntry>();
  for (const [key, value] of members) {
    if (isField(key, 'kind')) kind = textOf(key, value) ?? kind;
    else if (isField(key, 'apiversion')) version = textOf(key, value) ?? version;
    else if (key === 'cacheKeyType') cacheKeyType = textOf(key, value) ?? cacheKeyType;
    else if (key === 'cacheDuration') cacheMs = durationOf(key, value);
    else if (key === 'auth') addEntries(entries, value);
  }
  if (version !== apiVersion) {
    throw new PluginError(
      `apiVersion from credential plugin response did not match expected apiVersion:${apiVersion}, actual apiVersion:${shownWord(version)}`,
    );
  }
  if (kind !== 'CredentialProviderResponse') {
    throw new PluginError(
      `failed to decode CredentialProviderResponse, unexpected Kind: ${shownWord(kind)}`,
    );
  }
  if (cacheKeyType !== 'Image' && cacheKeyType !== 'Registry' && cacheKeyType !== 'Global') {
    throw new PluginError(
      `credential provider plugin did not return a valid cacheKeyType: ${shownWord(cacheKeyType)}`,
    );
  }
  return { cacheKeyType, cacheMs, entries };
}

function addEntries(entries: Map<string, DockerConfigEntry>, json: JsonText): void {
  for (const [pattern, value] of membersOf('auth', json)) {
    let [username, password] = ['', ''];
    // A null entry is an empty credential, as in kubelet.
    for (const [key, text] of membersOf('an entry of auth', value)) {
      if (key === 'username') username = textOf(key, text) ?? username;
      else if (key === 'password') password = textOf(key, text) ?? password;
    }
    entries.set(pattern, { username, password, email: '', identityToken: '', registryToken: '' });
  }
}

function membersOf(what: string, json: JsonText): [string, JsonText][] {
  try {
    return jsonMembers(json) ?? [];
  } catch {
    throw undecodable(`${what} is not an object`);
  }
}

function textOf(key: string, json: JsonText): string | undefined {
  try {
    return jsonString(json);
  } catch {
    throw undecodable(`${key} is not a text`);
  }
}

function durationOf(key: string, json: JsonText): number | undefined {
  const text = textOf(key, json);
  const durationMs = text === undefined ? undefined : parseGoDuration(text);
  if (text !== undefined && durationMs === undefined) {
    throw undecodable(`${key} is not a duration like 10m`);
  }
  return durationMs;
}

/** A short word of an answer that may be repeated; anything else might be a secret out of place. */
const shownWord = (value = ''): string => (/^[\w./-]{0,64}$/.test(value) ? value : 'not a name');
