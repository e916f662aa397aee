import type { RuntimeServiceClient } from '@stowage/cri-client';
import { errorMessage } from '@stowage/errors';
import { inSpan } from '@stowage/tracing';
import { CallObserver } from './call-observer';
import type { Verb } from './call-observer';
import { CallsInFlight } from './calls-in-flight';
import { Lanes } from './lanes';
import { Lifecycle } from './lifecycle';
import type { Publish } from './lifecycle';
import { KnownObjects } from './objects/known-objects';
import type { ObjectsFile } from './objects/objects-file';
import type { Observing } from './observing';
import { OutsideSightings } from './outside-sightings';
import { relist } from './relist';
import type { RelistResult } from './relist';
import { RuntimeLookups } from './runtime-lookups';
import { RuntimeOutage } from './runtime-outage';
import { RuntimeWatch } from './runtime-watch';

/** Where a failure of the observer happened: a closed set, for metrics. */
export type FailureSource = Verb | 'listing' | 'runtime-event' | 'lookup' | 'publish';

/** Hears of what the observer does; metrics implement it. */
export interface ObserverListener {
  failed(source: FailureSource): void;
  listed(result: RelistResult | undefined, durationMs: number): void;
  streaming(isStreaming: boolean): void;
}

export interface RuntimeObserverOptions {
  readonly runtime: RuntimeServiceClient;
  readonly publish: Publish;
  readonly file: Pick<ObjectsFile, 'remembered' | 'put' | 'drop' | 'moment' | 'setMoment'>;
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
  /** See `OutsideSightingsOptions`. */
  readonly attributionWaitMs?: number;
}

const defaultAttributionWaitMs = 10_000;

/** Everything that turns what happens in the runtime into events; knows nothing of how calls are forwarded. */
export class RuntimeObserver {
  readonly objects: KnownObjects;
  /** Reads along the calls that clients make. */
  readonly calls: CallObserver;
  readonly #watch: RuntimeWatch;
  readonly #inFlight = new CallsInFlight<Verb>();
  readonly #over = new AbortController();

  constructor(private readonly options: RuntimeObserverOptions) {
    const { runtime, publish, file, listener, now, signal, log } = options;
    const startedAtMs = now();
    // A clock that was ahead and was set right must not make everything since look old.
    const observingSinceMs = Math.min(file.moment('observing-since') ?? startedAtMs, startedAtMs);
    file.setMoment('observing-since', observingSinceMs);

    this.objects = new KnownObjects({
      max: options.maxKnownContainers,
      store: file,
      ...file.remembered,
    });
    const lanes = new Lanes();
    const lookUp = new RuntimeLookups(runtime, this.#over.signal);
    const lifecycle = new Lifecycle({
      objects: this.objects,
      publish,
      now,
      observingSinceMs,
      onUnpublished: (event, subject, reason) => {
        this.#failed('publish', new Error(reason), { event, subject });
      },
    });
    const observing: Observing = {
      objects: this.objects,
      lifecycle,
      lookUp,
      lanes,
      log,
      leaveToListing: (error) => {
        if (error !== undefined) this.#failed('lookup', error);
        this.#watch.relistSoon();
      },
    };
    this.calls = new CallObserver({
      observing,
      inFlight: this.#inFlight,
      onFailure: (verb, error) => this.#failed(verb, error),
    });
    const sightings = new OutsideSightings({
      observing,
      inFlight: this.#inFlight,
      observingSinceMs,
      followingSinceMs: startedAtMs,
      attributionWaitMs: options.attributionWaitMs ?? defaultAttributionWaitMs,
    });
    const outage = new RuntimeOutage({
      runtime,
      publish,
      now,
      since: {
        get: () => file.moment('unavailable-since'),
        set: (sinceMs) => file.setMoment('unavailable-since', sinceMs),
      },
      onUnpublished: (error) => this.#failed('publish', error),
    });
    this.#watch = new RuntimeWatch({
      runtime,
      objects: this.objects,
      sightings,
      lanes,
      relist: (how) =>
        inSpan('gateway.listing', {}, () =>
          relist(
            {
              runtime,
              objects: this.objects,
              now,
              sightings,
              onLeft: (id, error) => this.#failed('listing', error, { id }),
            },
            how,
          ),
        ),
      onAvailability: (availability) => outage.changed(availability),
      availabilityTold: () => outage.settled(),
      signal,
      observingSinceMs,
      relistIntervalMs: options.relistIntervalMs,
      runtimeEvents: options.runtimeEvents,
      log,
      metrics: {
        listed: (result, durationMs) => listener.listed(result, durationMs),
        streaming: (isStreaming) => listener.streaming(isStreaming),
        failed: (error) => this.#failed('runtime-event', error),
      },
    });
  }

  /** How the runtime is watched now, and how often it was listed. */
  get watching(): { readonly mode: 'event-stream' | 'listing'; readonly listings: number } {
    return { mode: this.#watch.mode, listings: this.#watch.listed };
  }

  start(): void {
    this.#watch.start();
  }

  /** Tells what calls have shown so far, within `limitMs`, and ends. To be called when no call comes any more. */
  async stop(limitMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, limitMs)));
    await Promise.race([this.calls.settled(), late]);
    clearTimeout(timer);
    this.#over.abort();
    this.#inFlight.giveUp();
    await Promise.all([this.#watch.ended(), this.calls.settled()]);
  }

  #failed(source: FailureSource, error: unknown, fields: object = {}): void {
    if (this.#over.signal.aborted) return;
    this.options.listener.failed(source);
    this.options.log.warn(
      { source, reason: errorMessage(error), ...fields },
      'the observer missed something; calls are not touched',
    );
  }
}
