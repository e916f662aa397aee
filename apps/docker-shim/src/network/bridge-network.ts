import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { InspectedContainer } from '../engine/engine-client';
import type { EngineConnection } from '../engine/engine-connection';
import { isNotFound } from '../engine/engine-errors';
import type { NetworkPod, PodNetwork } from './pod-network';

export interface BridgeNetworkOptions {
  /** Whether a pod reaches itself through its own service: `hairpin_mode` of its bridge port. */
  readonly hairpin?: boolean;
  /** Where the kernel shows processes and devices. Default `/`. */
  readonly root?: string;
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

  /** The addresses are the engine's: {@link ips} has them. */
  async add({ pid }: NetworkPod): Promise<readonly string[]> {
    if (this.options.hairpin === true) await this.#hairpin(pid);
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

  /** Finds the bridge's end of the pod's device, by the index that the pod's end names. */
  async #hairpin(pid: number): Promise<void> {
    const { root = '/' } = this.options;
    const net = 'sys/class/net';
    const peer = path.join(root, `proc/${pid}/root`, net, 'eth0/iflink');
    const index = (await readFile(peer, 'utf8')).trim();
    for (const device of await readdir(path.join(root, net))) {
      const folder = path.join(root, net, device);
      const own = await readFile(path.join(folder, 'ifindex'), 'utf8').catch(() => '');
      if (own.trim() === index) return writeFile(path.join(folder, 'brport/hairpin_mode'), '1');
    }
    throw new Error(`the bridge's end of the pod's network device (index ${index}) is not there`);
  }
}

/** The addresses that the engine gave a container: of each network, that of IPv4 before IPv6. */
export function engineIps({ NetworkSettings }: InspectedContainer): string[] {
  return Object.values(NetworkSettings?.Networks ?? {})
    .flatMap(({ IPAddress = '', GlobalIPv6Address = '' }) => [IPAddress, GlobalIPv6Address])
    .filter((ip) => ip !== '');
}
