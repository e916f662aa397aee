import { ContainerState } from '@stowage/cri-proto';
import type { EngineConnection } from '../engine/engine-connection';
import { isNotFound } from '../engine/engine-errors';
import { untilAborted } from '../until-aborted';
import type { Containers } from './containers';

/** Beyond the grace, milliseconds. */
const stopLimitMs = 120_000;
const maxGraceSeconds = 2 ** 31 - 1;
/** Longest time that a timer can wait for, milliseconds. */
const maxTimerMs = 2 ** 31 - 1;

/** StopContainer. */
export class StopContainer {
  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly containers: Pick<Containers, 'resolve' | 'find' | 'stopped'>,
  ) {}

  /**
   * Sends a container its stop signal, and SIGKILL after `timeoutSeconds` (at once for 0 and less);
   * resolves when it has ended. One that is not there, or does not run, is fine. It waits for no
   * other call about the pod: the shortest of several time-outs counts. Once the engine knows, it
   * goes on, also when the caller does not wait.
   */
  async stop(
    given: string,
    timeoutSeconds: bigint,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<void> {
    const id = await this.containers.resolve(given, { signal });
    const container = id === undefined ? undefined : await this.containers.find(id, { signal });
    if (container?.state !== ContainerState.CONTAINER_RUNNING) return;
    const grace = Math.min(Math.max(Number(timeoutSeconds), 0), maxGraceSeconds);
    const limitMs = grace * 1000 + stopLimitMs;
    const timeoutMs = limitMs > maxTimerMs ? Infinity : limitMs;
    try {
      const { client } = this.connection.engine();
      await untilAborted(client.stopContainer(container.id, grace, { timeoutMs }), signal);
      this.containers.stopped(container.id);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
