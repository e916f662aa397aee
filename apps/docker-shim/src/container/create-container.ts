import {
  ContainerState,
  NamespaceMode,
  type ContainerConfig,
  type CreateContainerRequest,
  type ImageSpec,
  type Mount,
} from '@stowage/cri-proto';
import {
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  NotFoundError,
} from '@stowage/errors';
import { idBeginning } from '@stowage/image-ref';
import type { Logger } from '@stowage/service-kit';
import path from 'node:path';
import type { EngineClient, InspectedImage } from '../engine/engine-client';
import type { Engine, EngineConnection } from '../engine/engine-connection';
import { isNotFound } from '../engine/engine-errors';
import { ensureRemoved } from '../engine/ensure-removed';
import { listedTags } from '../image/cri-image';
import type { ImageLocks } from '../image/image-locks';
import { givenImage } from '../image/image-name';
import { inspectedImage } from '../image/image-status';
import { createNamed, type ConflictResult } from '../pod/name-conflict';
import type { PodQueue } from '../pod/pod-queue';
import type { InspectedSandbox, Pods } from '../pod/pods';
import type { Logs } from './container-log';
import type { ContainerRecords } from './container-records';
import {
  checkedContainerConfig,
  containerRequest,
  securityContext,
  type CheckedContainerConfig,
} from './container-request';
import type { Containers } from './containers';
import type { ImageFiles } from './image-files';
import { makeSources, relabelSources } from './mount-sources';
import { canMountRecursiveReadOnly, checkMounts } from './mounts';
import type { TargetContainer } from './namespaces';
import { cgroupLimits } from './resources';
import { nodeSecurity, securityOptions } from './security';
import { processUser } from './user';

/** For the removal of what a failed call leaves, milliseconds. */
const cleanUpMs = 30_000;
const noContext = { privileged: false, seccompProfilePath: '' };

interface Call {
  readonly signal: AbortSignal;
}

export interface CreateContainerParts {
  readonly connection: Pick<EngineConnection, 'engine'>;
  readonly pods: Pick<Pods, 'resolve' | 'find'>;
  readonly containers: Pick<Containers, 'find' | 'resolve' | 'created'>;
  readonly queue: Pick<PodQueue, 'run'>;
  readonly locks: Pick<ImageLocks, 'use'>;
  readonly files: Pick<ImageFiles, 'accounts' | 'has'>;
  readonly records: Pick<ContainerRecords, 'set'>;
  readonly logs: Pick<Logs, 'mode' | 'engineConfig' | 'prepare'>;
  readonly log: Pick<Logger, 'warn'>;
  readonly restrictOomScoreAdj: boolean;
  readonly onConflict?: (result: ConflictResult) => void;
}

type Request = Pick<CreateContainerRequest, 'podSandboxId' | 'config' | 'sandboxConfig'>;

/** CreateContainer. */
export class CreateContainer {
  constructor(private readonly parts: CreateContainerParts) {}

  /**
   * Creates a container in a sandbox that runs, and returns its id. Nothing is left of it when this
   * fails, or the caller gives up. Images are not pulled for it.
   *
   * @throws {NotFoundError} for a sandbox or image that is not there.
   * @throws {FailedPreconditionError} for a sandbox that does not run.
   * @throws {InvalidArgumentError} @throws {UnimplementedError} for what the engine cannot do.
   */
  async create(
    { podSandboxId, config: given, sandboxConfig }: Request,
    call: Call,
  ): Promise<string> {
    const config = checkedContainerConfig(given);
    const sandboxId = await this.parts.pods.resolve(podSandboxId, call);
    if (sandboxId === undefined) throw new NotFoundError('pod sandbox', podSandboxId);
    const logPath = logPathOf(sandboxConfig?.logDirectory ?? '', config.logPath);
    return this.parts.queue.run(
      sandboxId,
      () => this.#create(sandboxId, config, logPath, call),
      call,
    );
  }

  async #create(
    sandboxId: string,
    config: CheckedContainerConfig,
    logPath: string,
    { signal }: Call,
  ): Promise<string> {
    const { connection, locks } = this.parts;
    const engine = connection.engine();
    const [sandbox, image] = await Promise.all([
      this.#sandbox(sandboxId, { signal }),
      foundImage(engine.client, config.image, signal),
    ]);
    checkMounts(config.mounts, {
      api: engine.api,
      recursiveReadOnly: canMountRecursiveReadOnly(
        engine.info,
        engine.api,
        sandbox.container.HostConfig?.Runtime ?? '',
      ),
    });
    const imageMounts = await foundImages(engine.client, config.mounts, signal);
    return locks.use([image.id, ...imageMounts.values()], () =>
      this.#createOf({ engine, config, sandbox, image, imageMounts, logPath }, { signal }),
    );
  }

  /** While neither its image nor those that it mounts can be removed. */
  async #createOf(
    { engine, config, sandbox, image, imageMounts, logPath }: Found,
    { signal }: Call,
  ): Promise<string> {
    signal.throwIfAborted();
    const { client, api, info } = engine;
    const { containers, files, records, logs, restrictOomScoreAdj, onConflict } = this.parts;
    const { metadata, linux, mounts } = config;
    const limits = cgroupLimits(linux?.resources, info.CgroupVersion ?? '1');
    await this.#checkSubPaths(mounts, imageMounts, { signal });
    const context = securityContext(config);
    const [target, user, securityOpt] = await Promise.all([
      this.#target(config, { signal }),
      processUser(context, image.inspected.Config?.User ?? '', () =>
        files.accounts(image.id, { signal }),
      ),
      securityOptions(context ?? noContext, nodeSecurity(info), 'unconfined'),
    ]);
    const container = containerRequest({
      ...{ config, sandbox, image, imageMounts, target, user, securityOpt },
      ...{ api, info, restrictOomScoreAdj },
      log: { mode: logs.mode, path: logPath, config: logs.engineConfig() },
    });
    await makeSources(mounts, api);
    const { name: pod, namespace, uid: podUid } = sandbox.metadata;
    const { name, attempt } = metadata;
    const id = await createNamed(
      client,
      {
        name: { container: name, pod, namespace, podUid, attempt },
        container,
        // Containers run only when they were started by somebody who knew of them.
        isKnown: () => true,
        onConflict,
      },
      { signal },
    ).catch(async (error: unknown) => {
      throw isNotFound(error) ? await imageOr(error, client, image) : error;
    });
    try {
      await this.#relabel(client, id, mounts, { signal });
      if (limits.hugepageLimits.length > 0 || Object.keys(limits.unified).length > 0) {
        await records.set(id, { limits });
      }
      await logs.prepare({ mode: logs.mode, logPath });
      signal.throwIfAborted();
    } catch (error) {
      await this.#remove(client, id);
      throw error;
    }
    containers.created({ id, sandboxId: sandbox.id });
    return id;
  }

  async #sandbox(id: string, call: Call): Promise<InspectedSandbox> {
    const sandbox = await this.parts.pods.find(id, call);
    if (sandbox === undefined) throw new NotFoundError('pod sandbox', id);
    if (sandbox.running) return sandbox;
    throw new FailedPreconditionError(`pod sandbox ${id.slice(0, 12)} does not run`);
  }

  async #target(config: ContainerConfig, call: Call): Promise<TargetContainer | undefined> {
    const options = securityContext(config)?.namespaceOptions;
    if (options?.pid !== NamespaceMode.TARGET || options.targetId === '') return undefined;
    const { containers } = this.parts;
    const id = await containers.resolve(options.targetId, call);
    const container = id === undefined ? undefined : await containers.find(id, call);
    if (container === undefined) throw new NotFoundError('container', options.targetId);
    const { sandboxId, state } = container;
    return { id: container.id, sandboxId, running: state === ContainerState.CONTAINER_RUNNING };
  }

  /** The engine would notice only when the container is started. */
  async #checkSubPaths(
    mounts: readonly Mount[],
    imageMounts: ReadonlyMap<string, string>,
    call: Call,
  ): Promise<void> {
    for (const [index, { image, imageSubPath }] of mounts.entries()) {
      const id = imageMounts.get(image?.image ?? '');
      if (id === undefined || imageSubPath === '') continue;
      if (await this.parts.files.has(id, `/${imageSubPath}`, call)) continue;
      const field = `mounts[${index}].image_sub_path`;
      throw new InvalidArgumentError(field, imageSubPath, 'a path that the image has');
    }
  }

  /** The engine makes the label with the container. */
  async #relabel(
    client: EngineClient,
    id: string,
    mounts: readonly Mount[],
    { signal }: Call,
  ): Promise<void> {
    const asked = mounts.some(({ selinuxRelabel }) => selinuxRelabel);
    if (!asked || !usesSelinux(this.parts.connection.engine())) return;
    const { MountLabel } = await client.inspectContainer(id, { signal });
    await relabelSources(mounts, MountLabel ?? '', { signal });
  }

  async #remove(client: EngineClient, id: string): Promise<void> {
    try {
      await ensureRemoved(client, id, { signal: AbortSignal.timeout(cleanUpMs) });
    } catch (error) {
      const fields = { containerId: id, reason: errorMessage(error) };
      this.parts.log.warn(fields, 'a container whose creation failed could not be removed');
    }
  }
}

interface FoundImage {
  readonly id: string;
  readonly name: string;
  readonly inspected: InspectedImage;
}

interface Found {
  readonly engine: Engine;
  readonly config: CheckedContainerConfig;
  readonly sandbox: InspectedSandbox;
  readonly image: FoundImage;
  readonly imageMounts: ReadonlyMap<string, string>;
  readonly logPath: string;
}

const usesSelinux = ({ info }: Engine): boolean =>
  (info.SecurityOptions ?? []).some((option) => option.startsWith('name=selinux'));

/** Empty where no log is asked for, or nothing says in which folder. */
const logPathOf = (directory: string, file: string): string =>
  directory === '' || file === '' ? '' : path.join(directory, file);

async function foundImage(
  client: EngineClient,
  image: ImageSpec | undefined,
  signal: AbortSignal,
): Promise<FoundImage> {
  const given = givenImage(image?.image);
  const inspected = await inspectedImage(client, given, signal);
  if (inspected?.Id == null) throw new NotFoundError('image', given);
  return { id: inspected.Id, name: nameOf(image, given, inspected), inspected };
}

/** As the user wrote it, as far as anybody says so. */
function nameOf(image: ImageSpec | undefined, given: string, inspected: InspectedImage): string {
  const written = image?.userSpecifiedImage ?? '';
  if (written !== '') return written;
  if (idBeginning(given) === undefined) return given;
  const [tag] = listedTags(inspected.RepoTags);
  return tag ?? inspected.Id ?? given;
}

async function foundImages(
  client: EngineClient,
  mounts: readonly Mount[],
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  for (const { image } of mounts) {
    if (image === undefined || ids.has(image.image)) continue;
    ids.set(image.image, (await foundImage(client, image, signal)).id);
  }
  return ids;
}

/** What the engine did not find: the image, or something else. */
async function imageOr(error: unknown, client: EngineClient, { id, name }: FoundImage) {
  const signal = AbortSignal.timeout(cleanUpMs);
  const there = await inspectedImage(client, id, signal).catch(() => true);
  return there === undefined ? new NotFoundError('image', name, { cause: error }) : error;
}
