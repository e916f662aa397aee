import type { OnApplicationBootstrap } from '@nestjs/common';
import { inTime, Loop } from '@stowage/async';
import type { CriConnectionView } from '@stowage/cri-client';
import { errorMessage, RuntimeUnavailableError } from '@stowage/errors';
import type { EventBus } from '@stowage/event-bus';
import type { HealthRegistry, Logger } from '@stowage/service-kit';
import type { CollectionHealth } from './collect/collection-health';
import type { CollectionCause, CollectionRunner } from './collect/collection-runner';
import type { GcConfig } from './config';
import type { CollectionPause } from './control/collection-pause';
import type { DiskWatch } from './disk/disk-watch';
import type { ImageDetector } from './detect/detect-images';
import type { ImageEvents } from './detect/image-events';
import type { ImageList } from './detect/image-list';
import type { LivePolicy } from './policy/live-policy';
import { startsCollections } from './policy/policy';
import type { ImageRecordStore } from './records/record-store';

export interface WorkerParts {
  readonly config: Pick<
    GcConfig,
    | 'imageListIntervalMs'
    | 'detectionIntervalMs'
    | 'collectionIntervalMs'
    | 'diskCheckIntervalMs'
    | 'collectionRetryMs'
  >;
  readonly policy: LivePolicy;
  /** One detection; throws what the runtime answered. */
  readonly detect: (options: { signal: AbortSignal }) => Promise<unknown>;
  readonly detector: Pick<ImageDetector, 'lookAgainInMs'>;
  readonly runner: Pick<CollectionRunner, 'collectIfDue'>;
  readonly disks: Pick<DiskWatch, 'poll' | 'forgetMountpoints'>;
  readonly collectionHealth: Pick<CollectionHealth, 'measured'>;
  readonly pause: Pick<CollectionPause, 'onEnd' | 'measured'>;
  readonly store: Pick<ImageRecordStore, 'retry'>;
  readonly imageList: Pick<ImageList, 'refresh'>;
  readonly events: ImageEvents;
  readonly bus: Pick<EventBus, 'onConnected'>;
  readonly runtimes: readonly CriConnectionView[];
  readonly health: HealthRegistry;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/**
 * Pause before a detection or measurement that failed is tried again, unless the ordinary one is
 * shorter. Milliseconds.
 */
const retryAfterFailureMs = 5000;

/**
 * Detections caused by events come at most this often, however many events there are. Milliseconds.
 */
const detectionPauseMs = 1000;

/**
 * For this long after its connection was made, a runtime that refuses calls counts as starting, not
 * as failed. Milliseconds.
 */
const startingMs = 30_000;

/**
 * The first measurement waits for the first detection at most this long: what it publishes says
 * what images hold. Milliseconds.
 */
const firstDetectionMs = 5000;

/** Pause between two log lines about the same failure. Milliseconds. */
const sameFailureMs = 60_000;

/**
 * Starts and ends what the worker does on its own: detection, measurement of the disks, collection.
 */
export class Worker implements OnApplicationBootstrap {
  readonly #detection: Loop;
  readonly #measurement: Loop;
  readonly #collection: Loop;
  readonly #stopListening: (() => void)[] = [];
  readonly #listing: Loop;
  #nextCause: CollectionCause = 'period';
  #lastCollectionAt = -Infinity;
  #isCollecting = false;
  /** Thresholds crossed while a collection was running, which may have measured before that. */
  #crossedMeanwhile = 0;
  #detected: () => void = () => undefined;
  readonly #firstDetection = new Promise<void>((resolve) => {
    this.#detected = resolve;
  });
  readonly #failures = new RepeatedFailure();
  #measurementProblem: string | undefined;
  #connectedAt = -Infinity;

  constructor(private readonly parts: WorkerParts) {
    const { config, signal } = parts;
    this.#listing = new Loop({
      intervalMs: config.imageListIntervalMs,
      run: async () => {
        if (await parts.imageList.refresh({ signal })) this.#detection.wake();
        return undefined;
      },
      signal,
    });
    this.#detection = new Loop({
      intervalMs: config.detectionIntervalMs,
      minPauseMs: detectionPauseMs,
      run: () => this.#detect(),
      signal,
    });
    this.#measurement = new Loop({
      intervalMs: config.diskCheckIntervalMs,
      run: () => this.#measure(),
      signal,
    });
    this.#collection = new Loop({
      intervalMs: config.collectionIntervalMs,
      run: () => this.#collect(),
      signal,
    });
  }

  onApplicationBootstrap(): void {
    const { bus, events, runtimes, disks } = this.parts;
    for (const runtime of runtimes) {
      let { connections } = runtime.availability();
      this.#stopListening.push(
        runtime.onAvailability((availability) => {
          // A new connection may be to a runtime that was restarted, or changed while it was away.
          if (availability.connections === connections) return;
          connections = availability.connections;
          this.#connectedAt = performance.now();
          disks.forgetMountpoints();
          this.#detection.wake();
          this.#measurement.wake();
        }),
      );
    }
    this.#stopListening.push(
      bus.onConnected((connection) => {
        events.subscribe(connection, () => {
          this.#detection.wake();
        });
      }),
    );
    this.parts.pause.onEnd(() => {
      this.#collection.wake();
    });
    this.#watchPolicy();
    this.#detection.start();
    this.#listing.start();
    void this.#startMeasuring();
    if (!this.#collects) this.#logCollectionIsOff();
  }

  /** The collection starts after the first measurement, so that both see one cause once. */
  async #startMeasuring(): Promise<void> {
    const { signal } = this.parts;
    await inTime(this.#firstDetection, firstDetectionMs);
    if (!signal.aborted) this.#measurement.start();
  }

  get #collects(): boolean {
    return startsCollections(this.parts.policy.current);
  }

  #logCollectionIsOff(): void {
    const { policy, log } = this.parts;
    const { collect, highThresholdPercent } = policy.current;
    log.info({ collect, highThresholdPercent }, 'collection is off');
  }

  #watchPolicy(): void {
    const { policy } = this.parts;
    let collected = this.#collects;
    policy.onChange(() => {
      if (collected && !this.#collects) this.#logCollectionIsOff();
      collected = this.#collects;
      this.#detection.wake();
      this.#measurement.wake();
      this.#collection.wake();
    });
  }

  /** Ends what runs; the signal of the service has asked for it. */
  async ended(): Promise<void> {
    for (const stop of this.#stopListening) stop();
    await Promise.all([
      this.#detection.ended(),
      this.#measurement.ended(),
      this.#collection.ended(),
      this.#listing.ended(),
    ]);
  }

  async #detect(): Promise<number | undefined> {
    const { detect, detector, store, health, log, signal, config } = this.parts;
    try {
      await detect({ signal });
      this.#failures.succeeded();
      health.report('detection', { state: 'ok' });
      const again = detector.lookAgainInMs();
      return again === undefined ? undefined : Math.min(again, config.detectionIntervalMs);
    } catch (error) {
      if (signal.aborted) return undefined;
      const reason = errorMessage(error);
      const isExpected = this.#isExpected(error);
      if (!isExpected) health.report('detection', { state: 'degraded', reason });
      const message = isExpected ? 'detection waits for the runtime' : 'detection failed';
      if (this.#failures.shouldLog(`${message}: ${reason}`)) {
        log[isExpected ? 'info' : 'warn']({ reason }, message);
      }
      return Math.min(retryAfterFailureMs, config.detectionIntervalMs);
    } finally {
      store.retry();
      this.#detected();
    }
  }

  /**
   * A runtime that is away has a health component of its own; one that has just come back refuses
   * calls until it is ready.
   */
  #isExpected(error: unknown): boolean {
    return (
      error instanceof RuntimeUnavailableError || performance.now() - this.#connectedAt < startingMs
    );
  }

  async #measure(): Promise<number | undefined> {
    const { disks, collectionHealth, pause, policy, log, signal, config } = this.parts;
    try {
      const poll = await disks.poll({ signal });
      this.#measurementProblem = undefined;
      collectionHealth.measured(poll);
      pause.measured();
      if (policy.current.differences.collectionStart === 'period') return undefined;
      if (poll.crossed.length > 0) this.#collectSoon('mark-crossed');
      else if (poll.overHigh && this.#mayRetry()) this.#collectSoon('still-over-mark');
      return undefined;
    } catch (error) {
      const reason = errorMessage(error);
      if (!signal.aborted && reason !== this.#measurementProblem) {
        this.#measurementProblem = reason;
        log.warn({ reason }, 'image file systems cannot be measured');
      }
      return Math.min(retryAfterFailureMs, config.diskCheckIntervalMs);
    } finally {
      // The first time it runs at once, by the cause that was just found.
      this.#collection.start();
    }
  }

  /** The first collection comes by itself. */
  #mayRetry(): boolean {
    if (this.#lastCollectionAt === -Infinity) return false;
    const since = this.parts.now() - this.#lastCollectionAt;
    return !this.#isCollecting && (since < 0 || since >= this.parts.config.collectionRetryMs);
  }

  #collectSoon(cause: CollectionCause): void {
    if (this.#isCollecting) {
      if (cause === 'mark-crossed') this.#crossedMeanwhile += 1;
      return;
    }
    this.#nextCause = cause;
    this.#collection.wake();
  }

  async #collect(): Promise<undefined> {
    const { runner, signal, now } = this.parts;
    if (!this.#collects) return undefined;
    const cause = this.#nextCause;
    this.#nextCause = 'period';
    this.#isCollecting = true;
    const crossedBefore = this.#crossedMeanwhile;
    let hasCollected = true;
    try {
      hasCollected = await runner.collectIfDue(cause, { signal });
    } finally {
      this.#isCollecting = false;
      this.#lastCollectionAt = now();
    }
    const isCrossed = this.#crossedMeanwhile > crossedBefore;
    if (isCrossed && !hasCollected) this.#collectSoon('mark-crossed');
    // That a threshold is no longer exceeded is published at once, not at the next measurement.
    this.#measurement.wake();
    return undefined;
  }
}

/** An attempt that fails in the same way again is worth a line a minute. */
class RepeatedFailure {
  #logged: { readonly text: string; readonly at: number } | undefined;

  shouldLog(text: string): boolean {
    const at = performance.now();
    if (this.#logged?.text === text && at - this.#logged.at < sameFailureMs) return false;
    this.#logged = { text, at };
    return true;
  }

  /** The next failure is worth a line, whatever it is. */
  succeeded(): void {
    this.#logged = undefined;
  }
}
