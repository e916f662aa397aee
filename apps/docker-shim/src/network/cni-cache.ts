import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';

/** What is kept of a pod on a network, in the form of the CNI library's own cache. */
export interface CacheEntry {
  readonly containerId: string;
  readonly networkName: string;
  readonly ifName: string;
  /** The network's configuration as JSON; undefined when it is lost. */
  readonly config?: string;
  readonly netns?: string;
  readonly cniArgs?: readonly (readonly [string, string])[];
  readonly capabilityArgs?: Readonly<Record<string, unknown>>;
  /** What ADD gave; absent while it goes on. */
  readonly result?: Readonly<Record<string, unknown>>;
}

const kind = 'cniCacheV1';

const record = z.record(z.string(), z.unknown());
const fileContent = z.looseObject({
  kind: z.literal(kind),
  containerId: z.string().min(1),
  networkName: z.string().min(1),
  ifName: z.string().min(1),
  config: z.base64().nullish(),
  netns: z.string().optional(),
  cniArgs: z.array(z.tuple([z.string(), z.string()])).nullish(),
  capabilityArgs: record.nullish(),
  result: record.nullish(),
});

/**
 * The cache of the CNI library, one file for each pod on a network. Programs that use the library
 * read what is written here, and the other way round.
 */
export class CniCache {
  readonly #folder: string;

  /** @param cacheDir the library's folder; the files are in `results` below it. */
  constructor(cacheDir: string) {
    this.#folder = path.join(cacheDir, 'results');
  }

  /** Writes an entry, as a whole or not at all. */
  async write(entry: CacheEntry): Promise<void> {
    const { containerId, networkName, ifName, config = '', netns, cniArgs } = entry;
    const content = {
      kind,
      containerId,
      config: Buffer.from(config).toString('base64'),
      ifName,
      networkName,
      netns,
      cniArgs,
      capabilityArgs: entry.capabilityArgs,
      result: entry.result,
    };
    const name = `${networkName}-${containerId}-${ifName}`;
    const temporary = path.join(this.#folder, `.${name}.tmp`);
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeFile(temporary, JSON.stringify(content), { mode: 0o600 });
    await rename(temporary, path.join(this.#folder, name));
  }

  /** Entries of a container that can be read. */
  async of(containerId: string): Promise<CacheEntry[]> {
    const entries = await this.#read(await this.#names(containerId));
    return entries.filter((entry) => entry.containerId === containerId);
  }

  /** All entries that can be read. */
  async all(): Promise<CacheEntry[]> {
    return this.#read(await this.#names());
  }

  /** Removes all entries of a container, also those that cannot be read. */
  async drop(containerId: string): Promise<void> {
    for (const name of await this.#names(containerId)) {
      await rm(path.join(this.#folder, name), { force: true });
    }
  }

  async #names(containerId?: string): Promise<string[]> {
    let names: string[];
    try {
      names = await readdir(this.#folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    if (containerId === undefined) return names.sort();
    return names.filter((name) => name.includes(`-${containerId}-`)).sort();
  }

  async #read(names: readonly string[]): Promise<CacheEntry[]> {
    const entries: CacheEntry[] = [];
    for (const name of names.filter((found) => !found.startsWith('.'))) {
      const text = await readFile(path.join(this.#folder, name), 'utf8').catch(() => '');
      const entry = parseEntry(text);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }
}

function parseEntry(text: string): CacheEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { data } = fileContent.safeParse(value);
  if (data === undefined) return undefined;
  const { containerId, networkName, ifName, config, netns } = data;
  return {
    containerId,
    networkName,
    ifName,
    config: config == null ? undefined : Buffer.from(config, 'base64').toString(),
    netns,
    cniArgs: data.cniArgs ?? undefined,
    capabilityArgs: data.capabilityArgs ?? undefined,
    result: data.result ?? undefined,
  };
}
