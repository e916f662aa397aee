import { ContainerState } from '@stowage/cri-proto';
import { errorMessage, StowageError } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import { EachConnection } from '../engine/each-connection';
import type { EngineConnection } from '../engine/engine-connection';
import { inParallel } from '../engine/in-parallel';
import type { ContainerLogs } from '../log/container-logs';
import type { PodQueue } from '../pod/pod-queue';
import type { ContainerRecords } from './container-records';
import type { Containers, LocatedContainer } from './containers';
import type { ImageFiles } from './image-files';

/** Containers at once. */
const parallel = 8;
/** How long the log of a container that is gone may still be copied, milliseconds. */
const lastLinesMs = 30_000;

export interface ContainerUpkeepParts {
  readonly connection: Pick<EngineConnection, 'availability' | 'onAvailability'>;
  readonly containers: Pick<Containers, 'list' | 'find'>;
  readonly records: Pick<ContainerRecords, 'ids' | 'remove'>;
  readonly files: Pick<ImageFiles, 'removeLeftovers'>;
  readonly queue: Pick<PodQueue, 'run'>;
  readonly logs: Pick<
    ContainerLogs,
    'follow' | 'isFollowed' | 'ended' | 'hasEnded' | 'removed' | 'keepOnly'
  >;
  readonly log: Pick<Logger, 'warn'>;
}

/**
 * What is due when the engine is back: logs of containers are followed. The first time also what
 * they wrote while this process was not there, and what is kept of containers that are gone is
 * forgotten.
 */
export class ContainerUpkeep {
  readonly #connections: EachConnection;
  #isFirst = true;

  constructor(private readonly parts: ContainerUpkeepParts) {
    this.#connections = new EachConnection(parts.connection, (signal) => this.#run(signal));
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  /**
   * To be called when the engine has started a container, whoever wanted that: somebody may have
   * started it again, or StartContainer has given up before the engine did. Never rejects.
   */
  async started({ id, sandboxId }: LocatedContainer): Promise<void> {
    const { queue, logs } = this.parts;
    const { signal } = this.#connections;
    const isAgain = logs.hasEnded(id);
    // StartContainer has the log followed before the next call of the pod has its turn.
    const follow = async () => {
      if (isAgain || !logs.isFollowed(id)) await this.#follow(id);
    };
    // Without the engine nothing is followed: its next connection begins with that.
    await queue.run(sandboxId, follow, { signal }).catch(() => undefined);
  }

  /** To be called when the engine has removed a container, whoever wanted that. Never rejects. */
  async gone(id: string): Promise<void> {
    const { records, logs, log } = this.parts;
    try {
      await logs.ended(id, { withinMs: lastLinesMs });
      await logs.removed(id);
      await records.remove(id);
    } catch (error) {
      const fields = { containerId: id, reason: errorMessage(error) };
      log.warn(fields, 'what is kept of a container that is gone could not be removed');
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { containers, records, files, logs, log } = this.parts;
    try {
      // Read first: a container that is created meanwhile is not among them.
      const kept = records.ids();
      const listed = await containers.list({ signal });
      const ids = new Set(listed.map(({ id }) => id));
      if (this.#isFirst) logs.keepOnly(ids);
      const followed = listed.filter(
        ({ state, logPath }) => logPath !== '' && this.#isFollowed(state),
      );
      await inParallel(parallel, followed, ({ id }) => this.#follow(id));
      if (!this.#isFirst) return;
      // Last: where something cannot be removed, logs are copied all the same.
      for (const id of kept) if (!ids.has(id)) await records.remove(id);
      await files.removeLeftovers({ signal });
      this.#isFirst = false;
    } catch (error) {
      if (signal.aborted) return;
      const fields = { reason: errorMessage(error) };
      log.warn(fields, 'containers could not be looked at after the engine was connected');
    }
  }

  /** One that has ended may have written what is not copied yet. */
  #isFollowed(state: ContainerState): boolean {
    if (state === ContainerState.CONTAINER_RUNNING) return true;
    return this.#isFirst && state === ContainerState.CONTAINER_EXITED;
  }

  async #follow(id: string): Promise<void> {
    const { signal } = this.#connections;
    const { containers, logs, log } = this.parts;
    try {
      const container = await containers.find(id, { signal });
      if (container === undefined) return;
      const { state, logMode: mode, logPath, inspected } = container;
      const enginePath = inspected.LogPath ?? '';
      // Where it could not be started, there is none.
      if (logPath === '' || enginePath === '') return;
      await logs.follow({ id, mode, logPath, enginePath });
      if (state === ContainerState.CONTAINER_EXITED) await logs.ended(id, { withinMs: 0 });
    } catch (error) {
      // Without the engine nothing is followed: that is repeated when it is back.
      if (isUnavailable(error) || signal.aborted) throw error;
      const fields = { containerId: id, reason: errorMessage(error) };
      log.warn(fields, 'the log of a container cannot be written');
    }
  }
}

const isUnavailable = (error: unknown): boolean =>
  error instanceof StowageError && error.grpcStatus === 'UNAVAILABLE';
