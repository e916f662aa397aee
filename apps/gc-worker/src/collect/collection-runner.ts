import {
  errorMessage,
  FailedPreconditionError,
  InvalidArgumentError,
  RuntimeUnavailableError,
  toGrpcStatus,
} from '@stowage/errors';
import { boundedText } from '@stowage/events';
import { traced } from '@stowage/tracing';
import type { ImageDetector } from '../detect/detect-images';
import type { DiskBreakdowns } from '../disk/disk-breakdowns';
import type { DiskWatch } from '../disk/disk-watch';
import type { FreedMeterLimits } from '../disk/measure-freed';
import { Mutex } from '@stowage/async';
import type { CollectionPolicy } from '../policy/policy';
import type { Publish } from '../publish';
import type { ImageRecordStore } from '../records/record-store';
import type { Runtime } from '../runtime/runtime';
import {
  carryOut,
  type CollectionClock,
  type CollectionOptions,
  type CollectionOutcome,
} from './collect';
import type { CollectionPause } from '../control/collection-pause';
import type { ControlMetrics } from '../control/control-metrics';
import type { ShadowPlans } from '../control/shadow-plans';
import {
  garbageCollected,
  garbageCollectionFailed,
  garbageCollectionShadowed,
} from './collection-event-data';
import type { CollectionHealth } from './collection-health';
import type { CollectionMetrics } from './collection-metrics';
import type { CollectionPlanner, CurrentPlan } from './collection-planner';
import { findLeakedBytes } from './find-leak';
import { ImageRemovals } from './image-removals';
import type { CollectionPlan, PlanRequest } from './plan-collection';
import type { RemovalPauses } from './removal-pauses';
import { RemovalRateLimiter } from './removal-rate-limiter';
import type { RemovalReports } from './removal-reports';
import { noRemovals, shadowOutcome, shadowPolicy } from './shadow-collection';

export interface CollectionRunnerParts {
  readonly policy: { readonly current: CollectionPolicy };
  readonly planner: Pick<CollectionPlanner, 'plan'>;
  readonly runtime: Pick<Runtime, 'removeImage' | 'usage' | 'writableLayers'>;
  readonly detector: Pick<ImageDetector, 'protectionNow' | 'knownBytes'>;
  readonly disks: Pick<DiskWatch, 'read' | 'imageUse'>;
  readonly breakdowns: Pick<DiskBreakdowns, 'current'>;
  readonly health: Pick<CollectionHealth, 'collectionEnded' | 'planFailed'>;
  readonly store: Pick<ImageRecordStore, 'exceeded' | 'removalBegins' | 'removalFailed'>;
  readonly reports: Pick<RemovalReports, 'add' | 'settle' | 'takeStayed'>;
  readonly pauses: Pick<RemovalPauses, 'failed'>;
  readonly pause: Pick<CollectionPause, 'current' | 'begins'>;
  readonly shadowPlans: Pick<ShadowPlans, 'isLast' | 'find' | 'add' | 'forget'>;
  readonly controlMetrics: Pick<ControlMetrics, 'shadowed'>;
  /** Held by detections and batches of removals. */
  readonly recordsLock: Mutex;
  readonly publish: Publish;
  readonly metrics: Pick<CollectionMetrics, 'removalFailed' | 'collectionEnded' | 'leaked'>;
  readonly log: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly meter: FreedMeterLimits;
  /**
   * How long to wait for the runtime's usage after a collection that freed less than expected.
   * Milliseconds.
   */
  readonly usageWaitMs: number;
  /** A removal that takes longer counts as failed. Milliseconds. */
  readonly removalTimeoutMs: number;
}

/** Why the worker checks whether there is something to collect. */
export type CollectionCause = 'period' | 'mark-crossed' | 'still-over-mark';

type RunOptions = Pick<CollectionOptions, 'request' | 'periodic' | 'exact' | 'signal'>;

/** Plans that `run` may name; older ones are forgotten. */
const rememberedPlans = 32;

/** Where less than this share of the expected bytes is measured, leaks are looked for. */
const fallsShort = 0.9;

/** How old the breakdown of a file system may be when a collection begins. Milliseconds. */
const breakdownMaxAgeMs = 10_000;

/** A collection that has bytes to free has a request; by the policy alone it has none. */
const requestOf = ({ bytes }: PlanRequest) => (bytes === undefined ? undefined : { bytes });

/** In shadow removals are not slowed down. */
const noLimit = { wait: () => Promise.resolve() };

/** Plans and runs collections, one at a time, and reports how they ended. */
export class CollectionRunner {
  /** Plans and collections, one after the other. */
  readonly #mutex = new Mutex();
  /** Plans and collections that somebody asked for and that have not begun. */
  #waiting = 0;
  readonly #rateLimiter: RemovalRateLimiter;
  readonly #clock: CollectionClock;
  /** Requests of the plans that `run` may name, by plan id; oldest first. */
  readonly #requests = new Map<string, PlanRequest>();
  #failuresInARow = 0;
  #last: CollectionOutcome | undefined;

  constructor(private readonly parts: CollectionRunnerParts) {
    this.#rateLimiter = new RemovalRateLimiter(() => parts.policy.current.removalsPerMinute);
    this.#clock = {
      now: parts.now,
      elapsedMs: () => performance.now(),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    };
  }

  /** The last collection of this process. */
  lastOutcome(): CollectionOutcome | undefined {
    return this.#last;
  }

  /**
   * What a collection would do now: by the thresholds, or to free `bytes`. Throws what runtime or
   * file system answered.
   */
  plan(
    { bytes, assumedAgeMs }: PlanRequest,
    { signal }: { signal: AbortSignal },
  ): Promise<CollectionPlan> {
    return this.#inTurn(async () => {
      const { plan } = await this.parts.planner.plan({ bytes, assumedAgeMs }, signal);
      this.#remember(plan.planId, { bytes, assumedAgeMs: plan.assumedAgeMs });
      return plan;
    });
  }

  /**
   * Collects now: by the policy, to free `bytes`, or exactly the plan of that id. Throws
   * FailedPreconditionError when that plan is not what would be planned now, or collection is
   * paused or off, and what the runtime answered before there was a plan.
   */
  async run(
    { planId, bytes }: { planId?: string; bytes?: number },
    { signal }: { signal: AbortSignal },
  ): Promise<CollectionOutcome> {
    if (planId !== undefined && bytes !== undefined) {
      throw new InvalidArgumentError('bytes', bytes, 'planId or bytes, not both');
    }
    const { planner, shadowPlans } = this.parts;
    return this.#inTurn(async () => {
      this.#requireAllowed();
      if (planId === undefined) {
        const request = requestOf({ bytes });
        return this.#collect(await planner.plan({ bytes }, signal), { request, signal });
      }
      const known = this.#requests.get(planId) ?? shadowPlans.find(planId);
      if (known === undefined) {
        throw new FailedPreconditionError(
          `plan ${planId} is not one of the last ${rememberedPlans} plans: ask for a new one`,
        );
      }
      const current = await planner.plan(known, signal);
      if (current.plan.planId !== planId) {
        throw new FailedPreconditionError(
          `plan ${planId} is stale: images, their use or the disk changed, and the plan would be ${current.plan.planId} now`,
        );
      }
      return this.#collect(current, { request: requestOf(known), exact: true, signal });
    });
  }

  /**
   * Checks whether something is to be collected, and collects it. True when a collection ran, or
   * was due and could not be planned, or is paused. Never throws: failures are logged and
   * published.
   */
  readonly collectIfDue = traced(
    'gc.check',
    { attributes: (cause) => ({ 'stowage.gc.cause': cause }) },
    (cause: CollectionCause, { signal }: { signal: AbortSignal }): Promise<boolean> =>
      this.#mutex.run(async () => {
        if (this.parts.pause.current() !== undefined) return true;
        let current: CurrentPlan;
        try {
          current = await this.parts.planner.plan({}, signal);
        } catch (error) {
          if (!signal.aborted) this.#reportPlanFailure(cause, error);
          return true;
        }
        const { plan, disksMeasured } = current;
        // Disks that cannot be measured are for the collection to report.
        const nothingToDo = plan.trigger === 'none' && disksMeasured;
        // While a threshold stays exceeded the worker checks often; it collects only when there is
        // something to remove.
        const nothingNew = cause === 'still-over-mark' && plan.removeCount === 0;
        if (nothingToDo || nothingNew) return false;
        // Nothing changes by a collection in shadow: the next one would say the same again.
        const isShadow = current.policy.collect === 'shadow';
        if (isShadow && this.parts.shadowPlans.isLast(plan.planId)) return true;
        await this.#collect(current, { periodic: true, signal });
        return true;
      }),
  );

  #requireAllowed(): void {
    const { pause, policy } = this.parts;
    const paused = pause.current();
    if (paused !== undefined) {
      const until = new Date(paused.until).toISOString();
      throw new FailedPreconditionError(
        `collection is paused until ${until} (${paused.reason}): gc-worker.resume ends that`,
      );
    }
    if (policy.current.collect === 'off') {
      throw new FailedPreconditionError(
        'collection is off: the configuration key collect (STOWAGE_COLLECT) says so',
      );
    }
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    return this.#mutex.run(() => {
      this.#waiting -= 1;
      return task();
    });
  }

  #remember(planId: string, request: PlanRequest): void {
    this.#requests.delete(planId);
    this.#requests.set(planId, request);
    const [oldest] = this.#requests.keys();
    if (this.#requests.size > rememberedPlans && oldest !== undefined)
      this.#requests.delete(oldest);
  }

  readonly #collect = traced(
    'gc.collection',
    {
      attributes: ({ plan }) => ({
        'stowage.gc.plan_id': plan.planId,
        'stowage.gc.trigger': plan.trigger,
      }),
      returned: ({ set, failed }, outcome: CollectionOutcome) => {
        const { removed, expectedBytes, measuredBytes, failure } = outcome;
        set({
          'stowage.gc.removed': removed.length,
          'stowage.gc.expected_bytes': expectedBytes,
          'stowage.gc.measured_bytes': measuredBytes ?? undefined,
          'error.type': failure?.code,
        });
        if (failure !== undefined) failed(failure.grpcStatus);
      },
    },
    async (
      { plan, policy }: CurrentPlan,
      { signal: given, ...run }: RunOptions,
    ): Promise<CollectionOutcome> => {
      const { detector, disks, recordsLock, meter, log } = this.parts;
      // A pause that begins cuts it off.
      const signal = AbortSignal.any([given, this.parts.pause.begins]);
      const options = { ...run, signal };
      const isShadow = policy.collect === 'shadow';
      const { planId, trigger, bytesToFree, expectedBytes, removeCount, keptByRule } = plan;
      log.info(
        { planId, trigger, bytesToFree, expectedBytes, remove: removeCount, keep: keptByRule },
        isShadow ? 'collection in shadow begins' : 'collection begins',
      );
      const breakdowns =
        trigger === 'threshold'
          ? await this.parts.breakdowns.current({
              signal: options.signal,
              maxAgeMs: breakdownMaxAgeMs,
            })
          : [];
      const clock = this.#clock;
      const common = { disks, detector, lock: recordsLock, clock };
      if (isShadow) {
        const ports = { ...common, removals: noRemovals, rateLimiter: noLimit };
        const how = { ...options, exact: true, policy: shadowPolicy(policy), meter };
        const outcome = shadowOutcome(await carryOut(plan, ports, how), plan);
        const { mountpoint } = outcome.before ?? {};
        const breakdown = breakdowns.find((one) => one.mountpoint === mountpoint);
        const { assumedAgeMs } = plan;
        this.#reportShadow({ ...outcome, breakdown }, { ...options.request, assumedAgeMs });
        return { ...outcome, breakdown };
      }
      const removals = new ImageRemovals(planId, this.parts);
      const ports = { ...common, removals, rateLimiter: this.#rateLimiter };
      const carriedOut = await carryOut(plan, ports, { ...options, policy, meter });
      const mountpoint = carriedOut.before?.mountpoint;
      const breakdown = breakdowns.find((one) => one.mountpoint === mountpoint);
      const outcome = await this.#withLeak({ ...carriedOut, breakdown }, options.signal);
      this.#requests.delete(planId);
      this.parts.shadowPlans.forget(planId);
      this.#report(outcome);
      return outcome;
    },
  );

  /** Where clearly less came free than was expected, adds how much nothing accounts for. */
  async #withLeak(outcome: CollectionOutcome, signal: AbortSignal): Promise<CollectionOutcome> {
    const { planId, measuredBytes, expectedBytes } = outcome;
    if (measuredBytes == null || measuredBytes >= expectedBytes * fallsShort) return outcome;
    const { metrics, log } = this.parts;
    try {
      const search = { ...this.parts, isAwaited: () => this.#waiting > 0 };
      const leakedBytes = await findLeakedBytes(search, { signal });
      if (leakedBytes === undefined) return outcome;
      metrics.leaked(leakedBytes);
      log.warn(
        { planId, expectedBytes, measuredBytes, leakedBytes },
        'less came free than expected: some bytes belong to no image or container',
      );
      return { ...outcome, leakedBytes };
    } catch (error) {
      log.debug({ reason: errorMessage(error) }, 'leaked bytes unknown');
      return outcome;
    }
  }

  #report(outcome: CollectionOutcome): void {
    const { publish, metrics, health, log } = this.parts;
    this.#last = outcome;
    metrics.collectionEnded(outcome);
    health.collectionEnded(outcome);
    const { planId, failure } = outcome;
    const summary = {
      planId,
      trigger: outcome.trigger,
      askedBytes: outcome.askedBytes,
      expectedBytes: outcome.expectedBytes,
      measuredBytes: outcome.measuredBytes,
      removed: outcome.removed.length,
      keptByReason: outcome.keptByReason,
      breakdown: outcome.breakdown,
      durationMs: outcome.durationMs,
    };
    if (failure === undefined) {
      this.#failuresInARow = 0;
      log.info(summary, 'collection done');
      publish('GarbageCollected', planId, garbageCollected(outcome));
      return;
    }
    this.#failuresInARow += 1;
    if (failure.code === 'cancelled') {
      log.info({ ...summary, reason: failure.message }, 'collection ended early');
    } else log.warn({ ...summary, reason: failure.message }, 'collection failed');
    if (failure.nodeEventReason === undefined && !this.#publishesFailure()) return;
    publish('GarbageCollectionFailed', planId, garbageCollectionFailed(outcome, failure));
  }

  #reportShadow(outcome: CollectionOutcome, request: PlanRequest): void {
    const { publish, controlMetrics, shadowPlans, log } = this.parts;
    const { planId, trigger, shadow, failure } = outcome;
    this.#last = outcome;
    if (shadow === undefined) return;
    const { wouldRemove, expectedBytes } = shadow;
    const summary = {
      ...{ planId, trigger, expectedBytes, wouldRemove: wouldRemove.length },
      keptByReason: outcome.keptByReason,
      durationMs: outcome.durationMs,
    };
    if (failure !== undefined) {
      log.info({ ...summary, reason: failure.message }, 'collection in shadow ended early');
      return;
    }
    log.info(summary, 'collection in shadow done: nothing was removed');
    shadowPlans.add(planId, request);
    controlMetrics.shadowed(trigger, wouldRemove.length, expectedBytes);
    publish('GarbageCollectionShadowed', planId, garbageCollectionShadowed(outcome, shadow));
  }

  #reportPlanFailure(cause: CollectionCause, error: unknown): void {
    const { store, publish, health, log, now } = this.parts;
    const { name: grpcStatus, message } = toGrpcStatus(error);
    health.planFailed(message);
    log.warn({ cause, reason: message }, 'collection could not be planned');
    if (cause === 'still-over-mark') return;
    this.#failuresInARow += 1;
    // While no threshold is exceeded nobody waits for this collection.
    const mountpoint = store
      .exceeded()
      .find(({ role, level }) => role === 'image' && level !== 'warning')?.mountpoint;
    if (mountpoint === undefined || !this.#publishesFailure()) return;
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

  #publishesFailure(): boolean {
    const { failureEvents } = this.parts.policy.current.differences;
    return failureEvents === 'every' || this.#failuresInARow > 1;
  }
}
