import {
  ContainerState,
  type ContainerStatusResponse,
  type ContainerStatus as CriContainerStatus,
} from '@stowage/cri-proto';
import type { EngineConnection } from '../engine/engine-connection';
import { inParallel } from '../engine/in-parallel';
import { listedNames, listedTags } from '../image/cri-image';
import { inspectedImage } from '../image/image-status';
import type { CgroupFinder } from '../stats/cgroup-dirs';
import type { Logs } from './container-log';
import type { ContainerRecords } from './container-records';
import { containerCourse, type ContainerCourse } from './container-state';
import type { Containers, InspectedAppContainer } from './containers';
import { processUserOf } from './first-process';
import { criImageSpec } from './list-containers';
import { criMounts } from './mounts';
import type { OomKills } from './oom-kills';
import { criResources } from './resources';
import { criStopSignal } from './stop-signal';

/** How long the status of an ended container waits for the end of its log, milliseconds. */
const logWithinMs = 1000;
/** Containers of a sandbox at once. */
const parallel = 8;

interface Call {
  readonly signal: AbortSignal;
}

const killedBySignal9 = 137;
/** How late the engine's event of a kill for want of memory may come, milliseconds. */
const oomEventWithinMs = 500;

/** ContainerStatus. */
export class ContainerStatus {
  constructor(
    private readonly connection: Pick<EngineConnection, 'engine'>,
    private readonly containers: Pick<Containers, 'get' | 'find' | 'list'>,
    private readonly records: Pick<ContainerRecords, 'get'>,
    private readonly logs: Pick<Logs, 'ended'>,
    private readonly cgroups: Pick<CgroupFinder, 'find' | 'holds'>,
    private readonly oomKills: Pick<OomKills, 'has'>,
  ) {}

  /** @throws {NotFoundError} @throws {InvalidArgumentError} when several ids begin so. */
  async status(
    given: string,
    { verbose = false, signal }: { readonly verbose?: boolean } & Call,
  ): Promise<ContainerStatusResponse> {
    const container = await this.containers.get(given, { signal });
    const status = await this.#status(container, { signal });
    const info: Record<string, string> = verbose
      ? { info: JSON.stringify(details(container)) }
      : {};
    return { status, info };
  }

  /** The statuses of all containers in a sandbox, the oldest first. */
  async ofSandbox(sandboxId: string, { signal }: Call): Promise<CriContainerStatus[]> {
    const listed = await this.containers.list({ signal }, { sandboxId });
    const statuses: CriContainerStatus[] = [];
    await inParallel(
      parallel,
      listed.map(({ id }) => id),
      async (id) => {
        // One that is removed meanwhile is left out.
        const container = await this.containers.find(id, { signal });
        if (container !== undefined) statuses.push(await this.#status(container, { signal }));
      },
    );
    return statuses.sort((a, b) => Number(a.createdAt - b.createdAt));
  }

  async #status(container: InspectedAppContainer, { signal }: Call): Promise<CriContainerStatus> {
    const { id, metadata, labels, annotations, imageId, inspected } = container;
    const course = await this.#course(container);
    const { user, limits } = this.records.get(id);
    const seenUser = user ?? (container.pid && processUserOf(container.pid, id, this.cgroups));
    const [image] = await Promise.all([
      this.#image(container, { signal }),
      course.state === ContainerState.CONTAINER_EXITED &&
        this.logs.ended(id, { withinMs: logWithinMs }),
    ]);
    return {
      id,
      metadata,
      ...course,
      createdAt: container.createdNs,
      image: criImageSpec(image.name),
      imageRef: image.ref,
      imageId,
      labels: { ...labels },
      annotations: { ...annotations },
      mounts: criMounts(inspected),
      logPath: container.logPath,
      resources: { linux: criResources(inspected, limits), windows: undefined },
      user: seenUser ? { linux: seenUser } : undefined,
      stopSignal: criStopSignal(inspected.Config?.StopSignal ?? ''),
    };
  }

  /**
   * The engine does not know of a kill for want of memory when it heard of the end first: its event
   * of it comes all the same, a moment later.
   */
  async #course({ id, inspected }: InspectedAppContainer): Promise<ContainerCourse> {
    const course = containerCourse(inspected);
    const isLimited = (inspected.HostConfig?.Memory ?? 0) > 0;
    if (!isLimited || course.reason !== 'Error' || course.exitCode !== killedBySignal9)
      return course;
    const sinceMs = Date.now() - Number(course.finishedAt / 1_000_000n);
    const withinMs = Math.max(0, oomEventWithinMs - sinceMs);
    return (await this.oomKills.has(id, withinMs)) ? { ...course, reason: 'OOMKilled' } : course;
  }

  /** Tools on Docker nodes read the reference in this form. */
  async #image(
    { image, imageId }: InspectedAppContainer,
    { signal }: Call,
  ): Promise<{ readonly name: string; readonly ref: string }> {
    const { client } = this.connection.engine();
    const found = imageId === '' ? undefined : await inspectedImage(client, imageId, signal);
    const [digest] = listedNames(found?.RepoDigests);
    const [tag] = listedTags(found?.RepoTags);
    const isId = image === '' || image.startsWith('sha256:');
    return {
      name: isId ? (tag ?? imageId) : image,
      ref: digest === undefined ? `docker://${imageId}` : `docker-pullable://${digest}`,
    };
  }
}

/** Without the environment, the command and all else that may be secret. */
const details = ({ sandboxId, pid, image, logMode, inspected }: InspectedAppContainer): object => ({
  sandboxID: sandboxId,
  pid: pid ?? 0,
  runtime: inspected.HostConfig?.Runtime ?? '',
  image,
  logMode,
});
