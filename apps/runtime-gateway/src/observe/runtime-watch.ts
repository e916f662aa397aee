import { Loop, type KeyedQueue } from '@stowage/async';
import type { RuntimeAvailability, RuntimeServiceClient } from '@stowage/cri-client';
import { errorMessage, toGrpcStatus } from '@stowage/errors';
import { millisecondsOf } from '../objects/cri-facts';
import { broadcastsEvents } from './event-stream-mode';
import type { KnownObjects } from '../objects/known-objects';
import { onContainerEvent } from './on-container-event';
import type { UncorrelatedChanges } from './uncorrelated-changes';
import type { RelistResult } from './relist';

/** What the watch uses of the runtime. */
export type WatchedRuntime = Pick<
  RuntimeServiceClient,
  'availability' | 'onAvailability' | 'whenAvailable' | 'getContainerEvents' | 'version'
>;

export interface RuntimeWatchOptions {
  readonly runtime: WatchedRuntime;
  readonly objects: KnownObjects;
  readonly changes: Pick<UncorrelatedChanges, 'sandbox' | 'container' | 'exitObserved'>;
  readonly queue: KeyedQueue;
  readonly relist: (options: { signal: AbortSignal }) => Promise<RelistResult>;
  /** Called at every change, before the runtime is listed. */
  readonly onAvailability: (availability: RuntimeAvailability) => void;
  /** Resolves when the changes that {@link onAvailability} was called with are published. */
  readonly availabilityPublished: () => Promise<void>;
  readonly signal: AbortSignal;
  /**
   * Events of the runtime from before are history, which the first listing shows better;
   * milliseconds since the epoch.
   */
  readonly observing: { readonly ms: number };
  readonly relistIntervalMs: number;
  readonly runtimeEvents: 'auto' | 'always' | 'never';
  readonly log: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  readonly metrics?: {
    listed(result: RelistResult | undefined, durationMs: number): void;
    streaming(isStreaming: boolean): void;
    failed(error: unknown): void;
  };
}

/** Kubelet's listing interval beside an event stream. */
const relistBesideEventsMs = 300_000;
/**
 * Longest wait for a listing of what a stream did not show, milliseconds: time for the rest of what
 * happens at once.
 */
const omittedMs = 1000;
/** A stream that a runtime without one refuses is refused by then. */
const streamProvenMs = 1000;
const failurePauseMs = 1000;
const longestStreamPauseMs = 60_000;
const maxEventsWaiting = 10_000;

/**
 * Finds what no observed call shows: reads the runtime's event stream where it has one, and
 * compares its lists with what is known: after each new connection, when asked to, and at an
 * interval.
 */
export class RuntimeWatch {
  #streaming = false;
  #listed = 0;
  /** Why the last listing failed; empty after one that succeeded. */
  #problem = '';
  #running: Promise<unknown> | undefined;
  #omitted: NodeJS.Timeout | undefined;
  /** What events have shown and is not published yet. */
  readonly #reports = new Set<Promise<void>>();
  readonly #listing: Loop;

  constructor(private readonly options: RuntimeWatchOptions) {
    const { signal, relistIntervalMs } = options;
    this.#listing = new Loop({ intervalMs: relistIntervalMs, run: () => this.#list(), signal });
  }

  /** `event-stream` while the runtime's events are read, `listing` else. */
  get mode(): 'event-stream' | 'listing' {
    return this.#streaming ? 'event-stream' : 'listing';
  }

  /** Listings that succeeded. */
  get listed(): number {
    return this.#listed;
  }

  start(): void {
    const { runtime, onAvailability, signal, runtimeEvents } = this.options;
    let { connections } = runtime.availability();
    const stopListening = runtime.onAvailability((availability) => {
      onAvailability(availability);
      // A new connection may be to a runtime that changed while it was away.
      if (availability.connections === connections) return;
      connections = availability.connections;
      this.relistSoon();
    });
    signal.addEventListener('abort', stopListening, { once: true });
    void this.#reportFirstAvailability();
    this.#listing.start();
    this.#running = Promise.all([
      this.#listing.ended(),
      runtimeEvents === 'never' ? undefined : this.#keepReading(),
    ]);
  }

  /** Makes the next listing come now. */
  relistSoon(): void {
    this.#listing.wake();
  }

  /**
   * Resolves when the watch has ended, after the abort of its signal, and what it has seen is
   * published.
   */
  async ended(): Promise<void> {
    await this.#running;
    await Promise.all(this.#reports);
  }

  /**
   * Changes from before the listening are not notified: a first call waits until the first attempt
   * to connect has ended.
   */
  async #reportFirstAvailability(): Promise<void> {
    const { runtime, onAvailability, signal } = this.options;
    await runtime.version({}, { signal }).catch(() => undefined);
    if (!signal.aborted) onAvailability(runtime.availability());
  }

  /** Lists once; the pause until the next time, milliseconds. */
  async #list(): Promise<number> {
    const { runtime, signal, relistIntervalMs, log, metrics, availabilityPublished } = this.options;
    const began = performance.now();
    try {
      await runtime.whenAvailable({ signal });
      await availabilityPublished();
      this.#listing.forgetWake();
      const result = await this.options.relist({ signal });
      this.#listed++;
      this.#problem = '';
      metrics?.listed(result, performance.now() - began);
      if (result.differences > 0) log.debug({ ...result }, 'listing showed differences');
      const pauseMs =
        this.#streaming && this.#streamShowsAll()
          ? Math.max(relistIntervalMs, relistBesideEventsMs)
          : relistIntervalMs;
      return result.left > 0 ? Math.min(pauseMs, failurePauseMs) : pauseMs;
    } catch (error) {
      if (signal.aborted) return 0;
      metrics?.listed(undefined, performance.now() - began);
      if (this.#problem !== errorMessage(error)) {
        this.#problem = errorMessage(error);
        log.warn({ reason: this.#problem }, 'pods and containers could not be listed');
      }
      return Math.min(relistIntervalMs, failurePauseMs);
    }
  }

  /**
   * CRI-O has no event for the removal of a sandbox, nor for that of the containers that go with
   * it.
   */
  #streamShowsAll(): boolean {
    return this.options.objects.sandboxes().every(({ phase }) => phase !== 'stopped');
  }

  #relistOmitted(): void {
    this.#omitted ??= setTimeout(() => {
      this.#omitted = undefined;
      this.relistSoon();
    }, omittedMs).unref();
  }

  async #keepReading(): Promise<void> {
    const { runtime, signal, log } = this.options;
    let pauseMs = failurePauseMs;
    while (!signal.aborted) {
      const began = performance.now();
      let { connections } = runtime.availability();
      let isAvailable = true;
      try {
        await runtime.whenAvailable({ signal });
        connections = runtime.availability().connections;
        isAvailable = (await this.#read()) === 'ended';
      } catch (error) {
        // A runtime that went away, or a stream that broke: the listings go on.
        log.debug({ reason: errorMessage(error) }, 'runtime event stream ended');
      }
      if (performance.now() - began > longestStreamPauseMs) pauseMs = failurePauseMs;
      // Another connection may be to a runtime that has a stream now.
      const isAnother = await this.#nextConnection(connections, isAvailable ? pauseMs : undefined);
      pauseMs = isAnother ? failurePauseMs : Math.min(2 * pauseMs, longestStreamPauseMs);
    }
  }

  /** Reads the stream to its end. `not-available`: not with this runtime. */
  async #read(): Promise<'ended' | 'not-available'> {
    const { runtime, runtimeEvents, signal, log } = this.options;
    if (runtimeEvents === 'auto') {
      const identity = await runtime.version({}, { signal });
      if (!broadcastsEvents(identity)) {
        const { runtimeName, runtimeVersion } = identity;
        log.debug({ runtimeName, runtimeVersion }, 'its event stream is left to others');
        return 'not-available';
      }
    }
    let proven: NodeJS.Timeout | undefined;
    try {
      const stream = runtime.getContainerEvents(
        {},
        {
          signal,
          onStarted: () => {
            proven = setTimeout(() => this.#setStreaming(true), streamProvenMs);
          },
        },
      );
      for await (const event of stream) this.#onEvent(event);
      return 'ended';
    } catch (error) {
      if (toGrpcStatus(error).name === 'UNIMPLEMENTED') return 'not-available';
      throw error;
    } finally {
      clearTimeout(proven);
      this.#setStreaming(false);
    }
  }

  #onEvent(event: Parameters<typeof onContainerEvent>[0]): void {
    const { objects, observing, changes, queue, metrics } = this.options;
    // containerd 2 keeps events for its first reader: what these show may be over and gone.
    if ((millisecondsOf(event.createdAt) ?? Infinity) < observing.ms) return;
    if (queue.pending > maxEventsWaiting) {
      this.relistSoon();
      return;
    }
    const { pod, containers, podEnd, isUnclear } = onContainerEvent(event, objects);
    if (isUnclear || podEnd?.phase === 'stopped') this.#relistOmitted();
    for (const container of containers) changes.exitObserved(container);
    const report = async () => {
      if (pod !== undefined) await changes.sandbox(pod);
      await Promise.all(containers.map((container) => changes.container(container)));
      if (podEnd !== undefined) await changes.sandbox(podEnd);
    };
    // Events of a pod one after the other; its calls are queued by object.
    const podId = pod?.id ?? podEnd?.id ?? containers[0]?.podSandboxId ?? event.containerId;
    const reported: Promise<void> = queue
      .run(`events of ${podId}`, report)
      .catch((error: unknown) => {
        metrics?.failed(error);
        this.relistSoon();
      })
      .finally(() => this.#reports.delete(reported));
    this.#reports.add(reported);
  }

  #setStreaming(isStreaming: boolean): void {
    if (this.#streaming === isStreaming) return;
    this.#streaming = isStreaming;
    this.options.metrics?.streaming(isStreaming);
    this.options.log.info(
      {},
      isStreaming ? "the runtime's event stream is read" : "the runtime's event stream has ended",
    );
    // What happened between two ways of looking is found by a listing.
    this.relistSoon();
  }

  /** Whether there is another connection than `than` within `limitMs`, without it at some time. */
  #nextConnection(than: number, limitMs: number | undefined): Promise<boolean> {
    const { runtime, signal } = this.options;
    return new Promise((resolve) => {
      const isAnother = () => runtime.availability().connections !== than;
      const end = () => {
        stop();
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve(isAnother());
      };
      const timer = limitMs === undefined ? undefined : setTimeout(end, limitMs);
      const stop = runtime.onAvailability(() => {
        if (isAnother()) end();
      });
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted || isAnother()) end();
    });
  }
}
