import { ContainerState } from '@stowage/cri-proto';
import { FailedPreconditionError } from '@stowage/errors';
import type { ContainerLogs } from '../log/container-logs';
import type { Containers } from './containers';

/** ReopenContainerLog. */
export class ReopenContainerLog {
  constructor(
    private readonly containers: Pick<Containers, 'get'>,
    private readonly logs: Pick<ContainerLogs, 'reopen'>,
  ) {}

  /**
   * Goes on in a new file at the path of a container's log; resolves when that is open.
   *
   * @throws {NotFoundError} @throws {FailedPreconditionError} for a container that does not run.
   * @throws {UnimplementedError} for a log that is a link to the engine's file.
   */
  async reopen(given: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { id, state } = await this.containers.get(given, { signal });
    if (state !== ContainerState.CONTAINER_RUNNING) {
      throw new FailedPreconditionError(`container ${id.slice(0, 12)} does not run`);
    }
    await this.logs.reopen(id);
  }
}
