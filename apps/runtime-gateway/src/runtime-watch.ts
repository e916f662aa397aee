import type { RuntimeAvailability, RuntimeServiceClient } from '@stowage/cri-client';
import { errorMessage, toGrpcStatus } from '@stowage/errors';
import { setTimeout as pause } from 'node:timers/promises';
import { broadcastsEvents } from './event-stream-mode';
import type { Lanes } from './lanes';
import type { KnownObjects } from './objects/known-objects';
import { onContainerEvent } from './on-container-event';
import type { OutsideSightings } from './outside-sightings';
import type { RelistResult } from './relist';

/** What the watch uses of the runtime. */
export type WatchedRuntime = Pick<
  RuntimeServiceClient,
  'availability' | 'onAvailability' | 'whenAvailable' | 'getContainerEvents' | 'version'
>;

export interface RuntimeWatchOptions {
  readonly runtime: WatchedRuntime;
  readonly objects: KnownObjects;
  readonly sightings: Pick<OutsideSightings, 'sandbox' | 'container' | 'exitShown'>;
  readonly lanes: Lanes;
  readonly relist: (options: { signal: AbortSignal }) => Promise<RelistResult>;
  /** Hears of every change before the runtime is listed. */
  readonly onAvailability: (availability: RuntimeAvailability) => void;
  /** Resolves when what {@link onAvailability} heard is told. */
  readonly availabilityTold: () => Promise<void>;
  readonly signal: AbortSignal;
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
    void this.#tellFirstAvailability();
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

  /** Changes before the listening are not heard of: a first call waits for how the first attempt to connect ends. */
  async #tellFirstAvailability(): Promise<void> {
    const { runtime, onAvailability, signal } = this.options;
    await runtime.version({}, { signal }).catch(() => undefined);
    if (!signal.aborted) onAvailability(runtime.availability());
  }

  async #keepListing(): Promise<void> {
    const { runtime, signal, relistIntervalMs, log, metrics, availabilityTold } = this.options;
    let problem = '';
    while (!signal.aborted) {
      let pauseMs = this.#streaming
        ? Math.max(relistIntervalMs, relistBesideEventsMs)
        : relistIntervalMs;
      const began = performance.now();
      try {
        await runtime.whenAvailable({ signal });
        await availabilityTold();
        this.#isAsked = false;
        const result = await this.options.relist({ signal });
        this.#listed++;
        problem = '';
        metrics?.listed(result, performance.now() - began);
        if (result.differences > 0) log.debug({ ...result }, 'listing showed differences');
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

  async #keepReading(): Promise<void> {
    const { runtime, signal, log } = this.options;
    let pauseMs = failurePauseMs;
    while (!signal.aborted) {
      const began = performance.now();
      try {
        await runtime.whenAvailable({ signal });
        const { connections } = runtime.availability();
        if ((await this.#read()) === 'not-available') {
          await this.#nextConnection(connections);
          pauseMs = failurePauseMs;
          continue;
        }
      } catch (error) {
        // A runtime that went away, or a stream that broke: the listings go on.
        log.debug({ reason: errorMessage(error) }, 'runtime event stream ended');
      }
      if (performance.now() - began > longestStreamPauseMs) pauseMs = failurePauseMs;
      await this.#pause(pauseMs, { wakeable: false });
      pauseMs = Math.min(2 * pauseMs, longestStreamPauseMs);
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
    const { objects, sightings, lanes, metrics } = this.options;
    if (lanes.pending > maxEventsWaiting) {
      this.relistSoon();
      return;
    }
    const { pod, containers, podEnd } = onContainerEvent(event, objects);
    for (const container of containers) sightings.exitShown(container);
    const tell = async () => {
      if (pod !== undefined) await sightings.sandbox(pod);
      await Promise.all(containers.map((container) => sightings.container(container)));
      if (podEnd !== undefined) await sightings.sandbox(podEnd);
    };
    // Events of a pod one after the other; its calls have lanes of their own.
    const podId = pod?.id ?? podEnd?.id ?? containers[0]?.podSandboxId ?? event.containerId;
    lanes.run(`events of ${podId}`, tell).catch((error: unknown) => {
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

  #nextConnection(than: number): Promise<void> {
    const { runtime, signal } = this.options;
    return new Promise((resolve) => {
      const end = () => {
        stop();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const stop = runtime.onAvailability(({ connections }) => {
        if (connections !== than) end();
      });
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted || runtime.availability().connections !== than) end();
    });
  }

  async #pause(ms: number, { wakeable }: { wakeable: boolean }): Promise<void> {
    if (ms <= 0 || this.options.signal.aborted || (wakeable && this.#isAsked)) return;
    const waking = new AbortController();
    const end = () => waking.abort();
    this.options.signal.addEventListener('abort', end, { once: true });
    if (wakeable) this.#wakeUp = end;
    await pause(ms, undefined, { signal: waking.signal }).catch(() => undefined);
    this.options.signal.removeEventListener('abort', end);
    if (wakeable) this.#wakeUp = undefined;
  }
}

/** Asked anew: it can have changed while something was awaited. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
