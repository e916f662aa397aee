import { Inject, Module } from '@nestjs/common';
import type {
  BeforeApplicationShutdown,
  DynamicModule,
  OnApplicationBootstrap,
  OnApplicationShutdown,
  Provider,
} from '@nestjs/common';
import { connectRuntimeService, criInstrumentation, parseEndpoint } from '@stowage/cri-client';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { isSocketServed } from '@stowage/cri-endpoint';
import {
  checkEventBus,
  checkStateDir,
  instrumentEventBus,
  openEventBus,
  outboxFree,
} from '@stowage/event-bus';
import type { EventBus } from '@stowage/event-bus';
import { busSettings, observeEventBus, observeGivenUp, observeRuntime } from '@stowage/service-kit';
import type { ServiceContext } from '@stowage/service-kit';
import { CommandsController } from './commands.controller';
import type { GatewayConfig } from './config';
import { GatewaySockets } from './sockets/gateway-sockets';
import type { Publish } from './observe/lifecycle';
import { connectionMetrics, gatewayMetrics, knownObjectMetrics } from './metrics';
import type { GatewayMetrics } from './metrics';
import { checkObjectsFile, ObjectsFile } from './objects/objects-file';
import { RuntimeObserver } from './observe/runtime-observer';
import { probeByVersion, CriVersions } from './sockets/cri-versions';
import {
  BUS,
  CONTEXT,
  METRICS,
  OBJECTS_FILE,
  OBSERVER,
  CRI_VERSIONS,
  RUNTIME,
  SOCKETS,
} from './tokens';

type Context = ServiceContext<GatewayConfig>;

/** Time to hand waiting events to NATS at the stop, milliseconds; the rest stays on disk. */
const busDrainMs = 2000;
/**
 * Time for the observer to look up what the last calls changed, milliseconds; the next start finds
 * the rest.
 */
const observerDrainMs = 3000;

/**
 * With `takeOver` calls are served before the state folder is ours: the instance that has it gives
 * it up when it sees that its socket was taken. Nothing may keep this one from serving from then
 * on, so what can be wrong is looked at before.
 */
async function openSockets(
  context: Context,
  runtime: RuntimeServiceClient,
  criVersions: CriVersions,
  metrics: GatewayMetrics,
): Promise<GatewaySockets> {
  const { app, config, log, takeOver } = context;
  const sockets = new GatewaySockets(
    context,
    runtime,
    criVersions,
    metrics.calls,
    () => {
      takeOver.lost(config.listen);
    },
    observeGivenUp(context),
  );
  connectionMetrics(context.metrics, sockets);
  if (config.takeOver) {
    checkEventBus({ ...busSettings(app, config), log });
    checkObjectsFile(config.stateDir);
    if (await isSocketServed(config.listen)) checkStateDir(config.stateDir);
    await sockets.open();
  }
  return sockets;
}

async function openBus(context: Context, sockets: GatewaySockets): Promise<EventBus> {
  const { app, config, log, metrics, signal, takeOver } = context;
  if (config.takeOver) {
    try {
      await outboxFree(config.stateDir, { signal, log });
    } catch (error) {
      // Stopped, or replaced, before the start was over: calls are served already and may end.
      await takeOver.drain((options) => sockets.close(options));
      throw error;
    }
  }
  const bus = instrumentEventBus(openEventBus({ ...busSettings(app, config), log }), metrics);
  observeEventBus(context, bus);
  context.commands.use(bus);
  return bus;
}

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

function connectRuntime(context: Context): RuntimeServiceClient {
  const { config, log, metrics } = context;
  const client = connectRuntimeService({
    endpoint: config.runtimeEndpoint,
    timeoutMs: config.runtimeRequestTimeoutMs,
    observer: criInstrumentation(metrics, log),
  });
  observeRuntime(context, client);
  return client;
}

function openObserver(
  { config, log, signal, metrics: registry }: Context,
  bus: EventBus,
  file: ObjectsFile,
  runtime: RuntimeServiceClient,
  metrics: GatewayMetrics,
): RuntimeObserver {
  const publish: Publish = (name, event) => {
    bus.publish(name, event);
    const { observedBy = 'client' } = event.data as { observedBy?: string };
    metrics.published(name, observedBy);
  };
  const observer = new RuntimeObserver({
    runtime,
    publish,
    file,
    listener: metrics.observer,
    log,
    now: Date.now,
    signal,
    relistIntervalMs: config.relistIntervalMs,
    runtimeEvents: config.runtimeEvents,
    maxKnownContainers: config.maxKnownContainers,
  });
  knownObjectMetrics(registry, observer.objects);
  return observer;
}

/**
 * Tokens of what comes first, without being used: the bus says best that another process has the
 * state folder.
 */
const after = (...tokens: symbol[]): symbol[] => tokens;

const providers: Provider[] = [
  { provide: BUS, inject: [CONTEXT, SOCKETS], useFactory: openBus },
  { provide: OBJECTS_FILE, inject: [CONTEXT, ...after(BUS)], useFactory: openObjectsFile },
  { provide: RUNTIME, inject: [CONTEXT], useFactory: connectRuntime },
  {
    provide: CRI_VERSIONS,
    inject: [CONTEXT, RUNTIME],
    useFactory: ({ config, signal }: Context, runtime: RuntimeServiceClient) =>
      new CriVersions(
        runtime,
        probeByVersion(parseEndpoint(config.runtimeEndpoint).address),
        signal,
      ),
  },
  {
    provide: METRICS,
    inject: [CONTEXT],
    useFactory: ({ metrics }: Context) => gatewayMetrics(metrics),
  },
  {
    provide: SOCKETS,
    inject: [CONTEXT, RUNTIME, CRI_VERSIONS, METRICS],
    useFactory: openSockets,
  },
  {
    provide: OBSERVER,
    inject: [CONTEXT, BUS, OBJECTS_FILE, RUNTIME, METRICS],
    useFactory: openObserver,
  },
];

/** runtime-gateway as a NestJS module: who depends on whom, and in which order all of it ends. */
@Module({})
export class RuntimeGatewayModule
  implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  constructor(
    @Inject(CONTEXT) private readonly context: Context,
    @Inject(RUNTIME) private readonly runtime: RuntimeServiceClient,
    @Inject(CRI_VERSIONS) private readonly criVersions: CriVersions,
    @Inject(OBSERVER) private readonly observer: RuntimeObserver,
    @Inject(BUS) private readonly bus: EventBus,
    @Inject(OBJECTS_FILE) private readonly file: ObjectsFile,
    @Inject(SOCKETS) private readonly sockets: GatewaySockets,
  ) {}

  static create(context: Context): DynamicModule {
    return {
      module: RuntimeGatewayModule,
      controllers: [CommandsController],
      providers: [{ provide: CONTEXT, useValue: context }, ...providers],
    };
  }

  async onApplicationBootstrap(): Promise<void> {
    const { signal, takeOver } = this.context;
    this.sockets.observeWith(this.observer.calls);
    takeOver.onLost(() => this.#handOver());
    if (!this.sockets.isOpen) await this.sockets.open();
    this.observer.start();
    // Clients go elsewhere while queries still finish.
    signal.addEventListener('abort', () => void this.#closeSockets(), { once: true });
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#closeSockets();
    await this.observer.stop(observerDrainMs);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.bus.close({ drainMs: busDrainMs });
    this.criVersions.close();
    this.runtime.close();
    this.file.close();
  }

  /**
   * What calls in flight do from now on is seen by the instance that has taken over; that a stop
   * was asked for is noted for it.
   */
  async #handOver(): Promise<void> {
    this.sockets.stopObserving();
    await this.observer.stop(observerDrainMs);
    this.file.close();
    await this.bus.release();
  }

  /** Closing twice is closing once. */
  #closeSockets(): Promise<void> {
    return this.context.takeOver.drain((options) => this.sockets.close(options));
  }
}
