import { errorMessage, FailedPreconditionError } from '@stowage/errors';
import { askStatus, hasStatusAndGc } from './cni-calls';
import { isObject, type NetworkList } from './cni-config';
import type { CniConfigFolder } from './cni-config-folder';
import type { CniPlugins } from './cni-plugins';
import type { PodCidrs } from './pod-cidrs';

/** How long what STATUS answered counts, milliseconds. */
const statusLastsMs = 10_000;

export interface NewPodNetworkParts {
  readonly folder: Pick<CniConfigFolder, 'current'>;
  readonly plugins: CniPlugins;
  readonly cidrs: Pick<PodCidrs, 'current'>;
  /** Milliseconds. */
  readonly now: () => number;
  /** Ends questions to plugins. */
  readonly signal: AbortSignal;
}

/** Whether new pods can get a network now. */
export class NewPodNetwork {
  #status: { text: string; at: number; problem: Promise<string | undefined> } | undefined;

  constructor(private readonly parts: NewPodNetworkParts) {}

  /** Why they cannot; undefined when they can. Never rejects. */
  async problem(): Promise<string | undefined> {
    const choice = await this.parts.folder.current();
    if ('problem' in choice) return choice.problem;
    return this.#rangesProblem(choice.list) ?? (await this.#statusProblem(choice.list));
  }

  /**
   * The network that they get. What STATUS answers does not keep a pod from it: the plugins fail
   * where they cannot add one.
   *
   * @throws {FailedPreconditionError}
   */
  async list(): Promise<NetworkList> {
    const choice = await this.parts.folder.current();
    if ('problem' in choice) throw notReady(choice.problem);
    const problem = this.#rangesProblem(choice.list);
    if (problem !== undefined) throw notReady(problem);
    return choice.list;
  }

  /** Address management that gets its ranges from kubelet cannot work before kubelet says them. */
  #rangesProblem({ name, plugins }: NetworkList): string | undefined {
    if (this.parts.cidrs.current.length > 0) return undefined;
    const lacks = plugins.some(({ capabilities, raw: { ipam } }) => {
      const own = isObject(ipam) && (ipam.ranges !== undefined || ipam.subnet !== undefined);
      return capabilities.has('ipRanges') && !own;
    });
    return lacks ? `network ${name} needs the node's pod CIDR, which is not known yet` : undefined;
  }

  #statusProblem(list: NetworkList): Promise<string | undefined> | undefined {
    if (!hasStatusAndGc(list)) return undefined;
    const { plugins, now, signal } = this.parts;
    const at = now();
    const last = this.#status;
    if (last?.text === list.text && at - last.at < statusLastsMs) return last.problem;
    const problem = askStatus(plugins, list, { signal }).then(() => undefined, errorMessage);
    this.#status = { text: list.text, at, problem };
    return problem;
  }
}

export const notReady = (problem: string) =>
  new FailedPreconditionError(`the pod network is not ready: ${problem}`);
