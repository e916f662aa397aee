import { ContainerState } from '@stowage/cri-proto';
import { FailedPreconditionError } from '@stowage/errors';
import type { ContainerLogs } from '../log/container-logs';
import type { Containers } from './containers';

/** ReopenContainerLog. */
export class ReopenContainerLog {
  constructor(
    private readonly containers: Pick<Containers, 'get'>,
    private readonly logs: Pick<ContainerLogs, 'isFollowed' | 'follow' | 'reopen'>,
  ) {}

  /**
   * Goes on in a new file at the path of a container's log; resolves when that is open.
   *
   * @throws {NotFoundError} @throws {FailedPreconditionError} for a container that does not run.
   * @throws {UnimplementedError} for a log that is a link to the engine's file.
   */
  async reopen(given: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const container = await this.containers.get(given, { signal });
    const { id, state, logMode: mode, logPath, inspected } = container;
    if (state !== ContainerState.CONTAINER_RUNNING) {
      throw new FailedPreconditionError(`container ${id.slice(0, 12)} does not run`);
    }
    // After a start of this process the logs are looked for one after the other.
    if (!this.logs.isFollowed(id)) {
      await this.logs.follow({ id, mode, logPath, enginePath: inspected.LogPath ?? '' });
    }
    await this.logs.reopen(id);
  }
}
