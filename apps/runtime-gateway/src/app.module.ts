import { Inject, Module } from '@nestjs/common';
import type {
  BeforeApplicationShutdown,
  DynamicModule,
  OnApplicationBootstrap,
  OnApplicationShutdown,
  Provider,
} from '@nestjs/common';
import {
  combineObservers,
  connectRuntimeService,
  criCallLog,
  criMetrics,
  parseEndpoint,
} from '@stowage/cri-client';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import type { Endpoint, ListenOptions } from '@stowage/cri-endpoint';
import { instrumentEventBus, openEventBus } from '@stowage/event-bus';
import type { EventBus } from '@stowage/event-bus';
import { busSettings, observeEventBus, observeRuntime } from '@stowage/service-kit';
import type { ServiceContext } from '@stowage/service-kit';
import { CommandsController } from './commands.controller';
import type { GatewayConfig } from './config';
import { openGatewayEndpoint } from './gateway-endpoint';
import type { Publish } from './lifecycle';
import { gatewayMetrics } from './metrics';
import type { GatewayMetrics } from './metrics';
import { ObjectsFile } from './objects/objects-file';
import { openReadonlyEndpoint } from './readonly-endpoint';
import { RuntimeObserver } from './runtime-observer';
import { probeByVersion, RuntimePackages } from './runtime-packages';
import {
  BUS,
  CONTEXT,
  METRICS,
  OBJECTS_FILE,
  OBSERVER,
  PACKAGES,
  RUNNING,
  RUNTIME,
} from './tokens';

type Context = ServiceContext<GatewayConfig>;

/** What exists only once the app runs, for the metrics. */
interface Running {
  main?: Endpoint;
  readonly?: Endpoint;
  observer?: RuntimeObserver;
}

/** Time to hand waiting events to NATS at the stop, milliseconds; the rest stays on disk. */
const busDrainMs = 2000;
/** Time for the observer to look up what the last calls changed, milliseconds; the next start finds the rest. */
const observerDrainMs = 3000;

function openBus(context: Context): EventBus {
  const { app, config, log, metrics } = context;
  const bus = openEventBus({ ...busSettings(app, config), log });
  const measured = instrumentEventBus(bus, metrics);
  observeEventBus(context, measured);
  context.commands.use(measured);
  return measured;
}

/** After the bus, which tells when another process holds the state folder. */
function openObjectsFile({ app, config, log, health }: Context): ObjectsFile {
  const { stateDir, nativeBinding } = busSettings(app, config);
  return new ObjectsFile({
    stateDir,
    nativeBinding,
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
    observer: combineObservers(criMetrics(metrics), criCallLog(log)),
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

const listenOptions = (socketPath: string, mode: number, group: string): ListenOptions => ({
  socketPath,
  mode,
  ...(group === '' ? {} : { group }),
});

const providers: Provider[] = [
  { provide: RUNNING, useFactory: (): Running => ({}) },
  { provide: BUS, inject: [CONTEXT], useFactory: openBus },
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
        main: () => running.main?.stats(),
        readonly: () => running.readonly?.stats(),
        known: () => running.observer?.objects.counts ?? { sandbox: 0, container: 0 },
        turnedAway: () => running.observer?.objects.turnedAway ?? 0,
      }),
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
    @Inject(METRICS) private readonly metrics: GatewayMetrics,
    @Inject(BUS) private readonly bus: EventBus,
    @Inject(OBJECTS_FILE) private readonly file: ObjectsFile,
    @Inject(RUNNING) private readonly running: Running,
  ) {}

  static create(context: Context): DynamicModule {
    return {
      module: RuntimeGatewayModule,
      controllers: [CommandsController],
      providers: [{ provide: CONTEXT, useValue: context }, ...providers],
    };
  }

  async onApplicationBootstrap(): Promise<void> {
    const { config, signal, log } = this.context;
    const calls = this.metrics.calls;
    const runtimeSocket = parseEndpoint(config.runtimeEndpoint).address;
    const imageServiceSocket = config.imageRouting
      ? parseEndpoint(config.imageServiceEndpoint).address
      : undefined;
    const main = await openGatewayEndpoint(this.runtime, this.packages, this.observer, {
      listen: listenOptions(config.listen, config.listenMode, config.listenGroup),
      runtimeSocket,
      imageServiceSocket,
      calls,
      onLetGo: (reason, detail) =>
        log.warn({ reason, detail }, 'a connection is not followed any more; its bytes flow on'),
    });
    this.running.main = main;
    this.observer.start();
    log.info({ socket: main.socketPath }, 'serving CRI');
    if (config.listenReadonly !== '') {
      this.running.readonly = await openReadonlyEndpoint(this.runtime, this.packages, {
        listen: listenOptions(
          config.listenReadonly,
          config.listenReadonlyMode,
          config.listenReadonlyGroup,
        ),
        runtimeSocket,
        imageSocket: imageServiceSocket ?? parseEndpoint(config.imageEndpoint).address,
        imageSocketSpeaksBoth: config.imageRouting,
        verboseAllowed: config.readonlyVerbose,
        calls,
      });
      log.info({ socket: config.listenReadonly }, 'serving CRI, read-only');
    }
    // Clients go elsewhere while queries still finish.
    signal.addEventListener('abort', () => void this.#closeEndpoints(), { once: true });
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#closeEndpoints();
    await this.observer.stop(observerDrainMs);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.bus.close({ drainMs: busDrainMs });
    this.packages.close();
    this.runtime.close();
    this.file.close();
  }

  /** Calls in flight get half of the time to stop; closing twice is closing once. */
  async #closeEndpoints(): Promise<void> {
    const drainMs = Math.floor(this.context.config.stopTimeoutMs / 2);
    const { main, readonly } = this.running;
    await Promise.all([main?.close({ drainMs }), readonly?.close({ drainMs })]);
  }
}
