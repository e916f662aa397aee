import { ContainerState } from '@stowage/cri-proto';
import type { EngineConnection } from '../engine/engine-connection';
import { ensureRemoved } from '../engine/ensure-removed';
import { unlinkLog } from '../log/log-link';
import type { PodQueue } from '../pod/pod-queue';
import type { Logs } from './container-log';
import type { ContainerRecords } from './container-records';
import type { Containers } from './containers';

/** How long a removal waits for the end of the container's log, milliseconds. */
const logWithinMs = 1000;

interface Call {
  readonly signal: AbortSignal;
}

export interface RemoveContainerParts {
  readonly connection: Pick<EngineConnection, 'engine'>;
  readonly containers: Pick<Containers, 'locate' | 'find' | 'removed'>;
  readonly queue: Pick<PodQueue, 'run'>;
  readonly records: Pick<ContainerRecords, 'remove'>;
  readonly logs: Pick<Logs, 'ended' | 'removed'>;
}

/** RemoveContainer: a container goes, running or not, with its anonymous volumes. */
export class RemoveContainer {
  constructor(private readonly parts: RemoveContainerParts) {}

  /** One that is not there is fine. A copied log stays; a link into the engine's folder goes. */
  async remove(given: string, { signal }: Call): Promise<void> {
    const { containers, queue } = this.parts;
    const located = await containers.locate(given, { signal });
    if (located === undefined) return;
    const { id, sandboxId } = located;
    await queue.run(sandboxId, () => this.#remove(id, { signal }), { signal });
  }

  async #remove(id: string, { signal }: Call): Promise<void> {
    const { connection, containers, records, logs } = this.parts;
    const container = await containers.find(id, { signal });
    if (container !== undefined) {
      // The engine's files go with the container: what has been rotated is to be copied before.
      if (container.state === ContainerState.CONTAINER_EXITED) {
        await logs.ended(id, { withinMs: logWithinMs });
      }
      await ensureRemoved(connection.engine().client, id, { signal });
      const { logMode, logPath, inspected } = container;
      if (logMode === 'link' && logPath !== '' && inspected.LogPath) {
        await unlinkLog(logPath, inspected.LogPath);
      }
    }
    await logs.ended(id, { withinMs: logWithinMs });
    await logs.removed(id);
    await records.remove(id);
    containers.removed(id);
  }
}
