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
} from '@stowage/cri-client';
import type { ImageServiceClient, RuntimeServiceClient } from '@stowage/cri-client';
import { isSocketServed } from '@stowage/cri-endpoint';
import {
  checkEventBus,
  checkStateDir,
  instrumentEventBus,
  openEventBus,
  outboxFree,
} from '@stowage/event-bus';
import type { EventBus } from '@stowage/event-bus';
import { busSettings, observeEventBus, observeRuntime } from '@stowage/service-kit';
import type { ServiceContext } from '@stowage/service-kit';
import { CommandsController } from './commands.controller';
import { credentialSources, progressSettings, pullLimits, recordSettings } from './config';
import type { ImageServiceConfig } from './config';
import { EnsureImage } from './ensure/ensure-image';
import { imageEvents } from './listeners/image-events';
import { imageLog } from './listeners/image-log';
import type { ImageRuntime } from './runtime/image-runtime';
import { ImageSocket } from './endpoint/image-socket';
import { imageTraces } from './listeners/image-traces';
import { fanOut } from './listeners/listeners';
import type { ImageListeners } from './listeners/listeners';
import { imageMetrics } from './metrics';
import { nodeCredentials, requestHash } from './credentials/node-credentials';
import { openProgressWatch } from './pull/progress/open-progress';
import { PullImage } from './pull/pull-image';
import type { Pull, Puller, PullProgress } from './pull/pull';
import { checkPullJournal, openPullJournal } from './pull/pull-journal';
import type { OpenPullJournal, UnfinishedPull } from './pull/pull-journal';
import { PullQueue } from './pull/pull-queue';
import { keepPullRecords, openPullRecords } from './records/keep-pull-records';
import type { ImagePullRecords } from './records/image-pull-records';
import { RecordedPull } from './records/recorded-pull';
import { RemoveImage } from './remove/remove-image';
import { ShortNames } from './runtime/short-names';
import type { NodeCredentials } from './credentials/credentials';
import {
  BUS,
  CONTEXT,
  ENSURE,
  JOURNAL,
  LISTENERS,
  METRICS,
  NODE,
  PULL,
  PULLER,
  QUEUE,
  RECORDS,
  REMOVE,
  RUNTIME,
  SHORT_NAMES,
  SOCKET,
} from './tokens';

type Context = ServiceContext<ImageServiceConfig>;
type Metrics = ReturnType<typeof imageMetrics>;
type Records = ImagePullRecords | undefined;

/** Time to hand waiting events to NATS at the stop, milliseconds; the rest stays on disk. */
const busDrainMs = 2000;

/** How often it is looked for what replaced instances have left, milliseconds. */
const adoptIntervalMs = 1000;

/**
 * With `takeOver` calls are served before the state folder is ours: the instance that has it gives
 * it up when it sees that its socket was taken. Nothing may keep this one from serving from then
 * on, so what can be wrong is looked at before.
 */
async function openSocket(
  context: Context,
  runtime: ImageServiceClient,
  metrics: Metrics,
): Promise<ImageSocket> {
  const { app, config, log } = context;
  const socket = new ImageSocket(context, runtime, metrics.calls);
  if (config.takeOver) {
    checkEventBus({ ...busSettings(app, config), log });
    checkPullJournal(config.stateDir);
    if (await isSocketServed(config.listen)) checkStateDir(config.stateDir);
    await socket.open();
  }
  return socket;
}

async function openBus(context: Context, socket: ImageSocket): Promise<EventBus> {
  const { app, config, log, metrics, signal, takeOver } = context;
  if (config.takeOver) {
    try {
      await outboxFree(config.stateDir, { signal, log });
    } catch (error) {
      // Stopped, or replaced, before the start was over: calls are served already and may end.
      await takeOver.drain((options) => socket.close(options));
      throw error;
    }
  }
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

/**
 * Asks the runtime service for its name; the connection is made when the first short name comes.
 */
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
  // Everything that can fail comes before the socket.
  { provide: SOCKET, inject: [CONTEXT, RUNTIME, METRICS, NODE, RECORDS], useFactory: openSocket },
  { provide: BUS, inject: [CONTEXT, SOCKET], useFactory: openBus },
  { provide: RUNTIME, inject: [CONTEXT], useFactory: connectRuntime },
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
      fanOut(
        [
          imageEvents((name, event) => bus.publish(name, event)),
          metrics.listeners,
          imageLog(log),
          imageTraces(),
        ],
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
        onWarning: (warning) => {
          log.warn(warning);
        },
        onProblem: (problem) => {
          metrics.credentialProblem(problem.kind);
          log.warn(problem, 'credential source cannot be used');
        },
      }),
  },
  {
    provide: RECORDS,
    inject: [CONTEXT, METRICS],
    useFactory: ({ config, log }: Context, metrics: Metrics): Records => {
      const settings = recordSettings(config);
      if (settings === undefined) return undefined;
      return metrics.countRecords(
        openPullRecords(settings, {
          checked: metrics.recordChecked,
          problem: (what, error) => {
            metrics.recordProblem();
            log.warn({ err: error }, what);
          },
        }),
      );
    },
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
            'pull journal cannot be written: pulls that a kill interrupts may have no final event',
          ),
      }),
  },
  { provide: SHORT_NAMES, inject: [CONTEXT, RUNTIME], useFactory: openShortNames },
  {
    provide: PULL,
    inject: [CONTEXT, RUNTIME, NODE, LISTENERS, QUEUE, JOURNAL, SHORT_NAMES],
    useFactory: (
      { config, signal }: Context,
      runtime: ImageRuntime,
      node: NodeCredentials,
      { pull: listener }: Required<ImageListeners>,
      queue: PullQueue,
      journal: OpenPullJournal,
      shortNames: ShortNames,
    ) => {
      const progressed = (watched: Pull, progress: PullProgress) =>
        listener.progressed?.(watched, progress);
      const watch = openProgressWatch(progressSettings(config), runtime, progressed, signal);
      return new PullImage({
        runtime,
        node,
        hashOf: requestHash,
        listener,
        queue,
        progress: watch,
        journal,
        shortNames,
      });
    },
  },
  {
    provide: PULLER,
    inject: [PULL, RECORDS],
    useFactory: (puller: PullImage, records: Records): Puller =>
      records === undefined ? puller : new RecordedPull(puller, records),
  },
  {
    provide: REMOVE,
    inject: [RUNTIME, LISTENERS, PULL],
    useFactory: (runtime: ImageRuntime, { remove }: Required<ImageListeners>, puller: PullImage) =>
      new RemoveImage(runtime, remove, () => puller.published()),
  },
  {
    provide: ENSURE,
    inject: [RUNTIME, PULLER, NODE, LISTENERS, RECORDS, SHORT_NAMES],
    useFactory: (
      runtime: ImageRuntime,
      puller: Puller,
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
  constructor(
    @Inject(CONTEXT) private readonly context: Context,
    @Inject(RUNTIME) private readonly runtime: ImageServiceClient,
    @Inject(PULL) private readonly pulls: PullImage,
    @Inject(PULLER) private readonly puller: Puller,
    @Inject(REMOVE) private readonly remover: RemoveImage,
    @Inject(SOCKET) private readonly socket: ImageSocket,
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
    const { config, signal, log, takeOver } = this.context;
    const { records } = this;
    takeOver.onLost(() => this.#handOver());
    if (records !== undefined) {
      keepPullRecords(records, this.runtime, {
        pruneIntervalMs: config.imagePullRecordsPruneIntervalMs,
        // Those of a replaced instance may still be going on.
        mayRecover: () => !this.journal.hasPredecessors(),
        log,
        signal,
      });
    }
    this.#reportUnfinished(this.journal.unfinished);
    const adopting = setInterval(
      () => this.#reportUnfinished(this.journal.adopt()),
      adoptIntervalMs,
    );
    signal.addEventListener('abort', () => clearInterval(adopting.unref()), { once: true });
    this.socket.serveWith({ puller: this.puller, remover: this.remover });
    if (!this.socket.isOpen) await this.socket.open();
    // Clients go elsewhere while commands still finish.
    signal.addEventListener('abort', () => void this.#closeSocket(), { once: true });
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#closeSocket();
    await this.pulls.settled();
  }

  async onApplicationShutdown(): Promise<void> {
    this.journal.close();
    await this.bus.close({ drainMs: busDrainMs });
    this.runtime.close();
  }

  /**
   * The pulls of this process go on, in a journal of their own; what is left to publish goes
   * through the other instance.
   */
  async #handOver(): Promise<void> {
    this.journal.handOver();
    await this.bus.release();
  }

  #reportUnfinished(pulls: readonly UnfinishedPull[]): void {
    // Stopped before the runtime was there: the next run reports them.
    void this.pulls.reportUnfinished(pulls, this.context.signal).catch(() => undefined);
  }

  /** Closing twice is closing once. */
  #closeSocket(): Promise<void> {
    return this.context.takeOver.drain((options) => this.socket.close(options));
  }
}
