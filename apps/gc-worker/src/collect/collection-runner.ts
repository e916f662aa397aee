import { setTimeout as sleep } from 'node:timers/promises';
import { Mutex } from '@stowage/async';
import {
  DeadlineExceededError,
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  RuntimeUnavailableError,
  toGrpcStatus,
  type GrpcStatusName,
} from '@stowage/errors';
import { boundedText } from '@stowage/events';
import { inSpan } from '@stowage/tracing';
import {
  carryOut,
  type CollectionOptions,
  type CollectionOutcome,
  type CollectionPorts,
  type FailedRemoval,
  type RemovedImage,
} from './collect';
import type { ImageDetector } from '../detect/detect-images';
import type { DiskWatch } from '../disk/disk-watch';
import { imageRemoved } from '../detect/image-event-data';
import { garbageCollected, garbageCollectionFailed } from './collection-event-data';
import type { FreedMeterLimits } from '../disk/measure-freed';
import type { CollectionMetrics } from './collection-metrics';
import { PendingRemovals } from './pending-removals';
import { RemovalPace } from './removal-rate-limiter';
import { RemovalPauses } from './removal-pauses';
import { planCollection, type CollectionPlan, type CollectionRequest } from './plan-collection';
import type { CollectionPolicy } from '../policy/policy';
import type { Publish, PublishAll } from '../publish';
import type { ImageRecordStore } from '../records/record-store';
import type { Runtime, StoredBytes } from '../runtime/runtime';
import type { FileSystemReading } from '../disk/assess-disk';
import type { PlanImage } from '../policy/keep-rules';

export interface CollectionRunnerParts {
  readonly policy: CollectionPolicy;
  readonly runtime: Pick<Runtime, 'listImages' | 'removeImage' | 'storedBytes' | 'writableLayers'>;
  readonly detector: Pick<
    ImageDetector,
    'detect' | 'protectionNow' | 'knownBytes' | 'lookAgainInMs'
  >;
  readonly disks: Pick<DiskWatch, 'read' | 'imageUse'>;
  readonly store: ImageRecordStore;
  readonly publish: Publish;
  readonly publishAll: PublishAll;
  /** Sequence of the next event. */
  readonly nextSequence: () => number;
  readonly metrics: Pick<
    CollectionMetrics,
    'planned' | 'imageCollected' | 'removalFailed' | 'collectionEnded' | 'leaked'
  >;
  readonly log: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  readonly now: () => number;
  readonly meter: FreedMeterLimits;
  /** How long a fresh account of what the runtime stores is waited for, where less came free than expected. Milliseconds. */
  readonly accountWaitMs: number;
  /** A removal that takes longer counts as failed. */
  readonly removalTimeoutMs: number;
}

/** Why the worker looks whether there is something to collect. */
export type CollectionCause = 'period' | 'mark-crossed' | 'still-over-mark';

type CarryOutOptions = Pick<CollectionOptions, 'request' | 'periodic' | 'exact' | 'signal'>;

interface PlannedNow {
  readonly plan: CollectionPlan;
  /** The policy it was made by; a reload in between does not change a collection that runs. */
  readonly policy: CollectionPolicy;
  /** False when a file system could not be read or reports no capacity. */
  readonly disksMeasured: boolean;
}

/** Plans that `run` may name; older ones are forgotten. */
const rememberedPlans = 32;

/** Measured against expected bytes below this share, leaks are looked for. */
const fallsShort = 0.9;

/** Default of `accountWaitMs`: containerd looks every 10 s, and looking takes a while on a busy node. */
export const defaultAccountWaitMs = 15_000;

/** Pause between two looks at the runtime's account of what it stores. */
const accountPollMs = 250;

/** Outcomes of a call that leave open whether the runtime does what it was asked for. */
const endsUnknown: readonly GrpcStatusName[] = ['DEADLINE_EXCEEDED', 'UNAVAILABLE', 'CANCELLED'];

/** Time that a removal in flight has after the service was told to stop. */
const stopGraceMs = 5000;

/** Longest wait for the list of images that shows whether removals took effect. Milliseconds. */
const listTimeoutMs = 10_000;

interface Removal {
  readonly image: RemovedImage;
  readonly planId: string;
  /** Milliseconds since the epoch. */
  readonly removedAt: number;
}

/** Plans and runs collections, one at a time, and tells what came of them. */
export class CollectionRunner {
  /** Plans and collections, one after the other. */
  private readonly mutex = new Mutex();
  /** Plans and collections that somebody asked for and that have not begun. */
  private askedFor = 0;
  /** Detections and batches of removals: an image that goes between a detection's list and its records would come back as vanished. */
  private readonly records = new Mutex();
  /** Removals that are not told yet; see {@link CollectionRunner.settle}. */
  private readonly untold = new PendingRemovals<Removal>({
    listedIds: async () => {
      const signal = AbortSignal.timeout(listTimeoutMs);
      const images = await this.parts.runtime.listImages({ signal });
      return new Set(images.map(({ imageId }) => imageId));
    },
    gone: (removals) => {
      this.account(removals);
    },
    failed: (error) => {
      this.parts.log.debug({ reason: errorMessage(error) }, 'removals not seen in the list');
    },
    elapsedMs: () => performance.now(),
  });
  /** Images found to have stayed of which the collection does not know yet. */
  private readonly stayed = new Set<string>();
  private readonly pauses = new RemovalPauses();
  private readonly pace: RemovalPace;
  private readonly requests = new Map<string, CollectionRequest | undefined>();
  private readonly collectingSince: number;
  private failuresInARow = 0;
  private last: CollectionOutcome | undefined;

  constructor(private readonly parts: CollectionRunnerParts) {
    this.collectingSince = parts.now();
    this.pace = new RemovalPace(() => parts.policy.removalsPerMinute);
  }

  /** The last collection of this process. */
  lastOutcome(): CollectionOutcome | undefined {
    return this.last;
  }

  /** Brings the records up to date, also between the removals of a collection. Throws what the runtime answered. */
  detect(options: { signal: AbortSignal }): Promise<void> {
    return inSpan('gc.detection', {}, async () => {
      await this.imagesNow(options);
    });
  }

  /** As {@link ImageDetector.lookAgainInMs}. */
  lookAgainInMs(): number | undefined {
    return this.parts.detector.lookAgainInMs();
  }

  /** Tells removals that are not told yet, as far as the runtime's list shows them: before the records are read. */
  async settle(): Promise<void> {
    for (const imageId of await this.untold.settle()) this.stayed.add(imageId);
  }

  /** Tells the removal of an image, if that is not told yet, before anything is noted of an image that came back. */
  cameBack(imageId: string): void {
    this.untold.cameBack(imageId);
  }

  /** What a collection would do now: by the marks, or to free `bytes`. Throws what runtime or file system answered. */
  plan(
    { bytes }: { bytes?: number },
    { signal }: { signal: AbortSignal },
  ): Promise<CollectionPlan> {
    return this.onceAsked(async () => {
      const request = bytes === undefined ? undefined : { bytes };
      const { plan } = await this.planNow(request, signal);
      this.remember(plan.planId, request);
      return plan;
    });
  }

  /**
   * Collects now: by the policy, to free `bytes`, or exactly the plan of that id. Throws FailedPreconditionError when
   * that plan is not what would be planned now, and what the runtime answered before there was a plan.
   */
  async run(
    { planId, bytes }: { planId?: string; bytes?: number },
    { signal }: { signal: AbortSignal },
  ): Promise<CollectionOutcome> {
    if (planId !== undefined && bytes !== undefined) {
      throw new InvalidArgumentError('bytes', bytes, 'planId or bytes, not both');
    }
    return this.onceAsked(async () => {
      if (planId === undefined) {
        const request = bytes === undefined ? undefined : { bytes };
        return this.carryOut(await this.planNow(request, signal), { request, signal });
      }
      if (!this.requests.has(planId)) {
        throw new FailedPreconditionError(
          `plan ${planId} is not one of the last ${rememberedPlans} plans: ask for a new one`,
        );
      }
      const request = this.requests.get(planId);
      const planned = await this.planNow(request, signal);
      const { plan } = planned;
      if (plan.planId !== planId) {
        throw new FailedPreconditionError(
          `plan ${planId} is stale: images, their use or the disk changed, and the plan would be ${plan.planId} now`,
        );
      }
      return this.carryOut(planned, { request, exact: true, signal });
    });
  }

  /** Looks whether something is to be collected and does it. Never throws: failures are logged and told. */
  due(cause: CollectionCause, { signal }: { signal: AbortSignal }): Promise<void> {
    return inSpan('gc.check', { attributes: { 'stowage.gc.cause': cause } }, () =>
      this.mutex.run(() => this.collectIfDue(cause, signal)),
    );
  }

  private onceAsked<T>(task: () => Promise<T>): Promise<T> {
    this.askedFor += 1;
    return this.mutex.run(() => {
      this.askedFor -= 1;
      return task();
    });
  }

  private async collectIfDue(cause: CollectionCause, signal: AbortSignal): Promise<void> {
    let planned: PlannedNow;
    try {
      planned = await this.planNow(undefined, signal);
    } catch (error) {
      if (!signal.aborted) this.planFailed(cause, error);
      return;
    }
    const { plan, disksMeasured } = planned;
    // Disks that cannot be measured are for the collection to report.
    const nothingToDo = plan.trigger === 'none' && disksMeasured;
    // While the mark stays exceeded the worker looks often; it speaks only when there is something to remove.
    const nothingNew = cause === 'still-over-mark' && plan.removeCount === 0;
    if (nothingToDo || nothingNew) return;
    await this.carryOut(planned, { periodic: true, signal });
  }

  private planNow(
    request: CollectionRequest | undefined,
    signal: AbortSignal,
  ): Promise<PlannedNow> {
    return inSpan('gc.plan', {}, async ({ set }) => {
      const planned = await this.planned(request, signal);
      const { planId, trigger, removeCount, expectedBytes } = planned.plan;
      set({
        'stowage.gc.plan_id': planId,
        'stowage.gc.trigger': trigger,
        'stowage.gc.planned_removals': removeCount,
        'stowage.gc.expected_bytes': expectedBytes,
      });
      return planned;
    });
  }

  private async planned(
    request: CollectionRequest | undefined,
    signal: AbortSignal,
  ): Promise<PlannedNow> {
    const { disks, policy, now, metrics } = this.parts;
    const images = await this.imagesNow({ signal });
    let readings: readonly FileSystemReading[] = [];
    let disksMeasured = false;
    try {
      readings = await disks.read({ signal });
      disksMeasured = readings.every(({ capacityBytes }) => (capacityBytes ?? 0) > 0);
    } catch (error) {
      // Ages and requests need no disk; a collection by the marks reads again and reports.
      this.parts.log.warn({ reason: errorMessage(error) }, 'image file systems unknown');
    }
    this.pauses.keepOnly(new Set(images.map(({ imageId }) => imageId)));
    const plan = planCollection({
      paused: this.pauses.at(performance.now()),
      images,
      disks: readings,
      policy,
      now: now(),
      collectingSince: this.collectingSince,
      ...(request === undefined ? {} : { request }),
    });
    metrics.planned(plan);
    return { plan, policy, disksMeasured };
  }

  /** A detection. It must not find an image gone that a collection removed and has not told. */
  private imagesNow(options: { signal: AbortSignal }): Promise<PlanImage[]> {
    return this.records.run(async () => {
      await this.settle();
      return this.parts.detector.detect(options);
    });
  }

  private remember(planId: string, request: CollectionRequest | undefined): void {
    this.requests.delete(planId);
    this.requests.set(planId, request);
    const [oldest] = this.requests.keys();
    if (this.requests.size > rememberedPlans && oldest !== undefined) this.requests.delete(oldest);
  }

  private carryOut(planned: PlannedNow, options: CarryOutOptions): Promise<CollectionOutcome> {
    const { planId, trigger } = planned.plan;
    const attributes = { 'stowage.gc.plan_id': planId, 'stowage.gc.trigger': trigger };
    return inSpan('gc.collection', { attributes }, async ({ set, failed }) => {
      const outcome = await this.collect(planned, options);
      const { removed, expectedBytes, measuredBytes, failure } = outcome;
      set({
        'stowage.gc.removed': removed.length,
        'stowage.gc.expected_bytes': expectedBytes,
        'stowage.gc.measured_bytes': measuredBytes ?? undefined,
        'error.type': failure?.code,
      });
      if (failure !== undefined) failed(failure.grpcStatus);
      return outcome;
    });
  }

  private async collect(
    { plan, policy }: PlannedNow,
    options: CarryOutOptions,
  ): Promise<CollectionOutcome> {
    const { meter, log } = this.parts;
    log.info(
      {
        planId: plan.planId,
        trigger: plan.trigger,
        bytesToFree: plan.bytesToFree,
        expectedBytes: plan.expectedBytes,
        remove: plan.removeCount,
        keep: plan.keptByRule,
      },
      'collection begins',
    );
    const outcome = await this.withLeak(
      await carryOut(plan, this.ports(plan.planId), { ...options, policy, meter }),
      options.signal,
    );
    this.requests.delete(plan.planId);
    this.ended(outcome);
    return outcome;
  }

  /** Where clearly less came free than was expected, looks how much there is that nobody accounts for. */
  private async withLeak(
    outcome: CollectionOutcome,
    signal: AbortSignal,
  ): Promise<CollectionOutcome> {
    const { measuredBytes, expectedBytes } = outcome;
    if (measuredBytes == null || measuredBytes >= expectedBytes * fallsShort) return outcome;
    const { detector, disks, metrics, log, now } = this.parts;
    try {
      const stored = await this.storedSince(now(), signal);
      const use = stored && (await disks.imageUse(stored.byMountpoint, { signal }));
      if (use === undefined) return outcome;
      const imageBytes = detector.knownBytes();
      const containerBytes = await this.containerBytes(use.storedBytes, imageBytes, signal);
      if (containerBytes === undefined) return outcome;
      // The runtime's own account is of unpacked images and containers, images' sizes are (for containerd) of the packed content. Runtimes
      // that count a byte in both make it too low, never too high for that reason.
      const leakedBytes = Math.max(
        0,
        use.usedBytes - use.storedBytes - imageBytes - containerBytes,
      );
      metrics.leaked(leakedBytes);
      log.warn(
        { planId: outcome.planId, expectedBytes, measuredBytes, leakedBytes },
        'less came free than expected: bytes that no image or container accounts for',
      );
      return { ...outcome, leakedBytes };
    } catch (error) {
      log.debug({ reason: errorMessage(error) }, 'leaked bytes unknown');
      return outcome;
    }
  }

  /**
   * What containers wrote, where the runtime's account does not hold it: CRI-O's is of a folder with metadata alone, which is much less than
   * the images. Undefined where that is not told.
   */
  private async containerBytes(
    storedBytes: number,
    imageBytes: number,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    if (storedBytes >= imageBytes / 2) return 0;
    const { runtime, disks } = this.parts;
    const layers = await runtime.writableLayers({ signal });
    return layers && (await disks.imageUse(layers, { signal }))?.storedBytes;
  }

  /**
   * The runtime's account as of `since` or later; undefined when it gives none within the time limit. An older one still holds what was
   * removed meanwhile: containerd takes its account every 10 s (`stats_collect_period`) and says when. Whoever asks for a plan or a
   * collection does not wait for that.
   */
  private async storedSince(since: number, signal: AbortSignal): Promise<StoredBytes | undefined> {
    const { runtime, accountWaitMs } = this.parts;
    const until = performance.now() + accountWaitMs;
    for (;;) {
      const stored = await runtime.storedBytes({ signal });
      if (stored === undefined || stored.takenAt >= since) return stored;
      if (performance.now() >= until || this.askedFor > 0) {
        throw new Error('the runtime gave only an account of before the removals');
      }
      await sleep(accountPollMs, undefined, { signal });
    }
  }

  private ports(planId: string): CollectionPorts {
    const { detector, disks, runtime, store, metrics, log, now } = this.parts;
    return {
      now,
      elapsedMs: () => performance.now(),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      pace: (options) => this.pace.wait(options),
      batch: (task) => this.records.run(task),
      readDisks: (options) => disks.read(options),
      protectionNow: (image, options) => detector.protectionNow(image, options),
      removeImage: ({ imageId, expectedBytes }, { signal }) => {
        const attributes = {
          'stowage.image.id': imageId,
          'stowage.gc.expected_bytes': expectedBytes,
        };
        return inSpan('gc.image_removal', { attributes }, () =>
          withTimeout(
            (limit) => runtime.removeImage(imageId, { signal: limit }),
            this.parts.removalTimeoutMs,
            signal,
          ),
        );
      },
      removing: ({ imageId }, reason) => {
        store.removalBegins(imageId, { reason, planId });
      },
      removed: (image: RemovedImage) => {
        this.untold.add(image.imageId, { image, planId, removedAt: now() });
      },
      settle: async () => {
        await this.settle();
        const stayed = new Set(this.stayed);
        this.stayed.clear();
        return stayed;
      },
      notRemoved: ({ image, grpcStatus, message }: FailedRemoval) => {
        // Without an answer the runtime may still do it: then the image goes by this collection, and the detections tell.
        if (!endsUnknown.includes(grpcStatus)) store.removalFailed(image.imageId);
        if (grpcStatus !== 'UNAVAILABLE' && grpcStatus !== 'CANCELLED') {
          this.pauses.failed(image.imageId, message, performance.now());
        }
        metrics.removalFailed();
        const { imageId, repoTags } = image;
        log.warn({ imageId, repoTags, grpcStatus, reason: message, planId }, 'image not removed');
      },
    };
  }

  /** Tells that these images were removed, and takes them out of the records. */
  private account(removals: readonly Removal[]): void {
    const { store, publishAll, nextSequence, policy, metrics, log } = this.parts;
    store.telling(
      removals.map(({ image }) => image.imageId),
      nextSequence(),
    );
    publishAll(
      'ImageRemoved',
      removals.map(({ image, planId, removedAt }) => {
        const { reason, measuredBytes, expectedIsEstimate } = image;
        const facts = { reason, planId, measuredBytes, expectedIsEstimate };
        const data = imageRemoved(image, facts, removedAt);
        return { subject: image.imageId, data, time: new Date(removedAt) };
      }),
    );
    if (policy.regretWindowMs > 0) {
      const notes = removals.map(
        ({ image: { imageId, repoDigests: names }, planId, removedAt }) =>
          [imageId, { names, planId, removedAt }] as const,
      );
      store.noteRemoved(new Map(notes));
    } else {
      store.forget(removals.map(({ image }) => image.imageId));
    }
    for (const { image, planId } of removals) {
      const { imageId, repoTags, reason, why, expectedBytes, measuredBytes } = image;
      metrics.imageCollected(reason);
      log.info(
        { imageId, repoTags, reason, why, expectedBytes, measuredBytes, planId },
        'image removed',
      );
    }
  }

  private ended(outcome: CollectionOutcome): void {
    const { publish, metrics, log } = this.parts;
    this.last = outcome;
    metrics.collectionEnded(outcome);
    const { planId, failure } = outcome;
    const summary = {
      planId,
      trigger: outcome.trigger,
      askedBytes: outcome.askedBytes,
      expectedBytes: outcome.expectedBytes,
      measuredBytes: outcome.measuredBytes,
      removed: outcome.removed.length,
      keptByReason: outcome.keptByReason,
      durationMs: outcome.durationMs,
    };
    if (failure === undefined) {
      this.failuresInARow = 0;
      log.info(summary, 'collection done');
      publish('GarbageCollected', planId, garbageCollected(outcome));
      return;
    }
    this.failuresInARow += 1;
    log.warn({ ...summary, reason: failure.message }, 'collection failed');
    if (failure.nodeEventReason === undefined && !this.tellsFailure()) return;
    publish('GarbageCollectionFailed', planId, garbageCollectionFailed(outcome, failure));
  }

  private planFailed(cause: CollectionCause, error: unknown): void {
    const { publish, log, now } = this.parts;
    const { name: grpcStatus, message } = toGrpcStatus(error);
    log.warn({ cause, reason: message }, 'collection could not be planned');
    if (cause === 'still-over-mark') return;
    this.failuresInARow += 1;
    // Without a mark that is exceeded nobody waits for this collection.
    const mountpoint = this.parts.store
      .exceeded()
      .find(({ role, level }) => role === 'image' && level !== 'warning')?.mountpoint;
    if (mountpoint === undefined || !this.tellsFailure()) return;
    publish('GarbageCollectionFailed', mountpoint, {
      trigger: 'threshold',
      error: {
        code: error instanceof RuntimeUnavailableError ? 'runtime-unavailable' : 'listing-failed',
        grpcStatus,
        message: boundedText(message),
      },
      removedCount: 0,
      startedAt: new Date(now()).toISOString(),
      durationMs: 0,
    });
  }

  private tellsFailure(): boolean {
    return this.parts.policy.differences.failureEvents === 'every' || this.failuresInARow > 1;
  }
}

/** Gives a call a time limit, and a short one once `stop` is aborted, so that a removal in flight may end. */
async function withTimeout(
  call: (signal: AbortSignal) => Promise<void>,
  timeoutMs: number,
  stop: AbortSignal,
): Promise<void> {
  const limit = new AbortController();
  const timer = setTimeout(() => {
    limit.abort(new DeadlineExceededError('removal of the image', timeoutMs));
  }, timeoutMs);
  let graceTimer: NodeJS.Timeout | undefined;
  const onStop = () => {
    graceTimer = setTimeout(() => limit.abort(), stopGraceMs);
  };
  if (stop.aborted) onStop();
  stop.addEventListener('abort', onStop, { once: true });
  try {
    await call(limit.signal);
  } finally {
    clearTimeout(timer);
    clearTimeout(graceTimer);
    stop.removeEventListener('abort', onStop);
  }
}
