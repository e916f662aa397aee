import { Module } from '@nestjs/common';
import { provider } from '@stowage/service-kit';
import { CONTEXT } from './config';
import { ContainerModule } from './container.module';
import { EngineModule } from './engine.module';
import { KnownThings } from './exec/known-things';
import { openExecVerbs } from './exec/open-exec-verbs';
import { PodModule } from './pod.module';
import { CONTAINERS, ENGINE, EXEC_VERBS, METRICS, PODS } from './tokens';

const verbs = provider(
  EXEC_VERBS,
  [CONTEXT, ENGINE, METRICS, CONTAINERS, PODS],
  ({ config, log }, connection, metrics, containers, pods) => {
    const things = new KnownThings(containers, pods);
    return openExecVerbs({ config, log, connection, metrics, things });
  },
  { drain: (opened, { drainMs }) => opened.close({ drainMs }) },
);

/** Commands in containers, and connections to them. */
@Module({
  imports: [EngineModule, PodModule, ContainerModule],
  providers: [verbs],
  exports: [verbs],
})
export class ExecModule {}
