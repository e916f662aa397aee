import { Module } from '@nestjs/common';
import { NotFoundError } from '@stowage/errors';
import { BUS, eventBusProvider, provider } from '@stowage/service-kit';
import { CONTEXT } from './config';
import { ContainerModule } from './container.module';
import { EngineModule } from './engine.module';
import { PodModule } from './pod.module';
import { EngineOutage } from './events/engine-outage';
import { openOutageFile } from './events/outage-file';
import { listForEvents } from './events/list-for-events';
import { ContainerEvents } from './events/container-events';
import { EngineEvents } from './events/engine-events';
import { PodSandboxModule } from './pod-sandbox.module';
import {
  CONTAINER_EVENTS,
  CONTAINER_UPKEEP,
  ENGINE,
  ENGINE_EVENTS,
  LISTED,
  LOGS,
  METRICS,
  OOM_KILLS,
  OUTAGE,
  OUTAGE_FILE,
  PODS,
  POD_VERBS,
  UPKEEP,
} from './tokens';

const outage = [
  eventBusProvider(CONTEXT),
  provider(
    OUTAGE_FILE,
    [CONTEXT],
    ({ config: { stateDir }, log }) => openOutageFile({ stateDir, now: Date.now, log }),
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

const events = [
  provider(
    ENGINE_EVENTS,
    [CONTEXT, ENGINE, METRICS, LISTED, LOGS, UPKEEP, CONTAINER_UPKEEP, OOM_KILLS],
    (
      { log },
      connection,
      { events: listener, showContainers },
      containers,
      ...[logs, upkeep, containerUpkeep, oomKills]
    ) => {
      const list = (signal: AbortSignal) => listForEvents(connection, containers, signal);
      const followed = new EngineEvents({ connection, list, containers, listener, log });
      const ended = new Set<string>();
      followed.onContainerEvent(({ kind, id, sandboxId }) => {
        if (id !== sandboxId) {
          if (kind === 'oom') oomKills.add(id);
          if (kind === 'start') void containerUpkeep.started({ id, sandboxId });
          if (kind === 'die') void logs.ended(id, { withinMs: 0 });
          if (kind === 'destroy') {
            oomKills.remove(id);
            void containerUpkeep.gone(id);
          }
          return;
        }
        if (kind === 'die') ended.add(id);
        if (kind === 'destroy') ended.delete(id);
        // The engine has written its files of a sandbox that somebody started again.
        if (kind === 'start' && ended.delete(id)) void upkeep.restarted(id);
      });
      showContainers(() => followed.counts());
      followed.start();
      return followed;
    },
    { close: (followed) => followed.close() },
  ),
  provider(
    CONTAINER_EVENTS,
    [ENGINE_EVENTS, PODS, POD_VERBS, METRICS],
    (followed, known, pods, { events: listener }) =>
      new ContainerEvents({
        events: followed,
        listener,
        podStatus: async (id, signal) => {
          for (;;) {
            const { status, containersStatuses } = await pods.status.status(id, { signal });
            if (status?.metadata === undefined) throw new NotFoundError('pod sandbox', id);
            // What is still being made is not ready, and neither is what has ended.
            const made = known.made(status.metadata);
            if (made === undefined) return { sandbox: status, containers: containersStatuses };
            await made;
          }
        },
      }),
    { close: (sent) => sent.close() },
  ),
];

/** What happens to containers, for clients of the CRI, and outages of the engine on the bus. */
@Module({
  imports: [EngineModule, PodModule, ContainerModule, PodSandboxModule],
  providers: [...events, ...outage],
  exports: [...events, BUS],
})
export class EventsModule {}
