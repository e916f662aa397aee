import { KeyedQueue, withTimeout } from '@stowage/async';
import { errorMessage, FailedPreconditionError } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { capabilityArgs, cniArgs, type CapabilityArgs, type CniArgs } from './capability-args';
import { CniCache, type CacheEntry } from './cni-cache';
import {
  addToNetwork,
  askStatus,
  checkInNetwork,
  collectInNetwork,
  deleteFromNetwork,
  hasStatusAndGc,
  type Attachment,
} from './cni-calls';
import { isObject, parseNetworkList, type NetworkList } from './cni-config';
import { CniConfigFolder } from './cni-config-folder';
import { PodNetworkLeftError } from './cni-errors';
import { CniPlugins, type EndedPluginCall } from './cni-plugins';
import { readResult } from './cni-result';
import { namespaceAddresses, podNamespace } from './net-namespace';
import { PodCidrs } from './pod-cidrs';
import type { NetworkPod, PodNetwork, RemovedPod } from './pod-network';
import { SharedOrAlone } from './shared-or-alone';

export interface CniNetworkOptions {
  /** Folder of network configurations. */
  readonly confDir: string;
  /** Folders of plugins. */
  readonly binDirs: readonly string[];
  /** Folder of the CNI library's cache. */
  readonly cacheDir: string;
  /** Ranges of the node's pods; empty leaves them to kubelet. */
  readonly podCidrs: readonly string[];
  /** Folder in which kubelet's ranges are kept. */
  readonly stateDir: string;
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn'>;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
  /** Finds the network namespace of a process. */
  readonly namespaceOf?: typeof podNamespace;
  readonly onEnded?: (call: EndedPluginCall) => void;
}

/** The pod's interface. */
const ifName = 'eth0';
/** Kept by cri-dockerd of each pod; Docker brings the loopback up itself. */
const loopback = 'cni-loopback';
/** Limit of all plugins of a network together, milliseconds. */
const limitMs = 220_000;
/** The same for what is done after a failure, and for the collection of garbage. */
const cleanUpLimitMs = 30_000;
/** How long what STATUS answered counts, milliseconds. */
const statusLastsMs = 10_000;

/** What is known of the network of a sandbox. */
interface KnownNetwork {
  readonly ips: readonly string[];
  /** Of ADD; undefined when it was not kept. */
  readonly result?: unknown;
}

/**
 * Pod networks by CNI plugins. Calls for one sandbox never overlap, sandboxes are independent of
 * each other.
 */
export class CniNetwork implements PodNetwork {
  readonly #options: CniNetworkOptions;
  readonly #now: () => number;
  readonly #namespaceOf: typeof podNamespace;
  readonly #stop = new AbortController();
  readonly #plugins: CniPlugins;
  readonly #folder: CniConfigFolder;
  readonly #cache: CniCache;
  readonly #cidrs: PodCidrs;
  readonly #queue = new KeyedQueue();
  /** The specification wants GC to run while nothing else does. */
  readonly #order = new SharedOrAlone();
  readonly #known = new Map<string, KnownNetwork>();
  /** Number of removals so far: what was read before one may be of what it removed. */
  #removals = 0;
  #status: { text: string; at: number; problem: Promise<string | undefined> } | undefined;

  constructor(options: CniNetworkOptions) {
    const { confDir, binDirs, cacheDir, podCidrs, stateDir, log, onEnded } = options;
    this.#options = options;
    this.#now = options.now ?? performance.now.bind(performance);
    this.#namespaceOf = options.namespaceOf ?? podNamespace;
    this.#plugins = new CniPlugins({ binDirs, log, onEnded });
    this.#cache = new CniCache(cacheDir);
    this.#cidrs = new PodCidrs(podCidrs, stateDir, log);
    this.#folder = new CniConfigFolder({
      confDir,
      plugins: this.#plugins,
      log,
      now: this.#now,
      signal: this.#stop.signal,
    });
  }

  async readiness(): Promise<string | undefined> {
    const choice = await this.#folder.current();
    if ('problem' in choice) return choice.problem;
    return this.#rangesProblem(choice.list) ?? (await this.#statusProblem(choice.list));
  }

  add(pod: NetworkPod, { signal }: { readonly signal: AbortSignal }): Promise<readonly string[]> {
    return this.#inOrder(pod.sandboxId, signal, () => this.#add(pod, signal));
  }

  remove(pod: RemovedPod, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    return this.#inOrder(pod.sandboxId, signal, () => this.#remove(pod, signal));
  }

  /**
   * Whether the network of a sandbox is as it was set up.
   *
   * @throws {CniError} of the plugin that finds something wrong. @throws {FailedPreconditionError}
   *   when nothing was kept of it.
   */
  check(pod: NetworkPod, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    return this.#inOrder(pod.sandboxId, signal, async () => {
      const [entry] = await this.#entries(pod.sandboxId);
      const list = entry && (await this.#listOf(entry));
      if (list === undefined || entry?.result === undefined) {
        throw new FailedPreconditionError(`no CNI result is kept of sandbox ${pod.sandboxId}`);
      }
      const { result } = entry;
      const attachment = keptAttachment(entry, (await this.#namespaceOf(pod.pid)) ?? '');
      await this.#limited('CHECK', list, signal, (limited) =>
        checkInNetwork(this.#plugins, list, attachment, result, { signal: limited }),
      );
    });
  }

  async ips(sandboxId: string, pid?: number): Promise<readonly string[] | undefined> {
    const known = (await this.#knownOf(sandboxId))?.ips;
    if (known !== undefined || pid === undefined) return known;
    const found = await this.#keep(sandboxId, async () => {
      const ips = await namespaceAddresses(pid, ifName);
      return ips.length === 0 ? undefined : { ips };
    });
    return found?.ips;
  }

  setPodCidrs(cidrs: readonly string[]): void {
    this.#cidrs.set(cidrs);
  }

  async result(sandboxId: string): Promise<unknown> {
    return (await this.#knownOf(sandboxId))?.result;
  }

  async collectGarbage(liveSandboxIds: readonly string[]): Promise<void> {
    const { signal } = this.#stop;
    try {
      const live = new Set(liveSandboxIds);
      const kept = (await this.#cache.all()).filter(isOfPod).map(({ containerId }) => containerId);
      for (const sandboxId of new Set(kept)) {
        if (live.has(sandboxId)) continue;
        await this.#inOrder(sandboxId, signal, () => this.#removeStale(sandboxId, signal));
      }
      const choice = await this.#folder.current();
      if ('problem' in choice) return;
      await this.#order.alone(() => this.#collect(choice.list, live, signal));
    } catch (error) {
      this.#options.log.warn({ problem: errorMessage(error) }, 'CNI garbage was not collected');
    }
  }

  close(): void {
    this.#stop.abort();
  }

  #inOrder<T>(sandboxId: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
    return this.#queue.run(sandboxId, () =>
      this.#order.shared(() => {
        signal.throwIfAborted();
        return task();
      }),
    );
  }

  async #add(pod: NetworkPod, signal: AbortSignal): Promise<readonly string[]> {
    const list = await this.#networkOfNewPods();
    const netns = await this.#namespaceOf(pod.pid);
    if (netns === undefined) {
      throw new FailedPreconditionError(
        `the process of sandbox ${pod.sandboxId} is gone, or has no network namespace of its own`,
      );
    }
    const attachment: Attachment = {
      containerId: pod.sandboxId,
      netns,
      ifName,
      args: cniArgs(pod),
      capabilityArgs: capabilityArgs(pod, this.#cidrs.current),
    };
    const entry = entryOf(list, attachment);
    // Before the first plugin: should this process end meanwhile, DEL finds the configuration.
    await this.#cache.write(entry);
    try {
      const { raw, ips } = await this.#limited('ADD', list, signal, (limited) =>
        addToNetwork(this.#plugins, list, attachment, { signal: limited }),
      );
      await this.#cache.write({ ...entry, result: raw });
      this.#known.set(pod.sandboxId, { ips, result: raw });
      return ips;
    } catch (error) {
      // The process may be gone by now.
      const now = { ...attachment, netns: (await this.#namespaceOf(pod.pid)) ?? '' };
      await this.#undo(list, now, error);
      throw error;
    }
  }

  /** DEL after an ADD that failed, also when nobody waits for it any more. */
  async #undo(list: NetworkList, attachment: Attachment, first: unknown): Promise<void> {
    try {
      await withTimeout(
        (signal) => deleteFromNetwork(this.#plugins, list, attachment, undefined, { signal }),
        { what: `CNI DEL of network ${list.name}`, timeoutMs: cleanUpLimitMs },
      );
      await this.#forget(attachment.containerId);
    } catch (second) {
      throw new PodNetworkLeftError(first, second);
    }
  }

  async #remove(pod: RemovedPod, signal: AbortSignal): Promise<void> {
    const netns = (await this.#namespaceOf(pod.pid)) ?? '';
    const entries = await this.#entries(pod.sandboxId);
    for (const entry of entries) await this.#delete(entry, netns, signal);
    if (entries.length === 0) await this.#removeUnknown(pod, netns, signal);
    await this.#forget(pod.sandboxId);
  }

  /** DEL with what was kept of the pod: the configuration may have changed since. */
  async #delete(entry: CacheEntry, netns: string, signal: AbortSignal): Promise<void> {
    const list = await this.#listOf(entry);
    if (list === undefined) {
      throw new FailedPreconditionError(
        `the configuration of the CNI network ${entry.networkName} is not known any more`,
      );
    }
    await this.#limited('DEL', list, signal, (limited) =>
      deleteFromNetwork(this.#plugins, list, keptAttachment(entry, netns), entry.result, {
        signal: limited,
      }),
    );
  }

  /** Nothing was kept of the pod: DEL with the configuration of today. */
  async #removeUnknown(pod: RemovedPod, netns: string, signal: AbortSignal): Promise<void> {
    const choice = await this.#folder.current();
    if ('problem' in choice) {
      const isUp = netns !== '' && (await namespaceAddresses(pod.pid ?? 0, ifName)).length > 0;
      if (isUp) throw notReady(choice.problem);
      return;
    }
    const { list } = choice;
    const attachment = { containerId: pod.sandboxId, netns, ifName, ...givenOf(pod) };
    await this.#limited('DEL', list, signal, (limited) =>
      deleteFromNetwork(this.#plugins, list, attachment, undefined, { signal: limited }),
    );
  }

  async #removeStale(sandboxId: string, signal: AbortSignal): Promise<void> {
    // Added since the caller has made its list.
    if (this.#known.has(sandboxId)) return;
    const { log } = this.#options;
    try {
      for (const entry of await this.#entries(sandboxId)) {
        if ((await this.#listOf(entry))?.disableGc === true) return;
        // Its process is gone; what has its id by now is another one.
        await this.#delete(entry, '', signal);
      }
      await this.#forget(sandboxId);
      log.info({ sandboxId }, 'the network of a sandbox that is no more was removed');
    } catch (error) {
      const problem = errorMessage(error);
      log.warn({ sandboxId, problem }, 'the network of a sandbox that is no more stays for now');
    }
  }

  /** GC. Pods that were added since the caller has made its list are alive, too. */
  async #collect(list: NetworkList, live: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const valid = new Set([...live, ...this.#known.keys()]);
    await withTimeout(
      (limited) =>
        collectInNetwork(
          this.#plugins,
          list,
          [...valid].map((containerId) => ({ containerId, ifName })),
          { signal: limited },
        ),
      { what: `CNI GC of network ${list.name}`, timeoutMs: cleanUpLimitMs, signal },
    );
  }

  async #forget(sandboxId: string): Promise<void> {
    this.#removals++;
    this.#known.delete(sandboxId);
    await this.#cache.drop(sandboxId);
  }

  async #networkOfNewPods(): Promise<NetworkList> {
    const choice = await this.#folder.current();
    const problem = 'problem' in choice ? choice.problem : this.#rangesProblem(choice.list);
    if ('problem' in choice || problem !== undefined) throw notReady(problem ?? '');
    return choice.list;
  }

  /** Address management that gets its ranges from kubelet cannot work before kubelet says them. */
  #rangesProblem({ name, plugins }: NetworkList): string | undefined {
    if (this.#cidrs.current.length > 0) return undefined;
    const lacks = plugins.some(({ capabilities, raw: { ipam } }) => {
      const own = isObject(ipam) && (ipam.ranges !== undefined || ipam.subnet !== undefined);
      return capabilities.has('ipRanges') && !own;
    });
    return lacks ? `network ${name} needs the node's pod CIDR, which is not known yet` : undefined;
  }

  #statusProblem(list: NetworkList): Promise<string | undefined> | undefined {
    if (!hasStatusAndGc(list)) return undefined;
    const at = this.#now();
    const last = this.#status;
    if (last?.text === list.text && at - last.at < statusLastsMs) return last.problem;
    const problem = askStatus(this.#plugins, list, { signal: this.#stop.signal }).then(
      () => undefined,
      errorMessage,
    );
    this.#status = { text: list.text, at, problem };
    return problem;
  }

  #limited<T>(
    command: string,
    { name }: NetworkList,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return withTimeout(work, {
      what: `CNI ${command} of network ${name}`,
      timeoutMs: limitMs,
      signal,
    });
  }

  async #entries(sandboxId: string): Promise<CacheEntry[]> {
    const entries = await this.#cache.of(sandboxId);
    return entries.filter(({ networkName }) => networkName !== loopback);
  }

  /** The configuration kept with a pod, else today's where it is of the same network. */
  async #listOf({ config, networkName }: CacheEntry): Promise<NetworkList | undefined> {
    try {
      const kept = parseNetworkList(config ?? '');
      if (kept.plugins.length > 0) return kept;
    } catch {
      // Nothing that can be used was kept.
    }
    const choice = await this.#folder.current();
    return 'list' in choice && choice.list.name === networkName ? choice.list : undefined;
  }

  async #knownOf(sandboxId: string): Promise<KnownNetwork | undefined> {
    return (
      this.#known.get(sandboxId) ??
      this.#keep(sandboxId, async () => {
        const entries = await this.#entries(sandboxId);
        const kept = entries.find(({ result }) => result !== undefined);
        return kept && { ips: ipsOf(kept), result: kept.result };
      })
    );
  }

  /** Remembers what is found, unless a sandbox was removed meanwhile. */
  async #keep(
    sandboxId: string,
    find: () => Promise<KnownNetwork | undefined>,
  ): Promise<KnownNetwork | undefined> {
    const removals = this.#removals;
    const found = await find();
    const isCurrent = removals === this.#removals;
    if (found !== undefined && isCurrent) this.#known.set(sandboxId, found);
    return found;
  }
}

const notReady = (problem: string) =>
  new FailedPreconditionError(`the pod network is not ready: ${problem}`);

function entryOf(list: NetworkList, attachment: Attachment): CacheEntry {
  return {
    containerId: attachment.containerId,
    networkName: list.name,
    ifName: attachment.ifName,
    config: list.text,
    netns: attachment.netns,
    cniArgs: attachment.args,
    capabilityArgs: attachment.capabilityArgs,
  };
}

/** The attachment as ADD had it, with the namespace as it is now. */
const keptAttachment = (entry: CacheEntry, netns: string): Attachment => ({
  containerId: entry.containerId,
  netns,
  ifName: entry.ifName,
  args: entry.cniArgs ?? [],
  capabilityArgs: entry.capabilityArgs ?? {},
});

/** Addresses that were kept of a pod; none where they cannot be read. */
function ipsOf({ result, ifName: name }: CacheEntry): readonly string[] {
  try {
    return readResult(result, '0.1.0', name).ips;
  } catch {
    return [];
  }
}

/** What a pod of which nothing was kept would have been given; nothing where that is not valid. */
function givenOf(pod: RemovedPod): { args: CniArgs; capabilityArgs: CapabilityArgs } {
  try {
    return { args: cniArgs(pod), capabilityArgs: capabilityArgs(pod, []) };
  } catch {
    return { args: [], capabilityArgs: {} };
  }
}

/**
 * Whether an entry was made for a pod of Docker: other programs may use the same folder, and keep
 * their namespaces elsewhere.
 */
const isOfPod = ({ containerId, cniArgs: args = [], netns = '' }: CacheEntry): boolean =>
  /^\/proc\/\d+\/ns\/net$/.test(netns) &&
  args.some(([name, value]) => name === 'K8S_POD_INFRA_CONTAINER_ID' && value === containerId);
