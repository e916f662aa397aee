import { Module } from '@nestjs/common';
import { PodSandboxState } from '@stowage/cri-proto';
import { NotFoundError } from '@stowage/errors';
import { BUS, eventBusProvider, provider } from '@stowage/service-kit';
import { CONTEXT } from './config';
import { ContainerModule } from './container.module';
import { EngineModule } from './engine.module';
import { PodModule } from './pod.module';
import { isInTheMaking } from './pod/list-pod-sandboxes';
import { podKey } from './pod/pod-queue';
import { EngineOutage } from './events/engine-outage';
import { OutageFile } from './events/outage-file';
import { listForEvents } from './events/list-for-events';
import { ContainerEvents } from './events/container-events';
import { EngineEvents } from './events/engine-events';
import { PodSandboxModule } from './pod-sandbox.module';
import {
  CONTAINER_EVENTS,
  ENGINE,
  ENGINE_EVENTS,
  LOGS,
  METRICS,
  OUTAGE,
  OUTAGE_FILE,
  POD_VERBS,
  QUEUE,
  UPKEEP,
} from './tokens';

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

const events = [
  provider(
    ENGINE_EVENTS,
    [CONTEXT, ENGINE, METRICS, LOGS, UPKEEP],
    ({ log }, connection, { events: listener, showContainers }, logs, upkeep) => {
      const list = (signal: AbortSignal) => listForEvents(connection, signal);
      const followed = new EngineEvents({ connection, list, listener, log });
      const ended = new Set<string>();
      followed.onContainerEvent(({ kind, id, sandboxId }) => {
        if (id !== sandboxId) {
          if (kind === 'die') void logs.ended(id, { withinMs: 0 });
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
    [ENGINE_EVENTS, POD_VERBS, QUEUE, METRICS],
    (followed, pods, queue, { events: listener }) => {
      const podStatus = async (id: string, signal: AbortSignal) => {
        const { status, containersStatuses } = await pods.status.status(id, { signal });
        if (status?.metadata === undefined) throw new NotFoundError('pod sandbox', id);
        return { sandbox: status, containers: containersStatuses, metadata: status.metadata };
      };
      return new ContainerEvents({
        events: followed,
        listener,
        podStatus: async (id, signal) => {
          const found = await podStatus(id, signal);
          const { metadata, sandbox } = found;
          const ready = sandbox.state === PodSandboxState.SANDBOX_READY;
          if (!isInTheMaking({ ready, metadata }, queue)) return found;
          // Until then it would be taken for one that has ended.
          await queue.settled(podKey(metadata));
          return podStatus(id, signal);
        },
      });
    },
    { close: (sent) => sent.close() },
  ),
];

/** What happens to containers, for clients of the CRI, and outages of the engine on the bus. */
@Module({
  imports: [EngineModule, PodModule, ContainerModule, PodSandboxModule],
  providers: [...events, ...outage],
  exports: events,
})
export class EventsModule {}
