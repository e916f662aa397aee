import type { DNSConfig, PortMapping } from '@stowage/cri-proto';

/** A pod whose sandbox runs, as far as its network is concerned. */
export interface NetworkPod {
  readonly sandboxId: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Of the sandbox's process. */
  readonly pid: number;
  readonly portMappings: readonly PortMapping[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly dns?: DNSConfig;
}

/** A pod whose network is to go. */
export interface RemovedPod extends Omit<NetworkPod, 'pid'> {
  /** Of the sandbox's process, while there is one. */
  readonly pid?: number;
}

/** Where a pod's network comes from: CNI, or Docker's own bridge. */
export interface PodNetwork {
  /**
   * Why the condition NetworkReady is not true, as its message; undefined when it is. Never throws.
   * A plugin that has STATUS is asked at most once in ten seconds.
   */
  readiness(): Promise<string | undefined>;
  /** Name of the CNI network that new pods get; empty for none. Never rejects. */
  networkName(): Promise<string>;
  /**
   * Sets up the network of a sandbox whose process runs. When it rejects, the pod has none, unless
   * the error is a {@link PodNetworkLeftError}.
   *
   * @returns the pod's addresses, its first one first.
   */
  add(pod: NetworkPod, options: { readonly signal: AbortSignal }): Promise<readonly string[]>;
  /** Takes the network away; succeeds when there is none. */
  remove(pod: RemovedPod, options: { readonly signal: AbortSignal }): Promise<void>;
  /**
   * Addresses of a sandbox, without starting a process; undefined when nothing is known. With the
   * sandbox's process, one of which nothing was kept is looked at in its namespace, once.
   */
  ips(sandboxId: string, pid?: number): Promise<readonly string[] | undefined>;
  /**
   * Ranges of the node's pods, from UpdateRuntimeConfig. None changes nothing.
   *
   * @throws {InvalidArgumentError} for what is no range.
   */
  setPodCidrs(cidrs: readonly string[]): void;
  /** What was answered when the network of a sandbox was set up, for verbose status. */
  result(sandboxId: string): Promise<unknown>;
  /**
   * Once after the start: takes away what belongs to sandboxes that are no more. Failures are
   * logged.
   */
  collectGarbage(liveSandboxIds: readonly string[]): Promise<void>;
  close(): void;
}
