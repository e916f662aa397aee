import { FailedPreconditionError, NotFoundError } from '@stowage/errors';
import type { DockerEngine } from '@stowage/testing';
import type { RunningThings } from '../exec/running-things';

interface Inspected {
  readonly Id: string;
  readonly State: { readonly Running: boolean; readonly Pid: number };
  readonly Config: {
    readonly Tty: boolean;
    readonly OpenStdin: boolean;
    readonly StdinOnce: boolean;
  };
  readonly HostConfig: { readonly NetworkMode: string };
}

/** What runs in an engine, by an inspect for each question; each container is a sandbox, too. */
export function inspectedThings(docker: Pick<DockerEngine, 'api'>): RunningThings {
  const inspect = async (id: string): Promise<Inspected> => {
    const found = (await docker.api('GET', `/containers/${id}/json`).catch((error: unknown) => {
      if (String(error).includes('with 404')) throw new NotFoundError('container', id);
      throw error;
    })) as Inspected;
    if (!found.State.Running) throw new FailedPreconditionError(`container ${id} is not running`);
    return found;
  };
  return {
    container: async (id) => {
      const { Id, State, Config } = await inspect(id);
      const { Tty: tty, OpenStdin: openStdin, StdinOnce: stdinOnce } = Config;
      return { id: Id, pid: State.Pid, tty, openStdin, stdinOnce };
    },
    sandbox: async (id) => {
      const { Id, State, HostConfig } = await inspect(id);
      return { id: Id, pid: State.Pid, hostNetwork: HostConfig.NetworkMode === 'host' };
    },
  };
}
