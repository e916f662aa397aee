import { createCredential, type Credential, type CredentialSource } from './credential';
import { entryAuth, type DockerConfigEntries, type DockerConfigEntry } from './docker-config';
import { isDockerHubName, urlMatches } from './match-registry';
import { parseSchemeless, parseSchemelessBytes, type RegistryUrl } from './registry-url';

/** The index key that docker's `https://index.docker.io/v1/` becomes. */
const dockerHubKey = 'index.docker.io';

interface IndexEntry<T> {
  readonly key: string;
  /** Of the key: kubelet parses its keys once more when it matches them. */
  readonly url: RegistryUrl | undefined;
  readonly values: T[];
}

/**
 * Values by registry key with kubelet's look-up: all keys that match an image, in reverse byte
 * order of the keys (so a longer path comes before its prefix, and a literal label before `*`), and
 * Docker Hub's key when nothing matched.
 */
export class RegistryIndex<T> {
  private readonly entries = new Map<string, IndexEntry<T>>();
  /** Entries in look-up order; undefined after a change. */
  private sorted: IndexEntry<T>[] | undefined;

  /**
   * Adds a value under a key as a docker config writes it. False when the key cannot be parsed;
   * kubelet skips it then.
   */
  add(registryKey: string, value: T): boolean {
    const key = indexKey(registryKey);
    if (key == null) return false;
    const entry = this.entries.get(key) ?? { key, url: parseSchemelessBytes(key), values: [] };
    entry.values.push(value);
    this.entries.set(key, entry);
    this.sorted = undefined;
    return true;
  }

  /**
   * Values for a repository (normalised, without tag and digest), in the order they are to be
   * tried.
   */
  lookup(repository: string): T[] {
    this.sorted ??= [...this.entries.values()].sort((a, b) => (a.key < b.key ? 1 : -1));
    const target = parseSchemeless(repository);
    const found =
      target == null
        ? []
        : this.sorted
            .filter(({ url }) => url != null && urlMatches(url, target))
            .flatMap(({ values }) => values);
    if (found.length > 0 || !isDockerHubName(repository)) return found;
    return [...(this.entries.get(dockerHubKey)?.values ?? [])];
  }
}

/**
 * Host and path of a config key, in bytes: scheme, user info, query, fragment and a leading /v1 or
 * /v2 dropped.
 */
function indexKey(registryKey: string): string | undefined {
  const url = parseSchemeless(registryKey.replace(/^https?:\/\//, ''));
  if (url == null) return undefined;
  const path = /^\/v[12]\//.test(url.path) ? url.path.slice(3) : url.path;
  return path === '/' ? url.host : url.host + path;
}

/** Credentials of docker config entries by registry. */
export class CredentialIndex {
  private readonly index = new RegistryIndex<Credential>();

  /**
   * Adds all entries of one docker config. Gives the keys that cannot be parsed, which are skipped
   * as kubelet does.
   */
  add(source: CredentialSource, entries: DockerConfigEntries): string[] {
    return [...entries]
      .filter(([key, entry]) => !this.index.add(key, entryCredential(source, entry)))
      .map(([key]) => key);
  }

  lookup(repository: string): Credential[] {
    return this.index.lookup(repository);
  }
}

const entryCredential = (source: CredentialSource, entry: DockerConfigEntry): Credential =>
  createCredential(entryAuth(entry), source, entry.email);
