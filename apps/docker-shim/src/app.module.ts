import { Module } from '@nestjs/common';
import { parseEndpoint } from '@stowage/cri-client';
import type { Endpoint } from '@stowage/cri-endpoint';
import { DockerConfigFiles } from '@stowage/registry-auth';
import { BUS, eventBusProvider, observeRuntime, provider, token } from '@stowage/service-kit';
import path from 'node:path';
import { CONTEXT } from './config';
import { ContainerRecords } from './container/container-records';
import { ContainerStatus } from './container/container-status';
import { ContainerUpkeep } from './container/container-upkeep';
import { Containers } from './container/containers';
import { CreateContainer } from './container/create-container';
import { ImageFiles } from './container/image-files';
import { ListContainers } from './container/list-containers';
import { RemoveContainer } from './container/remove-container';
import { ReopenContainerLog } from './container/reopen-container-log';
import { StartContainer } from './container/start-container';
import { StopContainer } from './container/stop-container';
import { UpdateContainerResources } from './container/update-container-resources';
import { EngineConnection } from './engine/engine-connection';
import { EngineOutage } from './events/engine-outage';
import { OutageFile } from './events/outage-file';
import { ImageFsInfo } from './image/image-fs-info';
import { ImageLocks } from './image/image-locks';
import { ImageStatus } from './image/image-status';
import { ListImages } from './image/list-images';
import { pinnedImages } from './image/pinned-images';
import { PullImage } from './image/pull-image';
import { RemoveImage } from './image/remove-image';
import { ContainerLogs } from './log/container-logs';
import { shimMetrics, type ShimMetrics } from './metrics';
import { BridgeNetwork } from './network/bridge-network';
import type { PodNetwork } from './network/pod-network';
import { Checkpoints } from './pod/checkpoints';
import { ListPodSandboxes } from './pod/list-pod-sandboxes';
import { PodQueue } from './pod/pod-queue';
import { PodSandboxStatus } from './pod/pod-sandbox-status';
import { Pods } from './pod/pods';
import { RemovePodSandbox } from './pod/remove-pod-sandbox';
import { RunPodSandbox } from './pod/run-pod-sandbox';
import { SandboxImage } from './pod/sandbox-image';
import { SandboxRecords } from './pod/sandbox-records';
import { SandboxTeardown } from './pod/sandbox-teardown';
import { SandboxUpkeep } from './pod/sandbox-upkeep';
import { StopPodSandbox } from './pod/stop-pod-sandbox';
import { UpdatePodSandboxResources } from './pod/update-pod-sandbox-resources';
import {
  openShimEndpoint,
  type ContainerVerbs,
  type ImageVerbs,
  type PodVerbs,
} from './shim-endpoint';
import { CgroupFinder } from './stats/cgroup-dirs';

const METRICS = token<ShimMetrics>('ShimMetrics');
const ENGINE = token<EngineConnection>('EngineConnection');
const IMAGES = token<ImageVerbs>('ImageVerbs');
const NETWORK = token<PodNetwork>('PodNetwork');
const QUEUE = token<PodQueue>('PodQueue');
const CHECKPOINTS = token<Checkpoints>('Checkpoints');
const RECORDS = token<SandboxRecords>('SandboxRecords');
const PODS = token<Pods>('Pods');
const UPKEEP = token<SandboxUpkeep>('SandboxUpkeep');
const CONTAINERS = token<Containers>('Containers');
const CONTAINER_RECORDS = token<ContainerRecords>('ContainerRecords');
const CONTAINER_STATUS = token<ContainerStatus>('ContainerStatus');
const CONTAINER_UPKEEP = token<ContainerUpkeep>('ContainerUpkeep');
const CONTAINER_VERBS = token<ContainerVerbs>('ContainerVerbs');
const IMAGE_FILES = token<ImageFiles>('ImageFiles');
const IMAGE_LOCKS = token<ImageLocks>('ImageLocks');
const LOGS = token<ContainerLogs>('ContainerLogs');
const CGROUPS = token<CgroupFinder>('CgroupFinder');
const POD_VERBS = token<PodVerbs>('PodVerbs');
const ENDPOINT = token<Endpoint>('ShimEndpoint');
const OUTAGE_FILE = token<OutageFile>('OutageFile');
const OUTAGE = token<EngineOutage>('EngineOutage');

const engine = [
  provider(METRICS, [CONTEXT], ({ metrics }) => shimMetrics(metrics)),
  provider(
    ENGINE,
    [CONTEXT, METRICS],
    (context, { engineCalled }) => {
      const { dockerEndpoint, requestTimeoutMs } = context.config;
      const connection = new EngineConnection({
        socketPath: parseEndpoint(dockerEndpoint).address,
        timeoutMs: requestTimeoutMs,
        onEnded: engineCalled,
      });
      observeRuntime(context, connection, 'docker');
      return connection;
    },
    { close: (connection) => connection.close() },
  ),
];

/** The way to the engine. */
@Module({ providers: engine, exports: engine })
class EngineModule {}

const imageLocks = provider(IMAGE_LOCKS, [], () => new ImageLocks());

const images = provider(
  IMAGES,
  [CONTEXT, ENGINE, METRICS, IMAGE_LOCKS],
  ({ config }, connection, metrics, locks) => {
    const isPinned = pinnedImages(config);
    const fsInfo = new ImageFsInfo(connection, config.containerdRoot);
    const pull = new PullImage(connection, config.imagePullProgressDeadlineMs, {
      ...metrics.pulls,
      pulled: () => fsInfo.changed(),
    });
    metrics.show({
      availability: () => connection.availability(),
      engine: () => {
        const known = connection.lastKnown();
        return known && { version: known.version.engine, api: known.api };
      },
      pullsInFlight: () => pull.running().length,
    });
    return {
      list: new ListImages(connection, isPinned),
      status: new ImageStatus(connection, isPinned),
      pull,
      remove: new RemoveImage(connection, locks, () => fsInfo.changed()),
      fsInfo,
    };
  },
);

/** The verbs of ImageService. */
@Module({
  imports: [EngineModule],
  providers: [imageLocks, images],
  exports: [imageLocks, images],
})
class ImageModule {}

/** Who makes the networks of pods. */
const networkMode = 'bridge';

/** What is known of the pods, and what the calls about them share. */
const pods = [
  provider(NETWORK, [ENGINE], (connection) => new BridgeNetwork(connection), {
    close: (network) => network.close(),
  }),
  provider(QUEUE, [METRICS], (metrics) => new PodQueue(metrics.pods.waited)),
  provider(CHECKPOINTS, [CONTEXT, METRICS], ({ config, log }, metrics) => {
    const { checkpointDir, stateDir, importCheckpointsFrom } = config;
    return new Checkpoints({
      dir: checkpointDir === '' ? path.join(stateDir, 'sandbox') : checkpointDir,
      importFrom: importCheckpointsFrom,
      onCorrupt: (file, reason) => {
        metrics.pods.corruptCheckpoint();
        log.warn({ file, reason }, 'a checkpoint of a pod sandbox cannot be read');
      },
    });
  }),
  provider(RECORDS, [CONTEXT], ({ config }) => {
    return new SandboxRecords(path.join(config.stateDir, 'pods'));
  }),
  provider(
    PODS,
    [ENGINE, CHECKPOINTS, RECORDS],
    (connection, checkpoints, records) => new Pods(connection, checkpoints, records),
  ),
  provider(
    UPKEEP,
    [CONTEXT, ENGINE, PODS, CHECKPOINTS, NETWORK],
    ({ log }, connection, known, checkpoints, network) =>
      new SandboxUpkeep({ connection, pods: known, checkpoints, network, log }),
    { close: (upkeep) => upkeep.close() },
  ),
];

/** Pods as the engine has them. */
@Module({ imports: [EngineModule], providers: pods, exports: pods })
class PodModule {}

/** What is known of the containers, and what the calls about them share. */
const containers = [
  provider(CGROUPS, [], () => new CgroupFinder()),
  provider(CONTAINERS, [ENGINE], (connection) => new Containers(connection)),
  provider(CONTAINER_RECORDS, [CONTEXT], ({ config }) => {
    return new ContainerRecords(path.join(config.stateDir, 'containers'));
  }),
  provider(IMAGE_FILES, [ENGINE], (connection) => new ImageFiles(connection)),
  provider(
    LOGS,
    [CONTEXT, METRICS],
    ({ config: { logsMode, logsMaxSizeBytes, logsMaxFile, stateDir }, log }, metrics) =>
      new ContainerLogs({
        ...{ mode: logsMode, maxSizeBytes: logsMaxSizeBytes, maxFile: logsMaxFile },
        ...{ stateDir, log, listener: metrics.logs },
      }),
    { close: (logs) => logs.close() },
  ),
  provider(
    CONTAINER_UPKEEP,
    [CONTEXT, ENGINE, CONTAINERS, CONTAINER_RECORDS, IMAGE_FILES, LOGS],
    ({ log }, connection, known, records, files, logs) =>
      new ContainerUpkeep({ connection, containers: known, records, files, logs, log }),
    { close: (upkeep) => upkeep.close() },
  ),
  provider(
    CONTAINER_STATUS,
    [ENGINE, CONTAINERS, CONTAINER_RECORDS, LOGS, CGROUPS],
    (connection, known, records, logs, cgroups) =>
      new ContainerStatus(connection, known, records, logs, cgroups),
  ),
  provider(
    CONTAINER_VERBS,
    [
      ...([CONTEXT, ENGINE, METRICS, PODS, QUEUE, IMAGE_LOCKS, IMAGE_FILES] as const),
      ...([CONTAINERS, CONTAINER_RECORDS, CONTAINER_STATUS, LOGS, CGROUPS] as const),
    ],
    (
      { config: { restrictOomScoreAdj }, log },
      ...[connection, metrics, known, queue, locks, files, found, records, status, logs, cgroups]
    ) => {
      const shared = { connection, containers: found, queue, records, logs, cgroups, log };
      const { conflict: onConflict } = metrics.pods;
      return {
        create: new CreateContainer({
          ...shared,
          ...{ pods: known, locks, files, restrictOomScoreAdj, onConflict },
        }),
        start: new StartContainer(shared),
        stop: new StopContainer(connection, found),
        remove: new RemoveContainer(shared),
        status,
        list: new ListContainers(found),
        updateResources: new UpdateContainerResources(shared),
        reopenLog: new ReopenContainerLog(found, logs),
      };
    },
  ),
];

/** Containers in pods. */
@Module({
  imports: [EngineModule, ImageModule, PodModule],
  providers: containers,
  exports: containers,
})
class ContainerModule {}

/** The verbs of RuntimeService about pod sandboxes. */
const podVerbs = provider(
  POD_VERBS,
  [
    ...([CONTEXT, ENGINE, IMAGES, METRICS, NETWORK, QUEUE, CHECKPOINTS, RECORDS] as const),
    ...([PODS, CONTAINER_STATUS] as const),
  ],
  (
    { config, log },
    ...[connection, images_, metrics, network, queue, checkpoints, records, known, status]
  ) => {
    const { sandboxImage, dockerConfigDirs, dockercfgDirs, restrictOomScoreAdj } = config;
    const keyring = new DockerConfigFiles(
      { configJsonDirs: dockerConfigDirs, dockercfgDirs },
      {
        onProblem: ({ kind, name, reason }) => {
          log.warn({ kind, name, reason }, 'a credential source cannot be used');
        },
      },
    );
    const teardown = new SandboxTeardown({
      connection,
      pods: known,
      checkpoints,
      records,
      network,
    });
    const run = new RunPodSandbox(
      {
        ...{ connection, pods: known, queue, checkpoints, records, network, teardown, log },
        image: new SandboxImage(sandboxImage, images_.pull, keyring),
        onConflict: metrics.pods.conflict,
      },
      { networkMode, restrictOomScoreAdj },
    );
    return {
      run,
      stop: new StopPodSandbox(known, queue, teardown),
      remove: new RemovePodSandbox(known, queue, teardown),
      status: new PodSandboxStatus(known, records, network, (id, call) =>
        status.ofSandbox(id, call),
      ),
      list: new ListPodSandboxes(known, checkpoints),
      updateResources: new UpdatePodSandboxResources(known, queue, records),
      network,
    };
  },
);

/** Pod sandboxes. */
@Module({
  imports: [EngineModule, ImageModule, PodModule, ContainerModule],
  providers: [podVerbs],
  exports: [podVerbs],
})
class PodSandboxModule {}

const endpoint = provider(
  ENDPOINT,
  [CONTEXT, ENGINE, IMAGES, POD_VERBS, CONTAINER_VERBS, METRICS],
  async ({ config, log }, connection, verbs, sandboxes, inPods, { calls }) => {
    const { listen, sandboxImage } = config;
    const opened = await openShimEndpoint(connection, verbs, sandboxes, inPods, {
      ...{ listen, sandboxImage, networkMode, calls },
    });
    log.info({ socket: opened.socketPath }, 'serving CRI RuntimeService and ImageService');
    return opened;
  },
  { drain: (opened, options) => opened.close(options) },
);

const outage = [
  eventBusProvider(CONTEXT),
  provider(
    OUTAGE_FILE,
    [CONTEXT],
    ({ config: { stateDir }, log }) => new OutageFile({ stateDir, now: Date.now, log }),
    { close: (file) => file.close() },
  ),
  provider(
    OUTAGE,
    [CONTEXT, ENGINE, BUS, OUTAGE_FILE],
    ({ log }, connection, bus, since) =>
      new EngineOutage({
        connection,
        bus,
        since,
        onUnpublished: (err) => log.error({ err }, 'an outage of the engine was not published'),
      }),
    { close: (published) => published.close() },
  ),
];

/** Outages of the engine on the event bus. */
@Module({ imports: [EngineModule], providers: outage })
class OutageModule {}

/** docker-shim as a NestJS application. */
@Module({
  imports: [EngineModule, ImageModule, ContainerModule, PodSandboxModule, OutageModule],
  providers: [endpoint],
})
export class DockerShimModule {}
