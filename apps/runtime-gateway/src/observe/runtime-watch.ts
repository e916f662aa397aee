import type { RuntimeAvailability, RuntimeServiceClient } from '@stowage/cri-client';
import { errorMessage, toGrpcStatus } from '@stowage/errors';
import { millisecondsOf } from '../objects/cri-facts';
import { broadcastsEvents } from './event-stream-mode';
import type { KeyedQueue } from './keyed-queue';
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
  /** Events of the runtime from before are history, which the first listing shows better; milliseconds since the epoch. */
  readonly observingSinceMs: number;
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
/** Longest wait for a listing of what a stream did not show, milliseconds: time for the rest of what happens at once. */
const omittedMs = 1000;
/** A stream that a runtime without one refuses is refused by then. */
const streamProvenMs = 1000;
const shortestPauseMs = 100;
const failurePauseMs = 1000;
const longestStreamPauseMs = 60_000;
const maxEventsWaiting = 10_000;

/**
 * Finds what no observed call shows: reads the runtime's event stream where it has one, and compares its lists with what
 * is known: after each new connection, when asked to, and at an interval.
 */
export class RuntimeWatch {
  #streaming = false;
  #wakeUp: (() => void) | undefined;
  #isAsked = false;
  #listed = 0;
  #running: Promise<unknown> | undefined;
  #omitted: NodeJS.Timeout | undefined;

  constructor(private readonly options: RuntimeWatchOptions) {}

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
    this.#running = Promise.all([
      this.#keepListing(),
      runtimeEvents === 'never' ? undefined : this.#keepReading(),
    ]);
  }

  /** Makes the next listing come now. */
  relistSoon(): void {
    this.#isAsked = true;
    this.#wakeUp?.();
  }

  /** Resolves when the watch has ended, after the abort of its signal. */
  async ended(): Promise<void> {
    await this.#running;
  }

  /** Changes from before the listening are not notified: a first call waits until the first attempt to connect has ended. */
  async #reportFirstAvailability(): Promise<void> {
    const { runtime, onAvailability, signal } = this.options;
    await runtime.version({}, { signal }).catch(() => undefined);
    if (!signal.aborted) onAvailability(runtime.availability());
  }

  async #keepListing(): Promise<void> {
    const { runtime, signal, relistIntervalMs, log, metrics, availabilityPublished } = this.options;
    let problem = '';
    while (!signal.aborted) {
      let pauseMs = relistIntervalMs;
      const began = performance.now();
      try {
        await runtime.whenAvailable({ signal });
        await availabilityPublished();
        this.#isAsked = false;
        const result = await this.options.relist({ signal });
        this.#listed++;
        problem = '';
        metrics?.listed(result, performance.now() - began);
        if (result.differences > 0) log.debug({ ...result }, 'listing showed differences');
        if (this.#streaming && this.#streamShowsAll()) {
          pauseMs = Math.max(relistIntervalMs, relistBesideEventsMs);
        }
        if (result.left > 0) pauseMs = Math.min(pauseMs, failurePauseMs);
      } catch (error) {
        if (isAborted(signal)) return;
        metrics?.listed(undefined, performance.now() - began);
        if (problem !== errorMessage(error)) {
          problem = errorMessage(error);
          log.warn({ reason: problem }, 'pods and containers could not be listed');
        }
        pauseMs = Math.min(pauseMs, failurePauseMs);
      }
      const firstMs = Math.min(shortestPauseMs, pauseMs);
      await this.#pause(firstMs, { wakeable: false });
      await this.#pause(pauseMs - firstMs, { wakeable: true });
    }
  }

  /** CRI-O has no event for the removal of a sandbox, nor for that of the containers that go with it. */
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
    const { objects, observingSinceMs, changes, queue, metrics } = this.options;
    // containerd 2 keeps events for its first reader: what these show may be over and gone.
    if ((millisecondsOf(event.createdAt) ?? Infinity) < observingSinceMs) return;
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
    queue.run(`events of ${podId}`, report).catch((error: unknown) => {
      metrics?.failed(error);
      this.relistSoon();
    });
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

  #pause(ms: number, { wakeable }: { wakeable: boolean }): Promise<void> {
    const { signal } = this.options;
    if (ms <= 0 || signal.aborted || (wakeable && this.#isAsked)) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        if (wakeable) this.#wakeUp = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener('abort', end, { once: true });
      if (wakeable) this.#wakeUp = end;
    });
  }
}

/** Asked anew: it can have changed while something was awaited. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
