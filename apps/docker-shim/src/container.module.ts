import { Module } from '@nestjs/common';
import { provider } from '@stowage/service-kit';
import path from 'node:path';
import { CONTEXT } from './config';
import { ContainerRecords } from './container/container-records';
import { ContainerStatus } from './container/container-status';
import { ContainerUpkeep } from './container/container-upkeep';
import { Containers } from './container/containers';
import { CreateContainer } from './container/create-container';
import { ImageFiles } from './container/image-files';
import { ListContainers } from './container/list-containers';
import { OomKills } from './container/oom-kills';
import { RemoveContainer } from './container/remove-container';
import { ReopenContainerLog } from './container/reopen-container-log';
import { StartContainer } from './container/start-container';
import { StopContainer } from './container/stop-container';
import { UpdateContainerResources } from './container/update-container-resources';
import { EngineModule } from './engine.module';
import { ImageModule } from './image.module';
import { ContainerLogs } from './log/container-logs';
import { PodModule } from './pod.module';
import { CgroupFinder } from './stats/cgroup-dirs';
import {
  CGROUPS,
  CONTAINERS,
  CONTAINER_RECORDS,
  CONTAINER_STATUS,
  CONTAINER_UPKEEP,
  CONTAINER_VERBS,
  ENGINE,
  IMAGE_FILES,
  IMAGE_LOCKS,
  LISTED,
  LOGS,
  METRICS,
  OOM_KILLS,
  PODS,
  QUEUE,
} from './tokens';

/** What is known of the containers, and what the calls about them share. */
const containers = [
  provider(CGROUPS, [], () => new CgroupFinder()),
  provider(OOM_KILLS, [], () => new OomKills()),
  provider(CONTAINERS, [ENGINE, LISTED], (...parts) => new Containers(...parts)),
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
    [CONTEXT, ENGINE, CONTAINERS, CONTAINER_RECORDS, IMAGE_FILES, QUEUE, LOGS],
    ({ log }, connection, known, records, files, queue, logs) =>
      new ContainerUpkeep({ connection, containers: known, records, files, queue, logs, log }),
    { close: (upkeep) => upkeep.close() },
  ),
  provider(
    CONTAINER_STATUS,
    [ENGINE, CONTAINERS, CONTAINER_RECORDS, LOGS, CGROUPS, OOM_KILLS],
    (...parts) => new ContainerStatus(...parts),
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
export class ContainerModule {}
