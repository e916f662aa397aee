import type { RunPodSandboxRequest } from '@stowage/cri-proto';
import { errorMessage, FailedPreconditionError, StowageError } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import type { NewContainer } from '../engine/engine-client';
import type { EngineConnection } from '../engine/engine-connection';
import { EngineResponseError, isNotFound } from '../engine/engine-errors';
import { ensureRemoved } from '../engine/ensure-removed';
import type { PodNetwork } from '../network/pod-network';
import { checkHandler } from '../runtime/runtime-handler';
import type { Checkpoints } from './checkpoints';
import { createNamed, type ConflictResult } from './name-conflict';
import { podKey, type PodQueue } from './pod-queue';
import type { InspectedSandbox, Pods } from './pods';
import { dnsOf, restoreResolvConf } from './resolv-conf';
import {
  checkedConfig,
  isOnHostNetwork,
  sandboxContainer,
  type CheckedConfig,
  type SandboxContainerOptions,
} from './sandbox-container';
import type { SandboxImage } from './sandbox-image';
import type { SandboxRecords } from './sandbox-records';
import type { SandboxTeardown } from './sandbox-teardown';

/** For the removal of what a failed call leaves, milliseconds. */
const cleanUpMs = 30_000;

interface Call {
  readonly signal: AbortSignal;
}

export interface RunPodSandboxParts {
  readonly connection: Pick<EngineConnection, 'engine'>;
  readonly pods: Pick<Pods, 'find' | 'make'>;
  readonly queue: PodQueue;
  readonly checkpoints: Pick<Checkpoints, 'write' | 'remove'>;
  readonly records: Pick<SandboxRecords, 'get' | 'set' | 'remove'>;
  readonly network: Pick<PodNetwork, 'add' | 'remove'>;
  readonly teardown: Pick<SandboxTeardown, 'remove'>;
  readonly image: Pick<SandboxImage, 'name' | 'pull'>;
  readonly log: Pick<Logger, 'warn'>;
  readonly onConflict?: (result: ConflictResult) => void;
}

/** RunPodSandbox. */
export class RunPodSandbox {
  constructor(
    private readonly parts: RunPodSandboxParts,
    private readonly options: Omit<SandboxContainerOptions, 'image'>,
  ) {}

  /**
   * Makes a sandbox, starts it, gives it its network, and returns its id. When one of this fails,
   * or the caller gives up, nothing is left of it; where that fails, too, the sandbox is listed as
   * not ready.
   */
  async run(
    { config: given, runtimeHandler }: Pick<RunPodSandboxRequest, 'config' | 'runtimeHandler'>,
    { signal }: Call,
  ): Promise<string> {
    const config = checkedConfig(given);
    const { info } = this.parts.connection.engine();
    checkHandler(runtimeHandler, info);
    const { image, queue, pods } = this.parts;
    const container = await sandboxContainer(config, runtimeHandler, info, {
      ...this.options,
      image: image.name,
    });
    return queue.run(
      podKey(config.metadata),
      () =>
        pods.make(config.metadata, async () => {
          const id = await this.#create(config, container, { signal });
          return queue.run(id, () => this.#setUp(id, config, { signal }));
        }),
      { signal },
    );
  }

  /** The engine itself says when it lacks the image. */
  async #create(config: CheckedConfig, container: NewContainer, call: Call): Promise<string> {
    const { connection, image, queue, records, teardown, onConflict } = this.parts;
    const { name, namespace, uid, attempt } = config.metadata;
    const create = () =>
      createNamed(
        connection.engine().client,
        {
          name: { pod: name, namespace, podUid: uid, attempt },
          container,
          isKnown: (id) => records.get(id)?.phase !== 'starting',
          removeLeftover: (id, options) =>
            queue.run(id, () => teardown.remove(id, options), options),
          onConflict,
        },
        call,
      );
    try {
      return await create();
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    await image.pull(call);
    return create();
  }

  async #setUp(id: string, config: CheckedConfig, { signal }: Call): Promise<string> {
    const { checkpoints, records, network } = this.parts;
    const { resources, overhead } = config.linux ?? {};
    const record = { resources, overhead };
    let hasNetwork = false;
    try {
      const { name, namespace } = config.metadata;
      const { portMappings } = config;
      const hostNetwork = isOnHostNetwork(config);
      await allDone([
        records.set(id, { ...record, phase: 'starting' }),
        checkpoints.write(id, { name, namespace, portMappings, hostNetwork }),
        this.#start(id, config, { signal }),
      ]);
      const sandbox = await this.#started(id, { signal });
      await restoreResolvConf(sandbox.container);
      if (!hostNetwork) {
        await network.add(networkPod(sandbox, config), { signal });
        hasNetwork = true;
      }
      signal.throwIfAborted();
      await records.set(id, { ...record, phase: 'ready' });
      return id;
    } catch (error) {
      // An interface that stays would be lost with the container: StopPodSandbox tries again.
      if (!isNetworkLeft(error)) await this.#cleanUp(id, config, { hasNetwork });
      throw error;
    }
  }

  async #start(id: string, { linux }: CheckedConfig, { signal }: Call): Promise<void> {
    try {
      await this.parts.connection.engine().client.startContainer(id, { signal });
    } catch (error) {
      const hasSysctls = Object.keys(linux?.sysctls ?? {}).length > 0;
      if (!(error instanceof EngineResponseError)) throw error;
      if (!hasSysctls || !error.message.includes('sysctl')) throw error;
      // The engine leaves it to the OCI runtime to refuse them.
      throw new EngineResponseError(error.operation, 400, error.message);
    }
  }

  async #started(id: string, { signal }: Call): Promise<InspectedSandbox & { pid: number }> {
    const sandbox = await this.parts.pods.find(id, { signal });
    const { pid } = sandbox ?? {};
    if (sandbox?.running === true && pid !== undefined) return { ...sandbox, pid };
    const { ExitCode, Error: problem = '' } = sandbox?.container.State ?? {};
    const exit = ExitCode === undefined ? '' : ` with exit code ${ExitCode}`;
    throw new FailedPreconditionError(
      `the pod sandbox ended as soon as it was started${exit}${problem === '' ? '' : `: ${problem}`}`,
    );
  }

  async #cleanUp(
    id: string,
    config: CheckedConfig,
    { hasNetwork }: { hasNetwork: boolean },
  ): Promise<void> {
    const { connection, pods, checkpoints, records, network, log } = this.parts;
    const signal = AbortSignal.timeout(cleanUpMs);
    try {
      if (hasNetwork) {
        const sandbox = await pods.find(id, { signal });
        if (sandbox !== undefined) await network.remove(networkPod(sandbox, config), { signal });
      }
      await ensureRemoved(connection.engine().client, id, { signal });
      await checkpoints.remove(id);
      await records.remove(id);
    } catch (error) {
      log.warn(
        { podSandboxId: id, reason: errorMessage(error) },
        'a pod sandbox that failed could not be removed; it is listed as not ready',
      );
    }
  }
}

const networkPod = <T extends InspectedSandbox>(sandbox: T, { portMappings }: CheckedConfig) => ({
  sandboxId: sandbox.id,
  name: sandbox.metadata.name,
  namespace: sandbox.metadata.namespace,
  uid: sandbox.metadata.uid,
  pid: sandbox.pid as T['pid'],
  portMappings,
  annotations: sandbox.annotations,
  dns: dnsOf(sandbox.container),
});

/** Whether the network of a pod is half there, and could not be taken away either. */
const isNetworkLeft = (error: unknown): boolean =>
  error instanceof StowageError && error.code === 'POD_NETWORK_LEFT';

/** Waits for all, also when one fails, and throws the first failure. */
async function allDone(work: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) {
    if (result.status === 'rejected') throw result.reason;
  }
}
