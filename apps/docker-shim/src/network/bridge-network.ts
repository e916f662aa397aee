import type { InspectedContainer } from '../engine/engine-client';
import type { EngineConnection } from '../engine/engine-connection';
import { isNotFound } from '../engine/engine-errors';
import { setHairpin } from './host-bridge';
import type { NetworkPod, PodNetwork } from './pod-network';

export interface BridgeNetworkOptions {
  /** Whether a pod reaches itself through its own service: `hairpin_mode` of its bridge port. */
  readonly hairpin?: boolean;
}

/**
 * Docker's default bridge: the engine gives addresses and publishes ports by itself, when it starts
 * a sandbox.
 */
export class BridgeNetwork implements PodNetwork {
  constructor(
    private readonly connection: Pick<EngineConnection, 'engine' | 'availability'>,
    private readonly options: BridgeNetworkOptions = {},
  ) {}

  /** The bridge is there when the engine is. */
  readiness(): Promise<string | undefined> {
    const { available, reason } = this.connection.availability();
    return Promise.resolve(available ? undefined : (reason ?? 'Docker Engine does not answer'));
  }

  networkName(): Promise<string> {
    return Promise.resolve('');
  }

  /** The addresses are the engine's: {@link ips} has them. */
  async add(
    { pid }: NetworkPod,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<readonly string[]> {
    if (this.options.hairpin === true) await setHairpin(pid, signal);
    return [];
  }

  /** The engine removes it when it stops the sandbox. */
  remove(): Promise<void> {
    return Promise.resolve();
  }

  async ips(sandboxId: string): Promise<readonly string[] | undefined> {
    try {
      return engineIps(await this.connection.engine().client.inspectContainer(sandboxId));
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** The engine has its own ranges. */
  setPodCidrs(): void {
    return undefined;
  }

  result(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  collectGarbage(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    return undefined;
  }
}

/** The addresses that the engine gave a container: of each network, that of IPv4 before IPv6. */
export function engineIps({ NetworkSettings }: InspectedContainer): string[] {
  return Object.values(NetworkSettings?.Networks ?? {})
    .flatMap(({ IPAddress = '', GlobalIPv6Address = '' }) => [IPAddress, GlobalIPv6Address])
    .filter((ip) => ip !== '');
}
