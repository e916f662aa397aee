import { ContainerState } from '@stowage/cri-proto';
import { errorMessage, FailedPreconditionError, NotFoundError } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import type { EngineConnection } from '../engine/engine-connection';
import { EngineResponseError, isConflict, isNotFound } from '../engine/engine-errors';
import type { PodQueue } from '../pod/pod-queue';
import type { CgroupFinder } from '../stats/cgroup-dirs';
import type { Logs } from './container-log';
import type { ContainerRecords } from './container-records';
import type { Containers, InspectedAppContainer } from './containers';
import { processUserOf, writeLimits } from './first-process';

/** For the end of a container that nobody wants any more, milliseconds. */
const cleanUpMs = 30_000;

interface Call {
  readonly signal: AbortSignal;
}

export interface StartContainerParts {
  readonly connection: Pick<EngineConnection, 'engine'>;
  readonly containers: Pick<Containers, 'locate' | 'find' | 'startFailed'>;
  readonly queue: Pick<PodQueue, 'run'>;
  readonly records: Pick<ContainerRecords, 'get' | 'set'>;
  readonly logs: Pick<Logs, 'follow' | 'ended'>;
  readonly cgroups: Pick<CgroupFinder, 'find' | 'holds'>;
  readonly log: Pick<Logger, 'warn'>;
}

/** StartContainer. */
export class StartContainer {
  constructor(private readonly parts: StartContainerParts) {}

  /**
   * Starts a container that was created; one that runs is fine. When the caller gives up, it does
   * not run on.
   *
   * @throws {NotFoundError}
   * @throws {FailedPreconditionError} for one that has run, or could not be started, before.
   */
  async start(given: string, { signal }: Call): Promise<void> {
    const { containers, queue } = this.parts;
    const located = await containers.locate(given, { signal });
    if (located === undefined) throw new NotFoundError('container', given);
    const { id, sandboxId } = located;
    await queue.run(sandboxId, () => this.#start(id, { signal }), { signal });
  }

  async #start(id: string, { signal }: Call): Promise<void> {
    const container = await this.#found(id, { signal });
    if (container.state === ContainerState.CONTAINER_RUNNING) return;
    if (container.state !== ContainerState.CONTAINER_CREATED) {
      throw new FailedPreconditionError(
        `container ${id.slice(0, 12)} has ended; it cannot be started again`,
      );
    }
    try {
      // Not given up with the caller: the engine would go on, and it would not be known when.
      await this.parts.connection.engine().client.startContainer(id);
    } catch (error) {
      await this.#failed(id);
      throw isNotFound(error) ? await this.#missing(id, error) : error;
    }
    try {
      signal.throwIfAborted();
      await this.#started(id, { signal });
    } catch (error) {
      await this.#kill(id);
      throw error;
    }
  }

  async #started(id: string, { signal }: Call): Promise<void> {
    const { records, logs, cgroups, log } = this.parts;
    const container = await this.#found(id, { signal });
    const { pid, state, logMode: mode, logPath, inspected } = container;
    const record = records.get(id);
    const missing = (file: string) =>
      log.warn({ containerId: id, file }, 'the control group has no such file for a limit');
    const user = pid && processUserOf(pid, id, cgroups);
    await Promise.all([
      pid && writeLimits(record.limits, pid, id, cgroups, missing),
      logs
        .follow({ id, mode, logPath, enginePath: inspected.LogPath ?? '' })
        .catch((error: unknown) => {
          const fields = { containerId: id, reason: errorMessage(error) };
          log.warn(fields, 'the log of a container cannot be written');
        }),
    ]);
    // Its event of that came before the log was followed.
    if (state === ContainerState.CONTAINER_EXITED) await logs.ended(id, { withinMs: 0 });
    if (user) {
      await records.set(id, { ...record, user }).catch((error: unknown) => {
        const fields = { containerId: id, reason: errorMessage(error) };
        log.warn(fields, 'the user of a container will not be known after a restart');
      });
    }
  }

  async #found(id: string, call: Call): Promise<InspectedAppContainer> {
    const container = await this.parts.containers.find(id, call);
    if (container === undefined) throw new NotFoundError('container', id);
    return container;
  }

  /** The engine lists it as created; an inspection shows whether it will not start any more. */
  async #failed(id: string): Promise<void> {
    const signal = AbortSignal.timeout(cleanUpMs);
    const container = await this.parts.containers.find(id, { signal }).catch(() => undefined);
    if (container?.state === ContainerState.CONTAINER_EXITED) this.parts.containers.startFailed(id);
  }

  /** What is not there: the container, or its sandbox, whose namespaces it was to have. */
  async #missing(id: string, error: unknown): Promise<unknown> {
    const signal = AbortSignal.timeout(cleanUpMs);
    const container = await this.parts.containers.find(id, { signal }).catch(() => undefined);
    if (container === undefined) return new NotFoundError('container', id, { cause: error });
    return new FailedPreconditionError(errorMessage(error), { cause: error });
  }

  async #kill(id: string): Promise<void> {
    const { connection, log } = this.parts;
    try {
      const signal = AbortSignal.timeout(cleanUpMs);
      await connection.engine().client.killContainer(id, { signal });
    } catch (error) {
      if (isNotFound(error) || isConflict(error)) return;
      const status = error instanceof EngineResponseError ? error.status : undefined;
      const fields = { containerId: id, status, reason: errorMessage(error) };
      log.warn(fields, 'a container whose start was given up could not be killed');
    }
  }
}
