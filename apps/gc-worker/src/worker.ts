import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import { Loop } from '@stowage/async';
import type { CriConnectionView } from '@stowage/cri-client';
import { errorMessage, RuntimeUnavailableError } from '@stowage/errors';
import type { EventBus } from '@stowage/event-bus';
import type { HealthRegistry, Logger } from '@stowage/service-kit';
import type { CollectionCause, CollectionRunner } from './collect/collection-runner';
import type { GcConfig } from './config';
import type { DiskWatch } from './disk/disk-watch';
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
  readonly runner: CollectionRunner;
  readonly disks: DiskWatch;
  readonly store: ImageRecordStore;
  readonly imageList: Pick<ImageList, 'refresh'>;
  readonly events: ImageEvents;
  readonly bus: Pick<EventBus, 'onConnected' | 'close'>;
  readonly runtimes: readonly (CriConnectionView & { close(): void })[];
  readonly health: HealthRegistry;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** Pause before a detection or measurement that failed is tried again, unless the ordinary one is shorter. */
const retryAfterFailureMs = 5000;

/** Detections that events ask for come at most this often, however many events there are. Milliseconds. */
const detectionPauseMs = 1000;

/**
 * For this long after its connection was made, a runtime that refuses a call is one that is starting, and no failure. Milliseconds.
 */
const startingMs = 30_000;

/** Pause between looks at the files that the policy comes from. */
const policyCheckMs = 2000;

/** Starts and ends what the worker does on its own: detection, measurement of the disks, collection. */
export class Worker implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly detection: Loop;
  private readonly measurement: Loop;
  private readonly collection: Loop;
  private readonly stopListening: (() => void)[] = [];
  private readonly policyCheck: Loop;
  private readonly listing: Loop;
  private nextCause: CollectionCause = 'period';
  private lastCollectionAt = -Infinity;
  private isCollecting = false;
  private measurementProblem: string | undefined;
  private connectedAt = -Infinity;

  constructor(private readonly parts: WorkerParts) {
    const { config, policy, signal } = parts;
    this.listing = new Loop({
      intervalMs: config.imageListIntervalMs,
      run: async () => {
        if (await parts.imageList.refresh({ signal })) this.detection.wake();
        return undefined;
      },
      signal,
    });
    this.policyCheck = new Loop({
      intervalMs: policyCheckMs,
      run: async () => {
        await policy.reloadIfChanged();
        return undefined;
      },
      signal,
    });
    this.detection = new Loop({
      intervalMs: config.detectionIntervalMs,
      minPauseMs: detectionPauseMs,
      run: () => this.detect(),
      signal,
    });
    this.measurement = new Loop({
      intervalMs: config.diskCheckIntervalMs,
      run: () => this.measure(),
      signal,
    });
    this.collection = new Loop({
      intervalMs: config.collectionIntervalMs,
      run: () => this.collect(),
      signal,
    });
  }

  onApplicationBootstrap(): void {
    const { bus, events, runtimes, disks } = this.parts;
    for (const runtime of runtimes) {
      let { connections } = runtime.availability();
      this.stopListening.push(
        runtime.onAvailability((availability) => {
          // A new connection may be to a runtime that was restarted, or changed while it was away.
          if (availability.connections === connections) return;
          connections = availability.connections;
          this.connectedAt = performance.now();
          disks.forgetMountpoints();
          this.detection.wake();
          this.measurement.wake();
        }),
      );
    }
    this.stopListening.push(
      bus.onConnected((connection) => {
        events.subscribe(connection, () => {
          this.detection.wake();
        });
      }),
    );
    this.watchPolicy();
    this.detection.start();
    this.listing.start();
    this.measurement.start();
    this.collection.start();
    if (!this.collects) this.sayCollectionIsOff();
  }

  private get collects(): boolean {
    return startsCollections(this.parts.policy.current);
  }

  private sayCollectionIsOff(): void {
    const { policy, log } = this.parts;
    log.info({ highThresholdPercent: policy.current.highThresholdPercent }, 'collection is off');
  }

  private watchPolicy(): void {
    const { policy } = this.parts;
    const onHangUp = () => {
      void policy.reload('SIGHUP');
    };
    process.on('SIGHUP', onHangUp);
    this.stopListening.push(() => process.off('SIGHUP', onHangUp));
    let collected = this.collects;
    policy.onChange(() => {
      if (collected && !this.collects) this.sayCollectionIsOff();
      collected = this.collects;
      this.detection.wake();
      this.measurement.wake();
      this.collection.wake();
    });
    this.policyCheck.start();
  }

  async onApplicationShutdown(): Promise<void> {
    const { bus, store, runtimes, runner } = this.parts;
    for (const stop of this.stopListening) stop();
    await Promise.all([
      this.detection.ended(),
      this.measurement.ended(),
      this.collection.ended(),
      this.policyCheck.ended(),
      this.listing.ended(),
    ]);
    // A collection that a command began may still wait for a removal; those before it are told.
    await runner.settle();
    for (const runtime of runtimes) runtime.close();
    store.close();
    await bus.close();
  }

  private async detect(): Promise<number | undefined> {
    const { runner, store, health, log, signal, config } = this.parts;
    try {
      await runner.detect({ signal });
      health.report('detection', { state: 'ok' });
      const again = runner.lookAgainInMs();
      return again === undefined ? undefined : Math.min(again, config.detectionIntervalMs);
    } catch (error) {
      if (signal.aborted) return undefined;
      const reason = errorMessage(error);
      if (this.isExpected(error)) {
        log.info({ reason }, 'detection waits for the runtime');
      } else {
        health.report('detection', { state: 'degraded', reason });
        log.warn({ reason }, 'detection failed');
      }
      return Math.min(retryAfterFailureMs, config.detectionIntervalMs);
    } finally {
      store.retry();
    }
  }

  /** A runtime that is away is told by a state of its own; one that has just come refuses calls until it is ready. */
  private isExpected(error: unknown): boolean {
    return (
      error instanceof RuntimeUnavailableError || performance.now() - this.connectedAt < startingMs
    );
  }

  private async measure(): Promise<number | undefined> {
    const { disks, policy, log, signal, config } = this.parts;
    try {
      const { crossed, overHigh } = await disks.poll({ signal });
      this.measurementProblem = undefined;
      if (policy.current.differences.collectionStart === 'period') return undefined;
      if (crossed.length > 0) this.collectSoon('mark-crossed');
      else if (overHigh && this.mayRetry()) this.collectSoon('still-over-mark');
      return undefined;
    } catch (error) {
      const reason = errorMessage(error);
      if (!signal.aborted && reason !== this.measurementProblem) {
        this.measurementProblem = reason;
        log.warn({ reason }, 'image file systems cannot be measured');
      }
      return Math.min(retryAfterFailureMs, config.diskCheckIntervalMs);
    }
  }

  private mayRetry(): boolean {
    const since = this.parts.now() - this.lastCollectionAt;
    return !this.isCollecting && (since < 0 || since >= this.parts.config.collectionRetryMs);
  }

  private collectSoon(cause: CollectionCause): void {
    this.nextCause = cause;
    this.collection.wake();
  }

  private async collect(): Promise<undefined> {
    const { runner, signal, now } = this.parts;
    if (!this.collects) return undefined;
    const cause = this.nextCause;
    this.nextCause = 'period';
    this.isCollecting = true;
    try {
      await runner.due(cause, { signal });
    } finally {
      this.isCollecting = false;
      this.lastCollectionAt = now();
    }
    // The end of an exceeded mark is to be told at once, not at the next measurement.
    this.measurement.wake();
    return undefined;
  }
}
