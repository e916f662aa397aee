import type { DNSConfig, PortMapping } from '@stowage/cri-proto';

/** A running sandbox that is to get its network. */
export interface NetworkPod {
  readonly sandboxId: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Of the sandbox's process, whose network namespace it is. */
  readonly pid: number;
  readonly portMappings: readonly PortMapping[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly dns?: DNSConfig;
}

/** A sandbox that is to lose its network; what is not known of it any more is empty. */
export interface RemovedPod extends Omit<NetworkPod, 'pid'> {
  /** Absent when its process has ended. */
  readonly pid?: number;
}

/** Gives pods their network. Pods on the host's network are no concern of it. */
export interface PodNetwork {
  /** Why pods cannot get a network now, in a sentence; undefined when they can. */
  readiness(): Promise<string | undefined>;
  /** Sets the network up and returns the pod's addresses, the first one first. */
  add(pod: NetworkPod, options: { readonly signal: AbortSignal }): Promise<readonly string[]>;
  /** Takes the network down; one that is down already is fine. */
  remove(pod: RemovedPod, options: { readonly signal: AbortSignal }): Promise<void>;
  /** The addresses of a pod, the first one first; undefined when it has no network. */
  ips(sandboxId: string): Promise<readonly string[] | undefined>;
  /** Ranges that pods get their addresses from, from now on. */
  setPodCidrs(cidrs: readonly string[]): void;
  /** What is known of a pod's network, for people; undefined for nothing. */
  result(sandboxId: string): Promise<unknown>;
  /** Removes what is left of the networks of pods that are not among the live ones. */
  collectGarbage(liveSandboxIds: readonly string[]): Promise<void>;
  close(): void;
}
