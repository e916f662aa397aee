import { activatedOr, type CallListener, type Endpoint } from '@stowage/cri-endpoint';
import {
  ImageServiceDefinition,
  ImageStatusResponse,
  RuntimeServiceDefinition,
} from '@stowage/cri-proto';
import { criHandlers, serveCri, type Implementation } from '@stowage/cri-server';
import { UnimplementedError } from '@stowage/errors';
import type { ContainerStatus } from './container/container-status';
import type { CreateContainer } from './container/create-container';
import type { ListContainers } from './container/list-containers';
import type { RemoveContainer } from './container/remove-container';
import type { ReopenContainerLog } from './container/reopen-container-log';
import type { StartContainer } from './container/start-container';
import type { StopContainer } from './container/stop-container';
import type { UpdateContainerResources } from './container/update-container-resources';
import type { EngineConnection } from './engine/engine-connection';
import type { ContainerEvents } from './events/container-events';
import type { ExecVerbs } from './exec/exec-verbs';
import type { Stats } from './stats/stats';
import type { ImageFsInfo } from './image/image-fs-info';
import type { ImageStatus } from './image/image-status';
import type { ListImages } from './image/list-images';
import type { PullImage } from './image/pull-image';
import type { RemoveImage } from './image/remove-image';
import type { PodNetwork } from './network/pod-network';
import type { ListPodSandboxes } from './pod/list-pod-sandboxes';
import type { PodSandboxStatus } from './pod/pod-sandbox-status';
import type { RemovePodSandbox } from './pod/remove-pod-sandbox';
import type { RunPodSandbox } from './pod/run-pod-sandbox';
import type { StopPodSandbox } from './pod/stop-pod-sandbox';
import type { UpdatePodSandboxResources } from './pod/update-pod-sandbox-resources';
import { runtimeConfig } from './runtime/runtime-config';
import { status } from './runtime/status';
import { version } from './runtime/version';

/** Name of the activated socket (FileDescriptorName in the socket unit). */
const activatedName = 'docker-shim';

/** The verbs of ImageService. */
export interface ImageVerbs {
  readonly list: Pick<ListImages, 'list'>;
  readonly status: Pick<ImageStatus, 'status'>;
  readonly pull: Pick<PullImage, 'pull' | 'running'>;
  readonly remove: Pick<RemoveImage, 'remove'>;
  readonly fsInfo: Pick<ImageFsInfo, 'get'>;
}

/** The verbs of RuntimeService about pod sandboxes. */
export interface PodVerbs {
  readonly run: Pick<RunPodSandbox, 'run'>;
  readonly stop: Pick<StopPodSandbox, 'stop'>;
  readonly remove: Pick<RemovePodSandbox, 'remove'>;
  readonly status: Pick<PodSandboxStatus, 'status'>;
  readonly list: Pick<ListPodSandboxes, 'list'>;
  readonly updateResources: Pick<UpdatePodSandboxResources, 'update'>;
  readonly network: Pick<PodNetwork, 'readiness' | 'networkName' | 'setPodCidrs'>;
}

/** The verbs of RuntimeService about containers in pods. */
export interface ContainerVerbs {
  readonly create: Pick<CreateContainer, 'create'>;
  readonly start: Pick<StartContainer, 'start'>;
  readonly stop: Pick<StopContainer, 'stop'>;
  readonly remove: Pick<RemoveContainer, 'remove'>;
  readonly status: Pick<ContainerStatus, 'status'>;
  readonly list: Pick<ListContainers, 'list'>;
  readonly updateResources: Pick<UpdateContainerResources, 'update'>;
  readonly reopenLog: Pick<ReopenContainerLog, 'reopen'>;
}

/** All that the two services answer with. */
export interface ShimVerbs {
  readonly images: ImageVerbs;
  readonly pods: PodVerbs;
  readonly containers: ContainerVerbs;
  readonly exec: Pick<ExecVerbs, 'execSync' | 'exec' | 'attach' | 'portForward'>;
  readonly stats: Omit<Stats, 'close'>;
  readonly events: Pick<ContainerEvents, 'getContainerEvents'>;
}

export interface ShimEndpointOptions {
  /** Path of the socket, unless a supervisor handed one to this process. */
  readonly listen: string;
  readonly sandboxImage: string;
  readonly networkMode: string;
  readonly logMode: string;
  readonly calls: CallListener;
}

/** Items in one message of a streamed list at most. */
const streamedAtOnce = 100;

/**
 * Serves both services of the CRI on one socket. What is not implemented gets UNIMPLEMENTED with
 * its name.
 */
export function openShimEndpoint(
  connection: EngineConnection,
  { images, pods, containers, exec, stats, events }: ShimVerbs,
  { listen, sandboxImage, networkMode, logMode, calls }: ShimEndpointOptions,
): Promise<Endpoint> {
  const facts = { sandboxImage, networkMode, logMode, pulls: () => images.pull.running() };
  const runtime: Implementation<typeof RuntimeServiceDefinition> = {
    version: () => Promise.resolve(version(connection)),
    status: async ({ verbose }) => {
      const networkProblem = await pods.network.readiness();
      const networkName = await pods.network.networkName();
      return status(connection, verbose, { ...facts, networkName, networkProblem });
    },
    runtimeConfig: async () => Promise.resolve(runtimeConfig(connection)),
    updateRuntimeConfig: ({ runtimeConfig: config }) => {
      const cidrs = config?.networkConfig?.podCidr ?? '';
      if (cidrs !== '') pods.network.setPodCidrs(cidrs.split(','));
      return Promise.resolve({});
    },
    runPodSandbox: async (request, call) => ({ podSandboxId: await pods.run.run(request, call) }),
    stopPodSandbox: async ({ podSandboxId }, call) => {
      await pods.stop.stop(podSandboxId, call);
      return {};
    },
    removePodSandbox: async ({ podSandboxId }, call) => {
      await pods.remove.remove(podSandboxId, call);
      return {};
    },
    podSandboxStatus: ({ podSandboxId, verbose }, { signal }) =>
      pods.status.status(podSandboxId, { verbose, signal }),
    listPodSandbox: async ({ filter }, call) => ({ items: await pods.list.list(filter, call) }),
    async *streamPodSandboxes({ filter }, call) {
      for (const podSandboxes of chunks(await pods.list.list(filter, call))) yield { podSandboxes };
    },
    updatePodSandboxResources: async (request, call) => {
      await pods.updateResources.update(request, call);
      return {};
    },
    createContainer: async (request, call) => ({
      containerId: await containers.create.create(request, call),
    }),
    startContainer: async ({ containerId }, call) => {
      await containers.start.start(containerId, call);
      return {};
    },
    stopContainer: async ({ containerId, timeout }, call) => {
      await containers.stop.stop(containerId, timeout, call);
      return {};
    },
    removeContainer: async ({ containerId }, call) => {
      await containers.remove.remove(containerId, call);
      return {};
    },
    containerStatus: ({ containerId, verbose }, { signal }) =>
      containers.status.status(containerId, { verbose, signal }),
    listContainers: async ({ filter }, call) => ({
      containers: await containers.list.list(filter, call),
    }),
    async *streamContainers({ filter }, call) {
      for (const chunk of chunks(await containers.list.list(filter, call))) {
        yield { containers: chunk };
      }
    },
    updateContainerResources: async (request, call) => {
      await containers.updateResources.update(request, call);
      return {};
    },
    reopenContainerLog: async ({ containerId }, call) => {
      await containers.reopenLog.reopen(containerId, call);
      return {};
    },
    execSync: (request, call) => exec.execSync(request, call),
    exec: (request, call) => exec.exec(request, call),
    attach: (request, call) => exec.attach(request, call),
    portForward: (request, call) => exec.portForward(request, call),
    containerStats: (request, call) => stats.containerStats(request, call),
    listContainerStats: (request, call) => stats.listContainerStats(request, call),
    async *streamContainerStats({ filter }, call) {
      const { stats: all } = await stats.listContainerStats({ filter }, call);
      for (const containerStats of chunks(all)) yield { containerStats };
    },
    podSandboxStats: (request, call) => stats.podSandboxStats(request, call),
    listPodSandboxStats: (request, call) => stats.listPodSandboxStats(request, call),
    async *streamPodSandboxStats({ filter }, call) {
      const { stats: all } = await stats.listPodSandboxStats({ filter }, call);
      for (const podSandboxStats of chunks(all)) yield { podSandboxStats };
    },
    listMetricDescriptors: () => stats.listMetricDescriptors(),
    listPodSandboxMetrics: (request, call) => stats.listPodSandboxMetrics(request, call),
    async *streamPodSandboxMetrics(request, call) {
      const { podMetrics } = await stats.listPodSandboxMetrics(request, call);
      for (const podSandboxMetrics of chunks(podMetrics)) yield { podSandboxMetrics };
    },
    getContainerEvents: (request, call) => events.getContainerEvents(request, call),
    checkpointContainer: () => noCheckpoints('CheckpointContainer'),
    checkpointPod: () => noCheckpoints('CheckpointPod'),
    restorePod: () => noCheckpoints('RestorePod'),
  };
  const image: Implementation<typeof ImageServiceDefinition> = {
    listImages: async ({ filter }, call) => ({ images: await images.list.list(filter, call) }),
    async *streamImages({ filter }, call) {
      for (const chunk of chunks(await images.list.list(filter, call))) yield { images: chunk };
    },
    imageStatus: async ({ image: wanted, verbose }, { signal }) =>
      ImageStatusResponse.fromPartial(
        (await images.status.status(wanted?.image, { verbose, signal })) ?? {},
      ),
    pullImage: async (request, call) => ({ imageRef: await images.pull.pull(request, call) }),
    removeImage: async ({ image: wanted }, call) => {
      await images.remove.remove(wanted?.image, call);
      return {};
    },
    imageFsInfo: (_request, call) => images.fsInfo.get(call),
  };
  return serveCri(RuntimeServiceDefinition, runtime, {
    ...activatedOr({ socketPath: listen }, [activatedName]),
    handlers: criHandlers(ImageServiceDefinition, image),
    service: 'docker-shim',
    calls,
  });
}

const noCheckpoints = (method: string): Promise<never> =>
  Promise.reject(
    new UnimplementedError(
      method,
      'checkpoints of Docker Engine are experimental, and none is written where the CRI wants it',
    ),
  );

function* chunks<T>(items: readonly T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += streamedAtOnce) {
    yield items.slice(at, at + streamedAtOnce);
  }
}
