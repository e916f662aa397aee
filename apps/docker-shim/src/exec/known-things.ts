import { ContainerState } from '@stowage/cri-proto';
import { FailedPreconditionError } from '@stowage/errors';
import type { Containers } from '../container/containers';
import type { Pods } from '../pod/pods';
import type { RunningContainer, RunningSandbox, RunningThings } from './running-things';

/** Containers and sandboxes that run, as the engine has them. */
export class KnownThings implements RunningThings {
  constructor(
    private readonly containers: Pick<Containers, 'get'>,
    private readonly pods: Pick<Pods, 'get'>,
  ) {}

  async container(given: string, signal = neverAborted): Promise<RunningContainer> {
    const { id, state, pid, inspected } = await this.containers.get(given, { signal });
    if (state !== ContainerState.CONTAINER_RUNNING || pid === undefined) {
      throw new FailedPreconditionError(`container ${id} is not running`);
    }
    const {
      Tty: tty = false,
      OpenStdin: openStdin = false,
      StdinOnce: stdinOnce = false,
    } = inspected.Config ?? {};
    return { id, pid, tty, openStdin, stdinOnce };
  }

  async sandbox(given: string, signal = neverAborted): Promise<RunningSandbox> {
    const { id, pid, networkMode } = await this.pods.get(given, { signal });
    if (pid === undefined) throw new FailedPreconditionError(`pod sandbox ${id} is not running`);
    return { id, pid, hostNetwork: networkMode === 'host' };
  }
}

const neverAborted = new AbortController().signal;
