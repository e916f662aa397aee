import { Module } from '@nestjs/common';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import type { EventBus } from '@stowage/event-bus';
import {
  BUS,
  eventBusProvider,
  provider,
  RUNTIME,
  token,
  type ServiceContext,
} from '@stowage/service-kit';
import { CONTEXT, type GatewayConfig } from './config';
import { countPublished, knownObjectMetrics, observerMetrics } from './metrics';
import { ObjectsFile } from './objects/objects-file';
import { RuntimeObserver } from './observe/runtime-observer';
import { SOCKETS, SocketsModule } from './sockets.module';

type Context = ServiceContext<GatewayConfig>;

export const OBSERVER = token<RuntimeObserver>('RuntimeObserver');
const OBJECTS_FILE = token<ObjectsFile>('ObjectsFile');

/**
 * Time for the observer to look up what the last calls changed, milliseconds; the next start finds
 * the rest.
 */
const drainMs = 3000;

const bus = eventBusProvider(CONTEXT, { after: [SOCKETS] });

const objectsFile = provider(OBJECTS_FILE, [CONTEXT], openObjectsFile, {
  // The bus says best that another process has the state directory.
  after: [BUS],
  handOver: (file) => file.close(),
  close: (file) => file.close(),
});

const observer = provider(OBSERVER, [CONTEXT, BUS, OBJECTS_FILE, RUNTIME], makeObserver, {
  handOver: (running) => running.stop(drainMs),
  close: (running) => running.stop(drainMs),
});

function openObjectsFile({ config, log, health }: Context): ObjectsFile {
  return new ObjectsFile({
    stateDir: config.stateDir,
    log,
    now: Date.now,
    onStatus: (reason) => {
      health.report(
        'objects',
        reason === undefined ? { state: 'ok' } : { state: 'degraded', reason },
      );
    },
  });
}

function makeObserver(
  { config, log, metrics, signal }: Context,
  events: EventBus,
  file: ObjectsFile,
  runtime: RuntimeServiceClient,
): RuntimeObserver {
  const made = new RuntimeObserver({
    runtime,
    publish: countPublished(metrics, (name, event) => events.publish(name, event)),
    file,
    listener: observerMetrics(metrics),
    log,
    now: Date.now,
    signal,
    relistIntervalMs: config.relistIntervalMs,
    runtimeEvents: config.runtimeEvents,
    maxKnownContainers: config.maxKnownContainers,
  });
  knownObjectMetrics(metrics, made.objects);
  return made;
}

/** What is known of the runtime, and what is published about it. */
@Module({
  imports: [SocketsModule],
  providers: [bus, objectsFile, observer],
  exports: [bus, observer],
})
export class ObserverModule {}
