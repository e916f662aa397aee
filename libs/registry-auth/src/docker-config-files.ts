import path from 'node:path';
import type { Credential } from './credential';
import { mistakenContent, type ConfigFormat } from './config-content';
import { CredentialHelpers, type CredentialHelperOptions } from './credential-helper';
import { CredentialIndex, RegistryIndex } from './credential-index';
import {
  decodeDockerConfigJson,
  decodeDockercfg,
  DockerConfigError,
  isEmptyEntry,
  type DockerConfigEntry,
  type DockerConfigFile,
} from './docker-config';
import { errorCode, fileSignature, isAbsent, readConfigFile } from './file-signature';
import type { Keyring, LookupOptions, ProblemListener } from './keyring';

/**
 * Where a node's docker config is looked for. The first file that can be read and decoded is used,
 * nothing is merged.
 */
export interface DockerConfigSearch {
  /** Folders that may hold a `config.json`, in order. */
  readonly configJsonDirs: readonly string[];
  /** Folders that may hold a `.dockercfg`, in order; looked at after all of `configJsonDirs`. */
  readonly dockercfgDirs: readonly string[];
}

/**
 * Kubelet's search order. An empty folder name is the working directory; without a home it looks
 * into `.docker` of the working directory. `preferredDir` is kubelet's root, `/var/lib/kubelet`.
 */
export function kubeletSearch(preferredDir: string, home: string | undefined): DockerConfigSearch {
  return {
    configJsonDirs: [preferredDir, '', path.join(home ?? '', '.docker'), '/.docker'],
    dockercfgDirs: [preferredDir, '', home ?? '', '/'],
  };
}

export interface DockerConfigFilesOptions {
  readonly onProblem?: ProblemListener;
  /** How `credHelpers` and `credsStore` are asked; undefined leaves them out, as kubelet does. */
  readonly helpers?: CredentialHelperOptions;
}

/** The file a keyring uses now. */
export interface DockerConfigInUse {
  readonly path: string;
  /** Number of registry keys in `auths`. */
  readonly entries: number;
}

/** What is known from the file in use. */
interface Loaded {
  readonly signature: string;
  readonly inUse?: DockerConfigInUse;
  readonly index: CredentialIndex;
  readonly helpers: RegistryIndex<string>;
  /** Helper for all registries; empty for none. */
  readonly store: string;
}

/**
 * The node's docker config files as a keyring.
 *
 * Changes on disk count from the next look-up on: each look-up compares the files' identity, size
 * and times (kubelet keeps what it read for 5 minutes). An absent file is no problem; one that
 * cannot be read or decoded is reported once per change, and the search goes on with the next, as
 * in kubelet.
 */
export class DockerConfigFiles implements Keyring {
  private readonly candidates: readonly Candidate[];
  private readonly helpers: CredentialHelpers | undefined;
  private loaded: Loaded | undefined;

  constructor(
    search: DockerConfigSearch,
    private readonly options: DockerConfigFilesOptions = {},
  ) {
    this.candidates = [
      ...search.configJsonDirs.map((dir) => candidate(dir, 'config.json')),
      ...search.dockercfgDirs.map((dir) => candidate(dir, '.dockercfg')),
    ];
    if (options.helpers != null) {
      this.helpers = new CredentialHelpers({ onProblem: options.onProblem, ...options.helpers });
    }
  }

  /**
   * Credentials of the helper that is set for the registry, if any, then those that stand in the
   * file.
   */
  async lookup(repository: string, options?: LookupOptions): Promise<readonly Credential[]> {
    const { index, helpers, store } = this.current();
    const stored = index.lookup(repository);
    const helper = helpers.lookup(repository)[0] ?? store;
    if (this.helpers == null || helper === '') return stored;
    const credential = await this.helpers.get(helper, repository, options);
    return credential == null ? stored : [credential, ...stored];
  }

  /** The file that a look-up uses now; undefined when there is none. */
  inUse(): DockerConfigInUse | undefined {
    return this.current().inUse;
  }

  private current(): Loaded {
    const signature = this.candidates.map(({ file }) => fileSignature(file)).join('\n');
    if (this.loaded?.signature !== signature) this.loaded = this.load(signature);
    return this.loaded;
  }

  private load(signature: string): Loaded {
    for (const { file, format, decode } of this.candidates) {
      const report = (reason: string): void =>
        this.options.onProblem?.({ kind: 'docker-config', name: file, reason });
      let config: DockerConfigFile;
      try {
        const text = readConfigFile(file).toString('utf8');
        config = decode(text);
        // It decodes to nothing, and ends the search as in kubelet.
        const mistaken = mistakenContent(text, format);
        if (mistaken !== undefined) report(mistaken);
      } catch (error) {
        if (error instanceof DockerConfigError) report(error.detail);
        else if (!isAbsent(error)) report(`cannot be read: ${errorCode(error)}`);
        continue;
      }
      return this.loadConfig(signature, file, config, report);
    }
    return { signature, index: new CredentialIndex(), helpers: new RegistryIndex(), store: '' };
  }

  private loadConfig(
    signature: string,
    file: string,
    config: DockerConfigFile,
    report: (reason: string) => void,
  ): Loaded {
    const { entries = new Map<string, DockerConfigEntry>(), credHelpers, credsStore } = config;
    const usesHelpers = this.helpers != null && (credHelpers.size > 0 || credsStore !== '');
    // Beside a helper docker leaves an empty entry for each registry it logged in to.
    const filled = usesHelpers
      ? new Map([...entries].filter(([, e]) => !isEmptyEntry(e)))
      : entries;
    const index = new CredentialIndex();
    const helpers = new RegistryIndex<string>();
    const refused = [
      ...index.add({ kind: 'docker-config', path: file }, filled),
      ...[...credHelpers].filter(([key, name]) => !helpers.add(key, name)).map(([key]) => key),
    ];
    for (const key of refused) report(`registry key ${JSON.stringify(key)} cannot be parsed`);
    const inUse = { path: file, entries: entries.size };
    return { signature, inUse, index, helpers, store: credsStore };
  }
}

interface Candidate {
  readonly file: string;
  readonly format: ConfigFormat;
  readonly decode: (text: string) => DockerConfigFile;
}

const candidate = (dir: string, format: ConfigFormat): Candidate => ({
  file: path.resolve(dir, format),
  format,
  decode:
    format === 'config.json'
      ? decodeDockerConfigJson
      : (text) => ({ entries: decodeDockercfg(text), credHelpers: new Map(), credsStore: '' }),
});
