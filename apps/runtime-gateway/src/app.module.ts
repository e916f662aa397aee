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
import { instrumentEventBus, openEventBus } from '@stowage/event-bus';
import type { EventBus } from '@stowage/event-bus';
import { busSettings, observeEventBus, observeGivenUp, observeRuntime } from '@stowage/service-kit';
import type { ServiceContext } from '@stowage/service-kit';
import { CommandsController } from './commands.controller';
import type { GatewayConfig } from './config';
import { GatewaySockets } from './gateway-sockets';
import type { Publish } from './lifecycle';
import { gatewayMetrics } from './metrics';
import type { GatewayMetrics } from './metrics';
import { ObjectsFile } from './objects/objects-file';
import { RuntimeObserver } from './runtime-observer';
import { probeByVersion, RuntimePackages } from './runtime-packages';
import { stateFolderFree } from './state-folder';
import {
  BUS,
  CONTEXT,
  METRICS,
  OBJECTS_FILE,
  OBSERVER,
  PACKAGES,
  RUNNING,
  RUNTIME,
  SOCKETS,
} from './tokens';

type Context = ServiceContext<GatewayConfig>;

/** What exists only once the app runs, for the metrics. */
interface Running {
  sockets?: GatewaySockets;
  observer?: RuntimeObserver;
}

/** Time to hand waiting events to NATS at the stop, milliseconds; the rest stays on disk. */
const busDrainMs = 2000;
/** Time for the observer to look up what the last calls changed, milliseconds; the next start finds the rest. */
const observerDrainMs = 3000;

/** Longer than the stop of the process that is being replaced may take, milliseconds. */
const takeOverMarginMs = 5000;

/** With `takeOver` calls are served before the state folder is ours: the one that has it has to let them end first. */
async function openSockets(
  context: Context,
  runtime: RuntimeServiceClient,
  packages: RuntimePackages,
  metrics: GatewayMetrics,
  running: Running,
): Promise<GatewaySockets> {
  const { config, log } = context;
  const onReplaced = () => {
    log.info({ socket: config.listen }, 'another process has taken over the socket');
    process.kill(process.pid, 'SIGTERM');
  };
  const sockets = new GatewaySockets(
    context,
    runtime,
    packages,
    metrics.calls,
    onReplaced,
    observeGivenUp(context),
  );
  running.sockets = sockets;
  if (config.takeOver) await sockets.open();
  return sockets;
}

async function openBus(context: Context, sockets: GatewaySockets): Promise<EventBus> {
  const { app, config, log, metrics, signal } = context;
  if (config.takeOver) {
    const limitMs = config.stopTimeoutMs + takeOverMarginMs;
    try {
      await stateFolderFree(config.stateDir, limitMs, { signal });
    } catch (error) {
      // Stopped, or replaced, before the start was over: calls are served already and may end.
      await sockets.close({ drainMs: Math.floor(config.stopTimeoutMs / 2) });
      throw error;
    }
  }
  const bus = instrumentEventBus(openEventBus({ ...busSettings(app, config), log }), metrics);
  observeEventBus(context, bus);
  context.commands.use(bus);
  return bus;
}

/** After the bus, which tells when another process holds the state folder. */
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
  { config, log, signal }: Context,
  bus: EventBus,
  file: ObjectsFile,
  runtime: RuntimeServiceClient,
  metrics: GatewayMetrics,
  running: Running,
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
  running.observer = observer;
  return observer;
}

const providers: Provider[] = [
  { provide: RUNNING, useFactory: (): Running => ({}) },
  { provide: BUS, inject: [CONTEXT, SOCKETS], useFactory: openBus },
  { provide: OBJECTS_FILE, inject: [CONTEXT, BUS], useFactory: openObjectsFile },
  { provide: RUNTIME, inject: [CONTEXT], useFactory: connectRuntime },
  {
    provide: PACKAGES,
    inject: [CONTEXT, RUNTIME],
    useFactory: ({ config, signal }: Context, runtime: RuntimeServiceClient) =>
      new RuntimePackages(
        runtime,
        probeByVersion(parseEndpoint(config.runtimeEndpoint).address),
        signal,
      ),
  },
  {
    provide: METRICS,
    inject: [CONTEXT, RUNNING],
    useFactory: ({ metrics }: Context, running: Running) =>
      gatewayMetrics(metrics, {
        main: () => running.sockets?.stats('main'),
        readonly: () => running.sockets?.stats('readonly'),
        known: () => running.observer?.objects.counts ?? { sandbox: 0, container: 0 },
        turnedAway: () => running.observer?.objects.turnedAway ?? 0,
      }),
  },
  {
    provide: SOCKETS,
    inject: [CONTEXT, RUNTIME, PACKAGES, METRICS, RUNNING],
    useFactory: openSockets,
  },
  {
    provide: OBSERVER,
    inject: [CONTEXT, BUS, OBJECTS_FILE, RUNTIME, METRICS, RUNNING],
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
    @Inject(PACKAGES) private readonly packages: RuntimePackages,
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
    const { signal } = this.context;
    this.sockets.observeWith(this.observer);
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
    this.packages.close();
    this.runtime.close();
    this.file.close();
  }

  /** Calls in flight get half of the time to stop; closing twice is closing once. */
  async #closeSockets(): Promise<void> {
    const drainMs = Math.floor(this.context.config.stopTimeoutMs / 2);
    await this.sockets.close({ drainMs });
  }
}
