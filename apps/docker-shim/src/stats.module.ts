import { Module } from '@nestjs/common';
import { provider } from '@stowage/service-kit';
import { CONTEXT } from './config';
import { ContainerModule } from './container.module';
import { EngineModule } from './engine.module';
import { PodModule } from './pod.module';
import { KnownSubjects } from './stats/known-subjects';
import { Stats } from './stats/stats';
import { CONTAINERS, ENGINE, METRICS, PODS, STATS } from './tokens';

const stats = provider(
  STATS,
  [CONTEXT, ENGINE, METRICS, CONTAINERS, PODS],
  ({ config }, connection, { stats: listener }, containers, pods) =>
    new Stats({
      subjects: new KnownSubjects(containers, pods),
      connection,
      layerIntervalMs: config.statsLayerIntervalMs,
      containerdRoot: config.containerdRoot,
      listener,
    }),
  { close: (read) => read.close() },
);

/** What containers and pods use. */
@Module({
  imports: [EngineModule, PodModule, ContainerModule],
  providers: [stats],
  exports: [stats],
})
export class StatsModule {}
