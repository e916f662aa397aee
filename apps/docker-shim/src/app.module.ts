import { Module } from '@nestjs/common';
import { provider, statusSections } from '@stowage/service-kit';
import { CommandsController } from './commands.controller';
import { CONTEXT } from './config';
import { ContainerModule } from './container.module';
import { EngineModule } from './engine.module';
import { EventsModule } from './events.module';
import { ExecModule } from './exec.module';
import { StatsModule } from './stats.module';
import { ImageModule } from './image.module';
import { PodSandboxModule } from './pod-sandbox.module';
import { shimSections } from './runtime/status-sections';
import { openShimEndpoint } from './shim-endpoint';
import {
  CONTAINER_EVENTS,
  CONTAINER_VERBS,
  ENDPOINT,
  ENGINE,
  EXEC_VERBS,
  IMAGES,
  METRICS,
  POD_VERBS,
  STATS,
} from './tokens';

const endpoint = provider(
  ENDPOINT,
  [
    ...([CONTEXT, ENGINE, METRICS, IMAGES, POD_VERBS, CONTAINER_VERBS] as const),
    ...([EXEC_VERBS, STATS, CONTAINER_EVENTS] as const),
  ],
  async (
    { config, log },
    ...[connection, { calls }, images, pods, containers, exec, stats, events]
  ) => {
    const { listen, sandboxImage, networkMode, logsMode: logMode } = config;
    const verbs = { images, pods, containers, exec, stats, events };
    const options = { listen, sandboxImage, networkMode, logMode, calls };
    const opened = await openShimEndpoint(connection, verbs, options);
    log.info({ socket: opened.socketPath }, 'serving CRI RuntimeService and ImageService');
    return opened;
  },
  { drain: (opened, options) => opened.close(options) },
);

const page = statusSections([CONTEXT, ENGINE, IMAGES, POD_VERBS], ({ config }, ...parts) => {
  const [connection, images, { network }] = parts;
  const { listen, networkMode } = config;
  return {
    title: 'Docker Engine',
    sections: async () =>
      shimSections({
        ...{ connection, listen, networkMode },
        networkProblem: await network.readiness(),
        networkName: await network.networkName(),
        pulls: images.pull.running(),
        now: Date.now(),
      }),
  };
});

/** docker-shim as a NestJS application. */
@Module({
  imports: [
    ...[EngineModule, ImageModule, ContainerModule, PodSandboxModule],
    ...[ExecModule, StatsModule, EventsModule],
  ],
  controllers: [CommandsController],
  providers: [endpoint, page],
})
export class DockerShimModule {}
