import type { EngineConnection } from '../engine/engine-connection';
import { isConflict, isNotFound } from '../engine/engine-errors';
import { ensureRemoved } from '../engine/ensure-removed';
import { inParallel } from '../engine/in-parallel';
import type { PodNetwork } from '../network/pod-network';
import type { Checkpoints } from './checkpoints';
import { sandboxIdLabel } from './labels';
import type { InspectedSandbox, Pods } from './pods';
import { dnsOf } from './resolv-conf';
import type { SandboxRecords } from './sandbox-records';

/** How long a sandbox has to end by itself, seconds. */
const graceSeconds = 10;
/** Beyond the grace, milliseconds. */
const stopLimitMs = 120_000;
/** Containers at once. */
const parallel = 8;

interface Call {
  readonly signal: AbortSignal;
}

export interface TeardownParts {
  readonly connection: Pick<EngineConnection, 'engine'>;
  readonly pods: Pick<Pods, 'find'>;
  readonly checkpoints: Pick<Checkpoints, 'read' | 'remove'>;
  readonly records: Pick<SandboxRecords, 'get' | 'set' | 'remove'>;
  readonly network: Pick<PodNetwork, 'remove' | 'result'>;
}

/**
 * Stops and removes sandboxes. What is gone already is fine, at each step; a step that fails leaves
 * what is needed to repeat it.
 */
export class SandboxTeardown {
  constructor(private readonly parts: TeardownParts) {}

  /** Ends all containers that run in a sandbox. */
  async killContainers(sandboxId: string, { signal }: Call): Promise<void> {
    const { client } = this.parts.connection.engine();
    const running = await this.#containersIn(sandboxId, { signal }, [
      'running',
      'paused',
      'restarting',
    ]);
    await inParallel(parallel, running, async (id) => {
      try {
        await client.killContainer(id, { signal });
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
    });
  }

  /** Ends the containers of a sandbox, takes its network down, and ends the sandbox itself. */
  async stop(sandboxId: string, { signal }: Call): Promise<void> {
    const sandbox = await this.parts.pods.find(sandboxId, { signal });
    await this.#stop(sandboxId, sandbox, { signal });
  }

  /** Removes a sandbox and its containers, whether they run or not, and all that is kept of it. */
  async remove(sandboxId: string, { signal }: Call): Promise<void> {
    const { connection, pods, checkpoints, records } = this.parts;
    const sandbox = await pods.find(sandboxId, { signal });
    if (sandbox?.running === true) await this.#stop(sandboxId, sandbox, { signal });
    else await this.#removeNetwork(sandboxId, sandbox, { signal });
    const { client } = connection.engine();
    const containers = await this.#containersIn(sandboxId, { signal });
    await inParallel(parallel, containers, (id) => ensureRemoved(client, id, { signal }));
    if (sandbox !== undefined) await ensureRemoved(client, sandboxId, { signal });
    await checkpoints.remove(sandboxId);
    await records.remove(sandboxId);
  }

  async #stop(id: string, sandbox: InspectedSandbox | undefined, { signal }: Call): Promise<void> {
    await this.killContainers(id, { signal });
    await this.#removeNetwork(id, sandbox, { signal });
    if (sandbox?.running !== true) return;
    const timeoutMs = graceSeconds * 1000 + stopLimitMs;
    try {
      const { client } = this.parts.connection.engine();
      await client.stopContainer(id, graceSeconds, { signal, timeoutMs });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /**
   * Whether it is up is not always known, after a crash for instance: it is taken down unless it
   * was before. The engine's own networks go with the sandbox.
   */
  async #removeNetwork(
    id: string,
    sandbox: InspectedSandbox | undefined,
    { signal }: Call,
  ): Promise<void> {
    const { checkpoints, records, network } = this.parts;
    const record = records.get(id);
    if (record?.phase === 'stopped') return;
    if (sandbox !== undefined && sandbox.networkMode !== 'none') return;
    const checkpoint = await checkpoints.read(id);
    if (sandbox === undefined) {
      if (checkpoint?.hostNetwork === true) return;
      if (checkpoint === undefined && (await network.result(id)) === undefined) return;
    }
    const { name = checkpoint?.name ?? '', namespace = checkpoint?.namespace ?? '' } =
      sandbox?.metadata ?? {};
    await network.remove(
      {
        sandboxId: id,
        name,
        namespace,
        uid: sandbox?.metadata.uid ?? '',
        pid: sandbox?.pid,
        portMappings: checkpoint?.portMappings ?? [],
        annotations: sandbox?.annotations ?? {},
        dns: sandbox && dnsOf(sandbox.container),
      },
      { signal },
    );
    if (sandbox === undefined && checkpoint === undefined) return;
    await records.set(id, { ...record, phase: 'stopped' });
  }

  async #containersIn(
    sandboxId: string,
    { signal }: Call,
    status?: readonly string[],
  ): Promise<string[]> {
    const { client } = this.parts.connection.engine();
    const filters = {
      label: [`${sandboxIdLabel}=${sandboxId}`],
      ...(status && { status }),
    };
    const listed = await client.listContainers(filters, { signal });
    return listed.flatMap(({ Id }) => Id ?? []);
  }
}
