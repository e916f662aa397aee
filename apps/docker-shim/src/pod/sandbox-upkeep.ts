import { errorMessage } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { EachConnection } from '../engine/each-connection';
import type { EngineConnection } from '../engine/engine-connection';
import { inParallel } from '../engine/in-parallel';
import type { PodNetwork } from '../network/pod-network';
import type { Checkpoints } from './checkpoints';
import type { Pods } from './pods';
import { restoreResolvConf } from './resolv-conf';
import type { SandboxRecords } from './sandbox-records';

/** Sandboxes at once. */
const parallel = 8;

export interface SandboxUpkeepParts {
  readonly connection: Pick<EngineConnection, 'availability' | 'onAvailability'>;
  readonly pods: Pick<Pods, 'list' | 'find'>;
  readonly checkpoints: Pick<Checkpoints, 'ids'>;
  readonly records: Pick<SandboxRecords, 'ids' | 'remove'>;
  readonly network: Pick<PodNetwork, 'collectGarbage'>;
  readonly log: Pick<Logger, 'warn'>;
}

/**
 * What is due when the engine is back: it may have written the files of its containers anew. The
 * first time also the networks of pods that are gone are removed, and what is kept of these pods.
 */
export class SandboxUpkeep {
  readonly #connections: EachConnection;
  #collected = false;

  constructor(private readonly parts: SandboxUpkeepParts) {
    this.#connections = new EachConnection(parts.connection, (signal) => this.#run(signal));
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  /** To be called when the engine has started a sandbox's container by itself. */
  async restarted(sandboxId: string): Promise<void> {
    const { signal } = this.#connections;
    try {
      const sandbox = await this.parts.pods.find(sandboxId, { signal });
      if (sandbox?.running === true) await restoreResolvConf(sandbox.container);
    } catch (error) {
      if (signal.aborted) return;
      const fields = { podSandboxId: sandboxId, reason: errorMessage(error) };
      this.parts.log.warn(fields, 'the resolv.conf of a pod sandbox could not be looked at');
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { pods, checkpoints, records, network, log } = this.parts;
    try {
      // Read first: a sandbox that is made meanwhile is among both.
      const recorded = records.ids();
      const kept = await checkpoints.ids();
      const sandboxes = await pods.list({ signal });
      const running = sandboxes.filter((sandbox) => sandbox.running);
      await inParallel(parallel, running, ({ id }) => this.restarted(id));
      if (this.#collected) return;
      const live = new Set([...kept, ...sandboxes.map(({ id }) => id)]);
      for (const id of recorded) if (!live.has(id)) await records.remove(id);
      await network.collectGarbage([...live]);
      this.#collected = true;
    } catch (error) {
      if (signal.aborted) return;
      log.warn(
        { reason: errorMessage(error) },
        'pod sandboxes could not be looked at after the engine was connected',
      );
    }
  }
}
