import { Inject, Module } from '@nestjs/common';
import type {
  BeforeApplicationShutdown,
  DynamicModule,
  OnApplicationBootstrap,
  OnApplicationShutdown,
  Provider,
} from '@nestjs/common';
import {
  connectImageService,
  connectRuntimeService,
  criInstrumentation,
  parseEndpoint,
} from '@stowage/cri-client';
import type { ImageServiceClient, RuntimeServiceClient } from '@stowage/cri-client';
import type { Endpoint } from '@stowage/cri-endpoint';
import { instrumentEventBus, openEventBus } from '@stowage/event-bus';
import type { EventBus } from '@stowage/event-bus';
import { busSettings, observeEventBus, observeRuntime } from '@stowage/service-kit';
import type { ServiceContext } from '@stowage/service-kit';
import { CommandsController } from './commands.controller';
import { credentialSources, pullLimits } from './config';
import type { ImageServiceConfig } from './config';
import { EnsureImage } from './ensure-image';
import { openImageEndpoint } from './image-endpoint';
import { imageEvents } from './image-events';
import { imageLog } from './image-log';
import type { ImageRuntime } from './image-runtime';
import { tellAll } from './listeners';
import type { ImageListeners } from './listeners';
import { imageMetrics } from './metrics';
import { nodeCredentials, requestHash } from './node-credentials';
import { openProgressWatch } from './progress/open-progress';
import type { PullProgress } from './progress/pull-progress';
import { PullCoalescer } from './pull-coalescer';
import { PullImage } from './pull-image';
import type { FinishedPull, Pull } from './pull-image';
import { openPullJournal } from './pull-journal';
import type { OpenPullJournal } from './pull-journal';
import { PullQueue } from './pull-queue';
import { keepPullRecords, openPullRecords } from './records/keep-pull-records';
import type { ImagePullRecords } from './records/image-pull-records';
import { RecordedPull } from './records/recorded-pull';
import { RemoveImage } from './remove-image';
import { ShortNames } from './short-names';
import type { NodeCredentials } from './credentials';
import {
  BUS,
  CONTEXT,
  ENSURE,
  JOURNAL,
  LISTENERS,
  METRICS,
  NODE,
  PULL,
  PULLS,
  QUEUE,
  RECORDS,
  REMOVE,
  RUNTIME,
  SHORT_NAMES,
} from './tokens';

type Context = ServiceContext<ImageServiceConfig>;
type Metrics = ReturnType<typeof imageMetrics>;
type Pulls = PullCoalescer<FinishedPull>;
type Records = ImagePullRecords | undefined;

/** Time to hand waiting events to NATS at the stop, milliseconds; the rest stays on disk. */
const busDrainMs = 2000;

function openBus(context: Context): EventBus {
  const { app, config, log, metrics } = context;
  const bus = instrumentEventBus(openEventBus({ ...busSettings(app, config), log }), metrics);
  observeEventBus(context, bus);
  context.commands.use(bus);
  return bus;
}

function connectRuntime(context: Context): ImageServiceClient {
  const { config, log, metrics } = context;
  const client = connectImageService({
    endpoint: config.imageEndpoint,
    timeoutMs: config.runtimeRequestTimeoutMs,
    observer: criInstrumentation(metrics, log),
  });
  observeRuntime(context, client);
  return client;
}

/** Asks the runtime service for its name; the connection is made when the first short name comes. */
function openShortNames({ config, log, signal }: Context, runtime: ImageRuntime): ShortNames {
  let client: RuntimeServiceClient | undefined;
  signal.addEventListener('abort', () => client?.close(), { once: true });
  return new ShortNames({
    availability: () => runtime.availability(),
    version: (options) => {
      client ??= connectRuntimeService({ endpoint: config.runtimeEndpoint });
      return client.version({}, options);
    },
    log,
  });
}

const providers: Provider[] = [
  { provide: BUS, inject: [CONTEXT], useFactory: openBus },
  { provide: RUNTIME, inject: [CONTEXT], useFactory: connectRuntime },
  { provide: PULLS, useFactory: () => new PullCoalescer<FinishedPull>() },
  {
    provide: QUEUE,
    inject: [CONTEXT],
    useFactory: ({ config }: Context) => new PullQueue(pullLimits(config)),
  },
  {
    provide: METRICS,
    inject: [CONTEXT, QUEUE],
    useFactory: ({ metrics }: Context, queue: PullQueue) =>
      imageMetrics(metrics, { inFlight: () => queue.running, waiting: () => queue.waiting }),
  },
  {
    provide: LISTENERS,
    inject: [CONTEXT, BUS, METRICS],
    useFactory: ({ log }: Context, bus: EventBus, metrics: Metrics) =>
      tellAll(
        [imageEvents((name, event) => bus.publish(name, event)), metrics.listeners, imageLog(log)],
        (error) => log.error({ err: error }, 'an event, metric or log line was lost'),
      ),
  },
  {
    provide: NODE,
    inject: [CONTEXT, METRICS],
    useFactory: ({ config, log }: Context, metrics: Metrics) =>
      nodeCredentials({
        ...credentialSources(config),
        onProviderRun: metrics.providerRan,
        onProblem: (problem) => {
          metrics.credentialProblem(problem.kind);
          log.warn(problem, 'credential source cannot be used');
        },
      }),
  },
  {
    provide: RECORDS,
    inject: [CONTEXT, METRICS],
    useFactory: ({ config, log }: Context, metrics: Metrics): Records =>
      metrics.countRecords(
        openPullRecords(config, {
          checked: metrics.recordChecked,
          problem: (what, error) => {
            metrics.recordProblem();
            log.warn({ err: error }, what);
          },
        }),
      ),
  },
  {
    provide: JOURNAL,
    inject: [CONTEXT, BUS],
    useFactory: ({ config, log }: Context, bus: EventBus) =>
      openPullJournal({
        stateDir: config.stateDir,
        nextSequence: () => bus.nextSequence(),
        problem: (error) =>
          log.warn(
            { err: error },
            'trouble with the pull journal: pulls that a kill cuts short may have no end',
          ),
      }),
  },
  { provide: SHORT_NAMES, inject: [CONTEXT, RUNTIME], useFactory: openShortNames },
  {
    provide: PULL,
    inject: [CONTEXT, RUNTIME, NODE, LISTENERS, PULLS, QUEUE, JOURNAL, SHORT_NAMES],
    useFactory: (
      { config, signal }: Context,
      runtime: ImageRuntime,
      node: NodeCredentials,
      { pull }: Required<ImageListeners>,
      pulls: Pulls,
      queue: PullQueue,
      journal: OpenPullJournal,
      shortNames: ShortNames,
    ) => {
      const progressed = (watched: Pull, progress: PullProgress) =>
        pull.progressed?.(watched, progress);
      const watch = openProgressWatch(config, runtime, progressed, signal);
      return new PullImage(
        runtime,
        node,
        requestHash,
        pull,
        pulls,
        queue,
        watch,
        journal,
        undefined,
        shortNames,
      );
    },
  },
  {
    provide: REMOVE,
    inject: [RUNTIME, LISTENERS, PULL],
    useFactory: (runtime: ImageRuntime, { remove }: Required<ImageListeners>, puller: PullImage) =>
      new RemoveImage(runtime, remove, () => puller.told()),
  },
  {
    provide: ENSURE,
    inject: [RUNTIME, PULL, NODE, LISTENERS, RECORDS, SHORT_NAMES],
    useFactory: (
      runtime: ImageRuntime,
      puller: PullImage,
      node: NodeCredentials,
      { ensure: listener }: Required<ImageListeners>,
      records: Records,
      shortNames: ShortNames,
    ) => {
      const common = { runtime, puller, node, hashOf: requestHash, listener };
      return new EnsureImage({ ...common, records, shortNames });
    },
  },
];

/** image-service as a NestJS module: who depends on whom, and in which order all of it ends. */
@Module({})
export class ImageServiceModule
  implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  #endpoint: Endpoint | undefined;

  constructor(
    @Inject(CONTEXT) private readonly context: Context,
    @Inject(RUNTIME) private readonly runtime: ImageServiceClient,
    @Inject(PULL) private readonly puller: PullImage,
    @Inject(REMOVE) private readonly remover: RemoveImage,
    @Inject(METRICS) private readonly metrics: Metrics,
    @Inject(BUS) private readonly bus: EventBus,
    @Inject(JOURNAL) private readonly journal: OpenPullJournal,
    @Inject(RECORDS) private readonly records: Records,
  ) {}

  static create(context: Context): DynamicModule {
    return {
      module: ImageServiceModule,
      controllers: [CommandsController],
      providers: [{ provide: CONTEXT, useValue: context }, ...providers],
    };
  }

  async onApplicationBootstrap(): Promise<void> {
    const { config, signal, log } = this.context;
    const { records } = this;
    if (records !== undefined) {
      const pruneIntervalMs = config.imagePullRecordsPruneIntervalMs;
      keepPullRecords(records, this.runtime, { pruneIntervalMs, log, signal });
    }
    void this.puller
      .tellUnfinished(this.journal.unfinished, signal)
      // Stopped before the runtime was there: the next run tells them.
      .catch(() => undefined);
    const puller = records === undefined ? this.puller : new RecordedPull(this.puller, records);
    const endpoint = await openImageEndpoint(this.runtime, puller, this.remover, {
      socketPath: config.listen,
      imageSocket: parseEndpoint(config.imageEndpoint).address,
      runtimeSocket: parseEndpoint(config.runtimeEndpoint).address,
      calls: this.metrics.calls,
    });
    this.#endpoint = endpoint;
    log.info({ socket: endpoint.socketPath }, 'serving CRI ImageService');
    // Clients go elsewhere while commands still finish.
    signal.addEventListener('abort', () => void this.#closeEndpoint(endpoint), { once: true });
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (this.#endpoint !== undefined) await this.#closeEndpoint(this.#endpoint);
    await this.puller.settled();
  }

  async onApplicationShutdown(): Promise<void> {
    this.journal.close();
    await this.bus.close({ drainMs: busDrainMs });
    this.runtime.close();
  }

  /** Calls in flight get half of the time to stop; closing twice is closing once. */
  async #closeEndpoint(endpoint: Endpoint): Promise<void> {
    await endpoint.close({ drainMs: Math.floor(this.context.config.stopTimeoutMs / 2) });
  }
}
