import { KeyedQueue, withTimeout } from '@stowage/async';
import { errorMessage, FailedPreconditionError } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { capabilityArgs, cniArgs, type CapabilityArgs, type CniArgs } from './capability-args';
import { CniCache, type CacheEntry } from './cni-cache';
import {
  addToNetwork,
  checkInNetwork,
  collectInNetwork,
  deleteFromNetwork,
  type Attachment,
} from './cni-calls';
import { parseNetworkList, type NetworkList } from './cni-config';
import { CniConfigFolder } from './cni-config-folder';
import { PodNetworkLeftError } from './cni-errors';
import { CniPlugins, type EndedPluginCall } from './cni-plugins';
import { KnownNetworks } from './known-networks';
import { namespaceAddresses, podNamespace } from './net-namespace';
import { NewPodNetwork, notReady } from './new-pod-network';
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
/** Limit of all plugins of a network together, milliseconds. */
const limitMs = 220_000;
/** The same for what is done after a failure, and for the collection of garbage. */
const cleanUpLimitMs = 30_000;

/**
 * Pod networks by CNI plugins. Calls for one sandbox never overlap, sandboxes are independent of
 * each other.
 */
export class CniNetwork implements PodNetwork {
  readonly #log: CniNetworkOptions['log'];
  readonly #namespaceOf: typeof podNamespace;
  readonly #stop = new AbortController();
  readonly #plugins: CniPlugins;
  readonly #folder: CniConfigFolder;
  readonly #cidrs: PodCidrs;
  readonly #newPods: NewPodNetwork;
  readonly #known: KnownNetworks;
  readonly #queue = new KeyedQueue();
  /** The specification wants GC to run while nothing else does. */
  readonly #order = new SharedOrAlone();

  constructor(options: CniNetworkOptions) {
    const { confDir, binDirs, cacheDir, podCidrs, stateDir, log, onEnded } = options;
    const { now = performance.now.bind(performance), namespaceOf = podNamespace } = options;
    const { signal } = this.#stop;
    const plugins = new CniPlugins({ binDirs, log, onEnded });
    const folder = new CniConfigFolder({ confDir, plugins, log, now, signal });
    const cidrs = new PodCidrs(podCidrs, stateDir, log);
    this.#log = log;
    this.#namespaceOf = namespaceOf;
    this.#plugins = plugins;
    this.#folder = folder;
    this.#cidrs = cidrs;
    this.#newPods = new NewPodNetwork({ folder, plugins, cidrs, now, signal });
    this.#known = new KnownNetworks(new CniCache(cacheDir));
  }

  readiness(): Promise<string | undefined> {
    return this.#newPods.problem();
  }

  async networkName(): Promise<string> {
    const choice = await this.#folder.current();
    return 'list' in choice ? choice.list.name : '';
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
      const [entry] = await this.#known.entries(pod.sandboxId);
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
    const { ips = [] } = (await this.#known.of(sandboxId)) ?? {};
    if (ips.length > 0) return ips;
    if (pid === undefined) return undefined;
    const found = await this.#known.find(sandboxId, async () => {
      const read = await namespaceAddresses(pid, ifName);
      return read.length === 0 ? undefined : { ips: read };
    });
    return found?.ips;
  }

  setPodCidrs(cidrs: readonly string[]): void {
    this.#cidrs.set(cidrs);
  }

  async result(sandboxId: string): Promise<unknown> {
    return (await this.#known.of(sandboxId))?.result;
  }

  async collectGarbage(liveSandboxIds: readonly string[]): Promise<void> {
    const { signal } = this.#stop;
    try {
      const live = new Set(liveSandboxIds);
      for (const sandboxId of await this.#known.keptIds()) {
        if (live.has(sandboxId)) continue;
        await this.#inOrder(sandboxId, signal, () => this.#removeStale(sandboxId, signal));
      }
      const choice = await this.#folder.current();
      if ('problem' in choice) return;
      await this.#order.alone(() => this.#collect(choice.list, live, signal));
    } catch (error) {
      this.#log.warn({ problem: errorMessage(error) }, 'CNI garbage was not collected');
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
    const list = await this.#newPods.list();
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
    await this.#known.begin(entry);
    try {
      const { raw, ips } = await this.#limited('ADD', list, signal, (limited) =>
        addToNetwork(this.#plugins, list, attachment, { signal: limited }),
      );
      await this.#known.added({ ...entry, result: raw }, { ips, result: raw });
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
      await this.#known.forget(attachment.containerId);
    } catch (second) {
      throw new PodNetworkLeftError(first, second);
    }
  }

  async #remove(pod: RemovedPod, signal: AbortSignal): Promise<void> {
    const netns = (await this.#namespaceOf(pod.pid)) ?? '';
    const entries = await this.#known.entries(pod.sandboxId);
    for (const entry of entries) await this.#delete(entry, netns, signal);
    if (entries.length === 0) await this.#removeUnknown(pod, netns, signal);
    await this.#known.forget(pod.sandboxId);
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
    try {
      for (const entry of await this.#known.entries(sandboxId)) {
        if ((await this.#listOf(entry))?.disableGc === true) return;
        // Its process is gone; what has its id by now is another one.
        await this.#delete(entry, '', signal);
      }
      await this.#known.forget(sandboxId);
      this.#log.info({ sandboxId }, 'the network of a sandbox that is no more was removed');
    } catch (error) {
      const problem = errorMessage(error);
      this.#log.warn(
        { sandboxId, problem },
        'the network of a sandbox that is no more stays for now',
      );
    }
  }

  /** GC. Pods that were added since the caller has made its list are alive, too. */
  async #collect(list: NetworkList, live: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const valid = new Set([...live, ...this.#known.ids]);
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
}

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

/** What a pod of which nothing was kept would have been given; nothing where that is not valid. */
function givenOf(pod: RemovedPod): { args: CniArgs; capabilityArgs: CapabilityArgs } {
  try {
    return { args: cniArgs(pod), capabilityArgs: capabilityArgs(pod, []) };
  } catch {
    return { args: [], capabilityArgs: {} };
  }
}
