import {
  NamespaceMode,
  PodSandboxStatusResponse,
  type ContainerStatus,
  type NamespaceOption,
  type PodSandboxNetworkStatus,
} from '@stowage/cri-proto';
import { engineIps } from '../network/bridge-network';
import type { PodNetwork } from '../network/pod-network';
import { stateOf } from './list-pod-sandboxes';
import type { InspectedSandbox, Pods } from './pods';
import type { SandboxRecords } from './sandbox-records';

/** The statuses of all containers of a sandbox. */
export type ContainerStatuses = (
  sandboxId: string,
  options: { readonly signal: AbortSignal },
) => Promise<ContainerStatus[]>;

/** PodSandboxStatus. */
export class PodSandboxStatus {
  constructor(
    private readonly pods: Pick<Pods, 'get'>,
    private readonly records: Pick<SandboxRecords, 'get'>,
    private readonly network: Pick<PodNetwork, 'ips' | 'result'>,
    private readonly containerStatuses: ContainerStatuses,
    private readonly now: () => number = Date.now,
  ) {}

  /** @throws {NotFoundError} @throws {InvalidArgumentError} when several ids begin so. */
  async status(
    given: string,
    { verbose = false, signal }: { readonly verbose?: boolean; readonly signal: AbortSignal },
  ): Promise<PodSandboxStatusResponse> {
    const timestamp = BigInt(this.now()) * 1_000_000n;
    const sandbox = await this.pods.get(given, { signal });
    const { id, metadata, labels, annotations, runtimeHandler, createdNs } = sandbox;
    const [network, containersStatuses, info] = await Promise.all([
      this.#network(sandbox),
      this.containerStatuses(id, { signal }),
      verbose ? this.#info(sandbox) : {},
    ]);
    return PodSandboxStatusResponse.fromPartial({
      status: {
        id,
        metadata,
        state: stateOf(sandbox),
        createdAt: createdNs,
        network,
        linux: { namespaces: { options: namespaces(sandbox) } },
        labels,
        annotations,
        runtimeHandler,
      },
      info,
      containersStatuses,
      timestamp,
    });
  }

  /** Empty for pods on the host's network, and for those that are not ready. */
  async #network(sandbox: InspectedSandbox): Promise<PodSandboxNetworkStatus> {
    const [ip = '', ...others] = await this.#ips(sandbox);
    return { ip, additionalIps: others.map((other) => ({ ip: other })) };
  }

  async #ips(sandbox: InspectedSandbox): Promise<readonly string[]> {
    const { id, ready, networkMode, pid, container } = sandbox;
    if (!ready || networkMode === 'host') return [];
    if (networkMode !== 'none') return engineIps(container);
    return (await this.network.ips(id, pid)) ?? [];
  }

  async #info({ id, pid, container }: InspectedSandbox): Promise<Record<string, string>> {
    const { resources, overhead } = this.records.get(id) ?? {};
    const info = {
      pid,
      image: container.Config?.Image,
      imageId: container.Image,
      netns: pid === undefined ? undefined : `/proc/${pid}/ns/net`,
      cniResult: await this.network.result(id),
      runtime: container.HostConfig?.Runtime,
      resources,
      overhead,
    };
    return { info: JSON.stringify(info, numbers) };
  }
}

/** JSON has no bigints; what it would show of unknown fields are bytes. */
function numbers(key: string, value: unknown): unknown {
  if (key === '_unknownFields') return undefined;
  return typeof value === 'bigint' ? Number(value) : value;
}

function namespaces({ container }: InspectedSandbox): NamespaceOption {
  const { NetworkMode, PidMode, IpcMode } = container.HostConfig ?? {};
  const shared = (mode: string | undefined) =>
    mode === 'host' ? NamespaceMode.NODE : NamespaceMode.POD;
  return {
    network: shared(NetworkMode),
    pid: shared(PidMode),
    ipc: shared(IpcMode),
    targetId: '',
    usernsOptions: undefined,
  };
}
