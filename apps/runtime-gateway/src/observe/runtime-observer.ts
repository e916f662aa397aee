import { inTime, KeyedQueue } from '@stowage/async';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { errorMessage } from '@stowage/errors';
import { RuntimeOutage } from '@stowage/service-kit';
import { traced } from '@stowage/tracing';
import { KnownObjects } from '../objects/known-objects';
import type { ObjectsFile } from '../objects/objects-file';
import { CallObserver, type Verb } from './call-observer';
import { CallsInFlight } from './calls-in-flight';
import { Lifecycle, type Publish } from './lifecycle';
import type { ObserverContext } from './observer-context';
import { ObservingSince } from './observing-since';
import { relist, type RelistResult } from './relist';
import { RuntimeLookups, tracedLookups } from './runtime-lookups';
import { RuntimeWatch } from './runtime-watch';
import { UncorrelatedChanges } from './uncorrelated-changes';

/** Where a failure of the observer happened: a closed set, for metrics. */
export type FailureSource = Verb | 'listing' | 'runtime-event' | 'lookup' | 'publish';

/** Notified of what the observer does; metrics implement it. */
export interface ObserverListener {
  failed(source: FailureSource): void;
  listed(result: RelistResult | undefined, durationMs: number): void;
  streaming(isStreaming: boolean): void;
}

export interface RuntimeObserverOptions {
  readonly runtime: RuntimeServiceClient;
  readonly publish: Publish;
  readonly file: Pick<ObjectsFile, 'remembered' | 'put' | 'drop' | 'timestamp' | 'setTimestamp'>;
  readonly listener: ObserverListener;
  readonly log: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  readonly now: () => number;
  /** Ends the watching; calls go on being observed until {@link RuntimeObserver.stop}. */
  readonly signal: AbortSignal;
  readonly relistIntervalMs: number;
  readonly runtimeEvents: 'auto' | 'always' | 'never';
  readonly maxKnownContainers: number;
  /** See `UncorrelatedChangesOptions`. */
  readonly attributionWaitMs?: number;
}

const defaultAttributionWaitMs = 10_000;
/** Limit of the Version call whose answer stands in RuntimeRecovered, milliseconds. */
const versionTimeoutMs = 2000;

/**
 * Everything that turns what happens in the runtime into events; knows nothing of how calls are
 * forwarded.
 */
export class RuntimeObserver {
  readonly objects: KnownObjects;
  /** Reads along the calls that clients make. */
  readonly calls: CallObserver;
  readonly #watch: RuntimeWatch;
  readonly #outage: RuntimeOutage;
  readonly #inFlight = new CallsInFlight<Verb>();
  readonly #over = new AbortController();

  constructor(private readonly options: RuntimeObserverOptions) {
    const { file, now } = options;
    const startedAtMs = now();
    const observing = new ObservingSince(file, now);
    this.objects = new KnownObjects({
      max: options.maxKnownContainers,
      store: file,
      ...file.remembered,
    });
    const context = this.#contextOf(observing);
    this.calls = new CallObserver({
      context,
      inFlight: this.#inFlight,
      onFailure: (verb, error) => this.#failed(verb, error),
    });
    const changes = new UncorrelatedChanges({
      context,
      inFlight: this.#inFlight,
      observing,
      followingSinceMs: startedAtMs,
      attributionWaitMs: options.attributionWaitMs ?? defaultAttributionWaitMs,
    });
    this.#outage = this.#outageOf();
    this.#watch = this.#watchOf(context, changes, observing);
  }

  /** How the runtime is watched now, and how often it was listed. */
  get watching(): { readonly mode: 'event-stream' | 'listing'; readonly listings: number } {
    return { mode: this.#watch.mode, listings: this.#watch.listed };
  }

  start(): void {
    this.#watch.start();
  }

  /**
   * Publishes what calls have shown so far, within `limitMs` milliseconds, and ends. To be called
   * when no call comes any more.
   */
  async stop(limitMs: number): Promise<void> {
    await inTime(this.calls.settled(), limitMs);
    this.#over.abort();
    this.#inFlight.giveUp();
    await Promise.all([this.#watch.ended(), this.calls.settled(), this.#outage.settled()]);
  }

  #contextOf(observing: ObservingSince): ObserverContext {
    const { runtime, publish, now, log } = this.options;
    return {
      objects: this.objects,
      lifecycle: new Lifecycle({
        objects: this.objects,
        publish,
        now,
        observing,
        onUnpublished: (event, subject, reason) => {
          this.#failed('publish', new Error(reason), { event, subject });
        },
      }),
      lookUp: tracedLookups(new RuntimeLookups(runtime, this.#over.signal)),
      queue: new KeyedQueue(),
      log,
      scheduleRelist: (error) => {
        if (error !== undefined) this.#failed('lookup', error);
        this.#watch.relistSoon();
      },
    };
  }

  #watchOf(
    { objects, queue }: ObserverContext,
    changes: UncorrelatedChanges,
    observing: ObservingSince,
  ): RuntimeWatch {
    const { runtime, now, listener, signal, log, relistIntervalMs, runtimeEvents } = this.options;
    const outage = this.#outage;
    return new RuntimeWatch({
      runtime,
      objects,
      changes,
      queue,
      relist: traced('gateway.listing', {}, (how: { signal: AbortSignal }) =>
        relist(
          {
            runtime,
            objects,
            now,
            changes,
            onLeft: (id, error) => this.#failed('listing', error, { id }),
          },
          how,
        ),
      ),
      onAvailability: (availability) => outage.changed(availability),
      availabilityPublished: () => outage.settled(),
      signal,
      observing,
      relistIntervalMs,
      runtimeEvents,
      log,
      metrics: {
        listed: (result, durationMs) => listener.listed(result, durationMs),
        streaming: (isStreaming) => listener.streaming(isStreaming),
        failed: (error) => this.#failed('runtime-event', error),
      },
    });
  }

  #outageOf(): RuntimeOutage {
    const { runtime, publish, now, file } = this.options;
    return new RuntimeOutage({
      endpoint: runtime.endpoint,
      version: async () => {
        const { runtimeName, runtimeVersion } = await runtime.version(
          {},
          { timeoutMs: versionTimeoutMs, signal: this.#over.signal },
        );
        return { name: runtimeName, version: runtimeVersion };
      },
      publish,
      now,
      since: {
        get: () => file.timestamp('unavailable-since'),
        set: (sinceMs) => file.setTimestamp('unavailable-since', sinceMs),
      },
      onUnpublished: (error) => this.#failed('publish', error),
    });
  }

  #failed(source: FailureSource, error: unknown, fields: object = {}): void {
    if (this.#over.signal.aborted) return;
    this.options.listener.failed(source);
    this.options.log.warn(
      { source, reason: errorMessage(error), ...fields },
      'the observer missed something; calls are not affected',
    );
  }
}
