import { errorMessage } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  CniConfigError,
  parseNetworkList,
  parsePlugin,
  parseSinglePlugin,
  withPlugins,
  type NetworkList,
} from './cni-config';
import type { CniPlugins } from './cni-plugins';

/** The network that new pods get, or why there is none. */
export type NetworkChoice = { readonly list: NetworkList } | { readonly problem: string };

export interface CniConfigFolderOptions {
  readonly confDir: string;
  readonly plugins: Pick<CniPlugins, 'versions'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Milliseconds. */
  readonly now: () => number;
  /** Ends questions to plugins. */
  readonly signal: AbortSignal;
}

/** Without a change of the files, they and the plugins are looked at again after so long. */
const recheckMs = 5000;

/**
 * The folder of network configurations: the first file, by name, that is valid counts. It is looked
 * at when somebody wants to know: at once when its files have changed, else every five seconds.
 */
export class CniConfigFolder {
  #choice: NetworkChoice | undefined;
  #files = '';
  #checkedAt = 0;
  #checking: Promise<NetworkChoice> | undefined;
  /** What was logged last. */
  #logged = '';

  constructor(private readonly options: CniConfigFolderOptions) {}

  /** Never rejects. */
  current(): Promise<NetworkChoice> {
    this.#checking ??= this.#current()
      .catch((error: unknown) => ({ problem: `${this.options.confDir}: ${errorMessage(error)}` }))
      .finally(() => (this.#checking = undefined));
    return this.#checking;
  }

  async #current(): Promise<NetworkChoice> {
    const names = await filesIn(this.options.confDir, ['.conf', '.conflist', '.json']);
    const files = await this.#signature(names);
    const now = this.options.now();
    const isFresh = files === this.#files && now - this.#checkedAt < recheckMs;
    if (isFresh && this.#choice !== undefined) return this.#choice;
    const choice = await this.#choose(names);
    this.#choice = choice;
    this.#files = files;
    this.#checkedAt = now;
    return choice;
  }

  async #choose(names: readonly string[]): Promise<NetworkChoice> {
    const { confDir, log } = this.options;
    const problems: string[] = [];
    for (const name of names) {
      try {
        const list = await this.#load(name);
        this.#logOnce(`${name}\n${list.text}\n${problems.join()}`, () => {
          const { name: network, cniVersion } = list;
          const skipped = problems.length > 0 ? problems : undefined;
          log.info({ network, cniVersion, file: name, skipped }, 'new pods get this network');
        });
        return { list };
      } catch (error) {
        problems.push(`${name}: ${errorMessage(error)}`);
      }
    }
    const problem =
      problems.length === 0
        ? `no network configuration in ${confDir}`
        : `no valid network configuration in ${confDir}: ${problems.join('; ')}`;
    this.#logOnce(problem, () => log.warn({ problem }, 'new pods get no network'));
    return { problem };
  }

  /** @throws {CniConfigError} @throws {CniError} @throws the system's error */
  async #load(name: string): Promise<NetworkList> {
    const { confDir, plugins, signal } = this.options;
    const text = await readFile(path.join(confDir, name), 'utf8');
    const given = name.endsWith('.conflist') ? parseNetworkList(text) : parseSinglePlugin(text);
    const list = given.inlinedOnly ? given : withPlugins(given, await this.#pluginsOf(given.name));
    if (list.plugins.length === 0) throw new CniConfigError('it has no plugins');
    for (const type of new Set(list.plugins.map((plugin) => plugin.type))) {
      const spoken = await plugins.versions(type, signal);
      if (spoken.includes(list.cniVersion)) continue;
      throw new CniConfigError(`plugin ${type} does not know version ${list.cniVersion}`);
    }
    return list;
  }

  /** Plugins that stand beside the list, in the folder of its name. */
  async #pluginsOf(network: string) {
    const folder = path.join(this.options.confDir, network);
    const names = await filesIn(folder, ['.conf']);
    return Promise.all(
      names.map(async (name) => parsePlugin(await readFile(path.join(folder, name), 'utf8'))),
    );
  }

  /** Changes when one of the files does. */
  async #signature(names: readonly string[]): Promise<string> {
    const files = names.map(async (name) => {
      const file = path.join(this.options.confDir, name);
      const { ino, size, mtimeNs } = await stat(file, { bigint: true });
      return [name, ino, size, mtimeNs].join(':');
    });
    return (await Promise.all(files.map((file) => file.catch(() => '')))).join('\n');
  }

  #logOnce(text: string, write: () => void): void {
    if (text === this.#logged) return;
    this.#logged = text;
    write();
  }
}

/** Names of files with one of the extensions, sorted; none where there is no such folder. */
async function filesIn(folder: string, extensions: readonly string[]): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && extensions.includes(path.extname(entry.name)))
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
