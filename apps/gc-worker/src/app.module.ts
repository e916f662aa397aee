import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import {
  connectImageService,
  connectRuntimeService,
  criInstrumentation,
  type ImageServiceClient,
  type RuntimeServiceClient,
} from '@stowage/cri-client';
import { errorMessage } from '@stowage/errors';
import { EventFormatError } from '@stowage/events';
import { instrumentEventBus, openEventBus, type EventBus } from '@stowage/event-bus';
import {
  busSettings,
  observeEventBus,
  observeRuntime,
  type ServiceContext,
} from '@stowage/service-kit';
import { currentTrace } from '@stowage/tracing';
import { CollectionRunner, defaultAccountWaitMs } from './collect/collection-runner';
import { CommandsController } from './commands.controller';
import { policyOf, type GcConfig } from './config';
import { CriRuntime } from './runtime/cri-runtime';
import { ImageDetector } from './detect/detect-images';
import { DiskWatch } from './disk/disk-watch';
import { ImageContents } from './detect/image-contents';
import { ImageEvents } from './detect/image-events';
import { ImageHints } from './detect/image-hints';
import { ImageList } from './detect/image-list';
import { LivePolicy } from './policy/live-policy';
import { measureFileSystem } from './disk/measure-file-system';
import { defaultMeterLimits } from './disk/measure-freed';
import { gcMetrics, type GcMetrics } from './metrics';
import type { Publish, PublishAll } from './publish';
import { GC_QUERIES, GcQueries } from './queries';
import { lockRuntime } from './runtime/node-lock';
import { policyFiles } from './read-policy';
import { ImageRecordStore } from './records/record-store';
import { Worker } from './worker';

type Context = ServiceContext<GcConfig>;

const CONTEXT = Symbol('ServiceContext');
const POLICY = Symbol('LivePolicy');
const METRICS = Symbol('GcMetrics');
const RECORDS = Symbol('ImageRecordStore');
const BUS = Symbol('EventBus');
const PUBLISH = Symbol('Publish');
const PUBLISH_ALL = Symbol('PublishAll');
const CLIENTS = Symbol('CriClients');
const RUNTIME = Symbol('Runtime');
const HINTS = Symbol('ImageHints');
const DISKS = Symbol('DiskWatch');
const DETECTOR = Symbol('ImageDetector');
const RUNNER = Symbol('CollectionRunner');
const IMAGE_LIST = Symbol('ImageList');
const LOCK = Symbol('RuntimeLock');
const WORKER = Symbol('Worker');

const now = (): number => Date.now();

/** Throws when another worker holds the state directory. */
function openRecords(
  { config, log, health }: Context,
  policy: LivePolicy,
  metrics: GcMetrics,
): ImageRecordStore {
  const store = ImageRecordStore.open({
    stateDir: config.stateDir,
    keep: policy.current.differences.records,
    now: () => new Date(now()),
    log,
    onSetAside: () => {
      metrics.records.wasSetAside();
    },
    onWriteError: () => {
      metrics.records.writeFailed();
    },
    onStatus: ({ state, path: file, reason }) => {
      metrics.records.isWritten(state === 'on-disk');
      health.report(
        'records',
        state === 'not-written'
          ? { state: 'degraded', reason: `${file}: ${reason ?? 'cannot be written'}` }
          : { state: 'ok' },
      );
    },
  });
  return store;
}

/** The policy, read again from the files that this process was started with. */
async function openPolicy(
  { config, version, log, health }: Context,
  metrics: GcMetrics,
): Promise<LivePolicy> {
  const argv = process.argv.slice(2);
  const files = await policyFiles({ argv, env: process.env, version, running: config });
  return new LivePolicy({
    ...files,
    first: policyOf(config),
    log,
    metrics: metrics.policy,
    now,
    health: (problem) => {
      health.report(
        'policy',
        problem === undefined ? { state: 'ok' } : { state: 'degraded', reason: problem },
      );
    },
  });
}

function connectRuntime({ config, log, metrics, health }: Context): CriClients {
  const observer = criInstrumentation(metrics, log);
  const options = { timeoutMs: config.runtimeRequestTimeoutMs, observer };
  const runtime = connectRuntimeService({ endpoint: config.runtimeEndpoint, ...options });
  const image = connectImageService({ endpoint: config.imageEndpoint, ...options });
  observeRuntime({ health }, runtime);
  observeRuntime({ health }, image, 'image-runtime');
  return { runtime, image };
}

interface CriClients {
  readonly runtime: RuntimeServiceClient;
  readonly image: ImageServiceClient;
}

function openBus(context: Context, store: ImageRecordStore): EventBus {
  const { app, config, log, metrics } = context;
  const bus = instrumentEventBus(openEventBus({ ...busSettings(app, config), log }), metrics);
  observeEventBus(context, bus);
  store.settleTold(bus.nextSequence());
  context.commands.use(bus);
  return bus;
}

/** An event that breaks its own schema is a fault of this program: said in the log, never in the way of the work. */
function publisher({ log }: Context, bus: EventBus): Publish {
  return (name, subject, data) => {
    try {
      bus.publish(name, { subject, data, traceparent: currentTrace().traceparent });
    } catch (error) {
      log.error({ event: name, subject, reason: errorMessage(error) }, 'event not published');
    }
  };
}

/** As {@link publisher}; where one event is at fault the others go out all the same. */
function batchPublisher({ log }: Context, bus: EventBus, publish: Publish): PublishAll {
  return (name, events) => {
    if (events.length === 0) return;
    const { traceparent } = currentTrace();
    try {
      bus.publishAll(
        name,
        events.map((event) => ({ ...event, traceparent })),
      );
    } catch (error) {
      if (error instanceof EventFormatError) {
        for (const { subject, data } of events) publish(name, subject, data);
        return;
      }
      log.error(
        { event: name, count: events.length, reason: errorMessage(error) },
        'events not published',
      );
    }
  };
}

/** At most one line a minute says that hints are refused; the metric counts them all. */
const refusalLogMs = 60_000;

function rememberedHints(
  { config, log }: Context,
  store: ImageRecordStore,
  metrics: GcMetrics,
): ImageHints {
  let loggedAt = -Infinity;
  const hints = new ImageHints({
    maxPullMs: config.maxPullMs,
    maxHoldMs: config.maxHoldMs,
    refused: (hint) => {
      metrics.detection.hintRefused(hint);
      if (performance.now() - loggedAt < refusalLogMs) return;
      loggedAt = performance.now();
      log.warn(hint, 'hints of events are refused');
    },
  });
  const stored = [...store.holds()];
  const held = new Map(stored.flatMap(([name, until]) => [...hints.hold([name], until, now())]));
  // Names of holds that have passed meanwhile, and those that an earlier version wrote as they were given.
  const others = stored.flatMap(([name]) => (held.has(name) ? [] : [name]));
  if (others.length > 0) {
    store.dropHolds(others);
    store.setHolds(held);
  }
  return hints;
}

/** Tokens of what comes first, without being used: the records say best that another worker has the state directory. */
const after = (...tokens: symbol[]): symbol[] => tokens;

const providers: Provider[] = [
  {
    provide: POLICY,
    inject: [CONTEXT, METRICS],
    useFactory: openPolicy,
  },
  {
    provide: METRICS,
    inject: [CONTEXT],
    useFactory: ({ metrics }: Context) => gcMetrics(metrics),
  },
  { provide: RECORDS, inject: [CONTEXT, POLICY, METRICS], useFactory: openRecords },
  {
    provide: LOCK,
    inject: [CONTEXT, ...after(RECORDS)],
    useFactory: ({ config, log }: Context) => lockRuntime(config.imageEndpoint, log),
  },
  { provide: BUS, inject: [CONTEXT, RECORDS, ...after(LOCK)], useFactory: openBus },
  { provide: PUBLISH, inject: [CONTEXT, BUS], useFactory: publisher },
  { provide: PUBLISH_ALL, inject: [CONTEXT, BUS, PUBLISH], useFactory: batchPublisher },
  { provide: CLIENTS, inject: [CONTEXT, ...after(LOCK)], useFactory: connectRuntime },
  {
    provide: RUNTIME,
    inject: [CLIENTS],
    useFactory: ({ runtime, image }: CriClients) => new CriRuntime(runtime, image),
  },
  { provide: HINTS, inject: [CONTEXT, RECORDS, METRICS], useFactory: rememberedHints },
  {
    provide: DISKS,
    inject: [CONTEXT, POLICY, RECORDS, BUS, PUBLISH, METRICS, RUNTIME],
    useFactory: (
      { config, log, health }: Context,
      policy: LivePolicy,
      store: ImageRecordStore,
      bus: EventBus,
      publish: Publish,
      metrics: GcMetrics,
      runtime: CriRuntime,
    ) =>
      new DiskWatch({
        // A getter here and below: a reload replaces the policy.
        get policy() {
          return policy.current;
        },
        store,
        publish,
        nextSequence: () => bus.nextSequence(),
        metrics: metrics.disk,
        runtime,
        log,
        now,
        measure: measureFileSystem,
        hostRoot: config.hostRoot,
        health: (problem) => {
          health.report(
            'image-filesystem',
            problem === undefined ? { state: 'ok' } : { state: 'degraded', reason: problem },
          );
        },
      }),
  },
  {
    provide: DETECTOR,
    inject: [CONTEXT, POLICY, RECORDS, BUS, PUBLISH_ALL, METRICS, RUNTIME, HINTS],
    useFactory: (
      context: Context,
      policy: LivePolicy,
      store: ImageRecordStore,
      bus: EventBus,
      publishAll: PublishAll,
      metrics: GcMetrics,
      runtime: CriRuntime,
      hints: ImageHints,
    ) =>
      new ImageDetector({
        get differences() {
          return policy.current.differences;
        },
        get exempt() {
          return policy.exempt;
        },
        get regretWindowMs() {
          return policy.current.regretWindowMs;
        },
        get needsLabels() {
          return policy.needsLabels;
        },
        contents: new ImageContents(runtime),
        sandboxImage: context.config.sandboxImage,
        lostContainerWaitMs: context.config.lostContainerWaitMs,
        useUnknown: (reason) => {
          context.health.report(
            'image-use',
            reason === undefined
              ? { state: 'ok' }
              : { state: 'degraded', reason: `unused images are kept: ${reason}` },
          );
        },
        store,
        publishAll,
        nextSequence: () => bus.nextSequence(),
        metrics: metrics.detection,
        runtime,
        hints,
        log: context.log,
        now,
      }),
  },
  {
    provide: RUNNER,
    inject: [
      CONTEXT,
      POLICY,
      RECORDS,
      BUS,
      PUBLISH,
      PUBLISH_ALL,
      METRICS,
      RUNTIME,
      DETECTOR,
      DISKS,
    ],
    useFactory: (
      { config, log }: Context,
      policy: LivePolicy,
      store: ImageRecordStore,
      bus: EventBus,
      publish: Publish,
      publishAll: PublishAll,
      metrics: GcMetrics,
      runtime: CriRuntime,
      detector: ImageDetector,
      disks: DiskWatch,
    ) =>
      new CollectionRunner({
        get policy() {
          return policy.current;
        },
        store,
        publish,
        publishAll,
        nextSequence: () => bus.nextSequence(),
        metrics: metrics.collection,
        runtime,
        detector,
        disks,
        log,
        now,
        meter: { ...defaultMeterLimits, finalWaitMs: config.freeingWaitMs },
        accountWaitMs: defaultAccountWaitMs,
        removalTimeoutMs: config.removalTimeoutMs,
      }),
  },
  {
    provide: IMAGE_LIST,
    inject: [CONTEXT, METRICS, RUNTIME],
    useFactory: ({ log }: Context, metrics: GcMetrics, runtime: CriRuntime) =>
      new ImageList({ runtime, metrics: metrics.detection, log, now }),
  },
  {
    provide: GC_QUERIES,
    inject: [CONTEXT, IMAGE_LIST, RUNNER, RECORDS, DISKS, POLICY, DETECTOR],
    useFactory: (
      { config }: Context,
      imageList: ImageList,
      runner: CollectionRunner,
      store: ImageRecordStore,
      disks: DiskWatch,
      policy: LivePolicy,
      detector: ImageDetector,
    ) => {
      const { nodeStatusMaxImages } = config;
      return new GcQueries({
        ...{ runner, store, disks, policy, detector, imageList, nodeStatusMaxImages },
      });
    },
  },
  {
    provide: WORKER,
    inject: [CONTEXT, IMAGE_LIST, POLICY, RUNNER, DISKS, RECORDS, HINTS, BUS, CLIENTS, DETECTOR],
    useFactory: (
      { config, log, health, signal }: Context,
      imageList: ImageList,
      policy: LivePolicy,
      runner: CollectionRunner,
      disks: DiskWatch,
      store: ImageRecordStore,
      hints: ImageHints,
      bus: EventBus,
      clients: CriClients,
      detector: ImageDetector,
    ) =>
      new Worker({
        config,
        imageList,
        policy,
        runner,
        disks,
        store,
        bus,
        health,
        log,
        signal,
        now,
        events: new ImageEvents({
          nodeName: config.nodeName,
          hints,
          store,
          containerRemoved: (containerId) => {
            detector.containerRemoved(containerId);
          },
          settleRemovals: (imageId) => {
            runner.cameBack(imageId);
          },
          now,
        }),
        runtimes: [clients.runtime, clients.image],
      }),
  },
];

/** gc-worker as a NestJS application. */
@Module({})
export class GcWorkerModule {
  /** The module over a running service's context; its providers open state, runtime and event bus. */
  static create(context: Context): DynamicModule {
    return {
      module: GcWorkerModule,
      controllers: [CommandsController],
      providers: [{ provide: CONTEXT, useValue: context }, ...providers],
    };
  }
}
