import type { CacheEntry, CniCache } from './cni-cache';
import { readResult } from './cni-result';

/** What is known of the network of a sandbox. */
export interface KnownNetwork {
  /** Its addresses; none where its result cannot be read. */
  readonly ips: readonly string[];
  /** Of ADD; undefined when it was not kept. */
  readonly result?: unknown;
}

/** Kept by cri-dockerd of each pod; Docker brings the loopback up itself. */
const loopback = 'cni-loopback';

/** The networks of sandboxes, in memory and in the cache of the CNI library. */
export class KnownNetworks {
  readonly #known = new Map<string, KnownNetwork>();
  /** Number of removals so far: what was read before one may be of what it removed. */
  #removals = 0;

  constructor(private readonly cache: CniCache) {}

  /** Sandboxes that were added, or asked for, since the start. */
  get ids(): readonly string[] {
    return [...this.#known.keys()];
  }

  has(sandboxId: string): boolean {
    return this.#known.has(sandboxId);
  }

  /** Keeps what a sandbox is about to get: should this process end meanwhile, DEL finds it. */
  async begin(entry: CacheEntry): Promise<void> {
    await this.cache.write(entry);
  }

  async added(entry: CacheEntry, known: KnownNetwork): Promise<void> {
    await this.cache.write(entry);
    this.#known.set(entry.containerId, known);
  }

  /** What is kept on disk of a sandbox, its loopback left out. */
  async entries(sandboxId: string): Promise<CacheEntry[]> {
    const entries = await this.cache.of(sandboxId);
    return entries.filter(({ networkName }) => networkName !== loopback);
  }

  /** Sandboxes of Docker of which something is kept on disk. */
  async keptIds(): Promise<ReadonlySet<string>> {
    const entries = await this.cache.all();
    return new Set(entries.filter(isOfPod).map(({ containerId }) => containerId));
  }

  async of(sandboxId: string): Promise<KnownNetwork | undefined> {
    return (
      this.#known.get(sandboxId) ??
      this.find(sandboxId, async () => {
        const entries = await this.entries(sandboxId);
        const kept = entries.find(({ result }) => result !== undefined);
        return kept && { ips: ipsOf(kept), result: kept.result };
      })
    );
  }

  /** Remembers what is found, unless a sandbox is removed meanwhile. */
  async find(
    sandboxId: string,
    find: () => Promise<KnownNetwork | undefined>,
  ): Promise<KnownNetwork | undefined> {
    const removals = this.#removals;
    const found = await find();
    const isCurrent = removals === this.#removals;
    if (found !== undefined && isCurrent) this.#known.set(sandboxId, found);
    return found;
  }

  async forget(sandboxId: string): Promise<void> {
    this.#removals++;
    this.#known.delete(sandboxId);
    await this.cache.drop(sandboxId);
  }
}

function ipsOf({ result, ifName }: CacheEntry): readonly string[] {
  try {
    return readResult(result, '0.1.0', ifName).ips;
  } catch {
    return [];
  }
}

/**
 * Whether an entry was made for a pod of Docker: other programs may use the same folder, and keep
 * their namespaces elsewhere.
 */
const isOfPod = ({ containerId, cniArgs = [], netns = '' }: CacheEntry): boolean =>
  /^\/proc\/\d+\/ns\/net$/.test(netns) &&
  cniArgs.some(([name, value]) => name === 'K8S_POD_INFRA_CONTAINER_ID' && value === containerId);
