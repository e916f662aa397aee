import { ContainerState, type UpdateContainerResourcesRequest } from '@stowage/cri-proto';
import { NotFoundError } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import type { EngineClient } from '../engine/engine-client';
import type { EngineConnection } from '../engine/engine-connection';
import { EngineResponseError } from '../engine/engine-errors';
import type { PodQueue } from '../pod/pod-queue';
import type { CgroupFinder } from '../stats/cgroup-dirs';
import type { ContainerRecords } from './container-records';
import type { Containers } from './containers';
import { writeLimits } from './first-process';
import {
  cgroupLimits,
  engineResources,
  mergeCgroupLimits,
  type CgroupLimits,
  type EngineResources,
} from './resources';

interface Call {
  readonly signal: AbortSignal;
}

export interface UpdateContainerResourcesParts {
  readonly connection: Pick<EngineConnection, 'engine'>;
  readonly containers: Pick<Containers, 'locate' | 'find'>;
  readonly queue: Pick<PodQueue, 'run'>;
  readonly records: Pick<ContainerRecords, 'get' | 'set'>;
  readonly cgroups: Pick<CgroupFinder, 'find' | 'holds'>;
  readonly log: Pick<Logger, 'warn'>;
}

type Request = Pick<UpdateContainerResourcesRequest, 'containerId' | 'linux'>;

/** UpdateContainerResources. */
export class UpdateContainerResources {
  constructor(private readonly parts: UpdateContainerResourcesParts) {}

  /**
   * Changes the limits that are set in the request, of a container in any state. The OOM score of
   * processes that run is left as it is.
   *
   * @throws {NotFoundError} @throws {InvalidArgumentError}
   */
  async update({ containerId, linux }: Request, { signal }: Call): Promise<void> {
    const { containers, queue } = this.parts;
    const located = await containers.locate(containerId, { signal });
    if (located === undefined) throw new NotFoundError('container', containerId);
    if (linux === undefined) return;
    const { id, sandboxId } = located;
    await queue.run(sandboxId, () => this.#update(id, linux, { signal }), { signal });
  }

  async #update(id: string, linux: NonNullable<Request['linux']>, { signal }: Call): Promise<void> {
    const { connection, containers } = this.parts;
    const { client, info } = connection.engine();
    const limits = cgroupLimits(linux, info.CgroupVersion ?? '1');
    const container = await containers.find(id, { signal });
    if (container === undefined) throw new NotFoundError('container', id);
    const { state, pid, inspected } = container;
    const changes = engineResources(linux, { Memory: inspected.HostConfig?.Memory ?? 0 });
    const isChanged = Object.values<unknown>(changes).some((value) => value !== undefined);
    if (isChanged) await updateEngine(client, id, changes, { signal });
    const isRunning = state === ContainerState.CONTAINER_RUNNING;
    await this.#updateFiles(id, limits, isRunning ? pid : undefined);
  }

  async #updateFiles(id: string, limits: CgroupLimits, pid: number | undefined): Promise<void> {
    if (limits.hugepageLimits.length === 0 && Object.keys(limits.unified).length === 0) return;
    const { records, cgroups, log } = this.parts;
    if (pid !== undefined) {
      await writeLimits(limits, pid, id, cgroups, (file) => {
        log.warn({ containerId: id, file }, 'the control group has no such file for a limit');
      });
    }
    const record = records.get(id);
    await records.set(id, { ...record, limits: mergeCgroupLimits(record.limits, limits) });
  }
}

async function updateEngine(
  client: Pick<EngineClient, 'updateContainer'>,
  id: string,
  changes: EngineResources,
  { signal }: Call,
): Promise<void> {
  try {
    await client.updateContainer(id, changes, { signal });
  } catch (error) {
    if (!(error instanceof EngineResponseError) || error.status < 500) throw error;
    // What the kernel refuses, memory below what is used for instance, the engine calls a failure.
    throw new EngineResponseError(error.operation, 400, error.message);
  }
}
