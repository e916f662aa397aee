import {
  errorMessage,
  FailedPreconditionError,
  joinMessages,
  RuntimeUnavailableError,
  toGrpcStatus,
  type GrpcStatusName,
} from '@stowage/errors';
import { formatGoDuration } from '@stowage/go-duration';
import { Budget } from './budget';
import { FreedMeter, type FreedMeterLimits } from '../disk/measure-freed';
import type { DiskBreakdown } from '../disk/break-down';
import { inMaintenance } from '../policy/maintenance';
import type { CollectionPolicy } from '../policy/policy';
import {
  assessDisks,
  bytesToPlan,
  disksToRelieve,
  hasCapacity,
  insufficientSpaceText,
  InvalidDiskCapacityError,
  isRelieved,
  sizeText,
  type DiskAssessment,
  type FileSystemReading,
} from '../disk/assess-disk';
import type { KeepRule, PlannedImage, RemoveRule } from '../policy/keep-rules';
import type { CollectionRequest, CollectionPlan } from './plan-collection';

/** What a collection needs from outside; every call may fail without ending the collection. */
export interface CollectionPorts {
  readonly disks: {
    /** The image file systems as they are now. */
    read(options: { signal: AbortSignal }): Promise<readonly FileSystemReading[]>;
  };
  readonly detector: {
    /**
     * Why the image must stay after all, asked just before its removal; undefined when it may go.
     */
    protectionNow(
      image: PlannedImage,
      options: { signal: AbortSignal },
    ): Promise<{ rule: KeepRule; why: string } | undefined>;
  };
  readonly removals: RemovalPort;
  readonly rateLimiter: {
    /**
     * Waits until the policy's rate allows another removal; ends early when the signal is aborted.
     */
    wait(options: { signal: AbortSignal }): Promise<void>;
  };
  /** Held for the check and removal of a batch, so that no detection sees it half done. */
  readonly lock: { run(task: () => Promise<void>): Promise<void> };
  readonly clock: CollectionClock;
}

export interface CollectionClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds of a clock that never jumps, for waits and durations. */
  elapsedMs(): number;
  sleep(ms: number): Promise<void>;
}

/** Removes images and records what comes of it. Only `remove` may throw. */
export interface RemovalPort {
  /** The image is about to be removed. Must not need disk space. */
  begin(image: PlannedImage, reason: RemoveRule): void;
  /**
   * Asks the runtime; success also when the image is gone already. A success is no more than an
   * answer: {@link RemovalPort.settle} says what came of it.
   */
  remove(image: PlannedImage, options: { signal: AbortSignal }): Promise<void>;
  /**
   * The runtime answered that the image was removed. Once the runtime does not list it any more,
   * the removal is reported. Must not need disk space.
   */
  removed(image: RemovedImage): void;
  /** The removal was tried and failed. */
  failed(removal: FailedRemoval): void;
  /**
   * Finds out which of the removals so far took effect. Resolves with the ids of images that the
   * runtime still lists, each once.
   */
  settle(): Promise<ReadonlySet<string>>;
}

export interface RemovedImage extends PlannedImage {
  readonly reason: RemoveRule;
  /** Growth of the available bytes over this removal; null when it cannot be measured. */
  readonly measuredBytes: number | null;
}

export interface FailedRemoval {
  readonly image: PlannedImage;
  readonly grpcStatus: GrpcStatusName;
  readonly message: string;
}

/** How a collection fell short; `code` is that of the event GarbageCollectionFailed. */
export interface CollectionFailure {
  readonly code:
    | 'runtime-unavailable'
    | 'stats-failed'
    | 'invalid-disk-capacity'
    | 'removal-failed'
    | 'insufficient-space-freed'
    | 'cancelled';
  readonly grpcStatus: GrpcStatusName;
  readonly message: string;
  /** Reason of the Warning event that kubelet puts on the node, where it does so at once. */
  readonly nodeEventReason?: 'InvalidDiskCapacity' | 'FreeDiskSpaceFailed';
}

/** Final verdict on one image of the plan. */
export interface ImageOutcome {
  readonly image: PlannedImage;
  readonly result: 'removed' | 'kept' | 'failed' | 'would-remove';
  readonly rule: KeepRule | RemoveRule | 'removal-failed' | 'not-reached';
  readonly why: string;
}

/** Outcome of one removal, before it is measured. */
interface Attempt {
  readonly image: PlannedImage;
  readonly isRemoved: boolean;
}

/** Figures of a collection as kubelet counts them. */
export interface KubeletFigures {
  /** Bytes freed by the policy's way of counting, in the space pass. */
  readonly freedBytes: number;
  /** Ids in the order in which removal was tried. */
  readonly attempted: readonly string[];
  /** Ids that remain, by the policy's `remainingImages`; null when kubelet would run no hooks. */
  readonly remaining: readonly string[] | null;
}

export interface CollectionOutcome {
  readonly planId: string;
  /** The plan's; `period` where the plan had nothing to do and nobody asked: the check failed. */
  readonly trigger: Exclude<CollectionPlan['trigger'], 'none'> | 'period';
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** Bytes the space pass had to free; absent when there was none. */
  readonly askedBytes?: number;
  /** Sum of the reported sizes of what was removed. */
  readonly expectedBytes: number;
  /** Growth of the available bytes over the whole collection; null when it cannot be measured. */
  readonly measuredBytes: number | null;
  readonly removed: readonly RemovedImage[];
  readonly failed: readonly FailedRemoval[];
  /** Number of images that stay, by rule (`removal-failed` and `not-reached` among them). */
  readonly keptByReason: Readonly<Record<string, number>>;
  readonly asKubelet: KubeletFigures;
  readonly images: readonly ImageOutcome[];
  /** The file system with most to free (or the first), before and after. */
  readonly before?: DiskAssessment;
  readonly after?: DiskAssessment;
  /**
   * The limit of a run (images, bytes, time) that ended it before it was through; absent when none
   * did.
   */
  readonly limitedBy?: string;
  /**
   * Bytes in use that neither known images nor containers account for, measured when less came free
   * than was expected; files of other programs on the same file system are among them.
   */
  readonly leakedBytes?: number;
  /** What held the file system of `before`, before; where there was a threshold to get below. */
  readonly breakdown?: DiskBreakdown;
  /** What would have gone; present for a collection in shadow, which removes nothing. */
  readonly shadow?: {
    readonly wouldRemove: readonly RemovedImage[];
    readonly expectedBytes: number;
  };
  readonly failure?: CollectionFailure;
}

export interface CollectionOptions {
  readonly policy: CollectionPolicy;
  readonly request?: CollectionRequest;
  /** Nobody asked: a periodic check, or a threshold. */
  readonly periodic?: boolean;
  /** Remove exactly what is planned: no early stop and no images beyond it. */
  readonly exact?: boolean;
  readonly meter: FreedMeterLimits;
  readonly signal: AbortSignal;
}

/**
 * Carries out a plan: removals one after the other, each preceded by a check of use and followed by
 * a measurement, until the low threshold (or the requested amount) is reached. When the estimate
 * was too high it goes on to further images in the plan's order; when it was too low it stops
 * before the plan's end. Never throws: what went wrong is in `failure`.
 */
export async function carryOut(
  plan: CollectionPlan,
  ports: CollectionPorts,
  options: CollectionOptions,
): Promise<CollectionOutcome> {
  const collection = new Collection(plan, ports, options);
  await collection.run();
  return collection.outcome();
}

/** One collection while it runs. */
class Collection {
  readonly #startedAt: number;
  readonly #startedMs: number;
  readonly #removedImages: RemovedImage[] = [];
  readonly #failedRemovals: FailedRemoval[] = [];
  readonly #attempted: string[] = [];
  readonly #verdicts = new Map<string, ImageOutcome>();
  readonly #scannedAndKept: string[] = [];
  #spacePassDone = false;
  #askedBytes: number | undefined;
  #freedBySize = 0;
  #removedForSpace = 0;
  readonly #budget: Budget;
  #meter: FreedMeter | undefined;
  #targets: readonly DiskAssessment[] = [];
  #beforeAll: readonly DiskAssessment[] = [];
  #failure: CollectionFailure | undefined;
  /** The limit of a run that ended this one before it was through. */
  #limitedBy: string | undefined;

  constructor(
    private readonly plan: CollectionPlan,
    private readonly ports: CollectionPorts,
    private readonly options: CollectionOptions,
  ) {
    this.#startedAt = ports.clock.now();
    this.#startedMs = ports.clock.elapsedMs();
    this.#budget = new Budget(options.policy);
  }

  get #differences() {
    return this.options.policy.differences;
  }

  async run(): Promise<void> {
    await this.#passes();
    await this.#settle();
    if (this.#failure === undefined) this.#reportRemovalErrors();
  }

  async #passes(): Promise<void> {
    const measures = this.#differences.freedBytes === 'measured';
    if (measures) await this.#startMeter();
    await this.#agePass();
    if (this.#failure !== undefined) return;
    if (this.options.exact === true) await this.#exactPass();
    else await this.#spacePass();
  }

  async #startMeter(): Promise<void> {
    try {
      const { disks, clock } = this.ports;
      const { signal, meter, policy } = this.options;
      const readings = await disks.read({ signal });
      const readDisks = () => disks.read({ signal });
      this.#meter = new FreedMeter(readings, { readDisks, clock }, meter);
      this.#beforeAll = assessDisks(readings, policy);
    } catch {
      // The space pass reads again and reports; removals by age need no measurement.
    }
  }

  async #agePass(): Promise<void> {
    const aged = this.plan.images.filter((image) => image.rule === 'max-age');
    await this.#removeAll(aged, 'max-age');
    if (this.#failedRemovals.length > 0 && this.#differences.afterAgeRemovalError === 'stop') {
      const age = formatGoDuration(this.options.policy.maxAgeMs);
      this.#fail(
        'removal-failed',
        `wanted to free images older than ${age}, encountered errors in image deletion: ${this.#removalErrors()}`,
      );
    }
  }

  async #exactPass(): Promise<void> {
    if (this.plan.bytesToFree !== undefined) this.#askedBytes = this.plan.bytesToFree;
    const planned = this.plan.images.filter(
      (image) => image.verdict === 'remove' && image.rule !== 'max-age',
    );
    await this.#removeAll(planned, this.options.request === undefined ? 'threshold' : 'request');
    if (this.#failure !== undefined) return;
    this.#spacePassDone = true;
    this.#reportRemovalErrors();
  }

  /**
   * Removes these, as many at once as the policy allows, until all are tried or the collection must
   * stop.
   */
  async #removeAll(images: readonly PlannedImage[], reason: RemoveRule): Promise<void> {
    const atOnce = this.options.policy.parallelRemovals;
    for (let at = 0; at < images.length; at += atOnce) {
      if (this.#mustStop) {
        this.#stop();
        return;
      }
      if (this.#timeIsUp) {
        this.#limitTime();
        return;
      }
      const batch = images.slice(at, at + atOnce);
      for (const { sizeBytes } of batch) this.#budget.spend(sizeBytes);
      await this.#removeBatch(batch, reason);
    }
    await this.#settle();
  }

  async #spacePass(): Promise<void> {
    if (!(await this.#findTargets())) return;
    const asked = this.#askedBytes;
    if (asked === undefined) {
      this.#reportRemovalErrors();
      return;
    }
    const reason: RemoveRule = this.options.request === undefined ? 'threshold' : 'request';
    let waitedForPlanned = false;
    let batch: PlannedImage[] = [];
    const queue = this.plan.images.filter(
      (image) => image.order !== undefined && !this.#verdicts.has(image.imageId),
    );
    for (const image of queue) {
      if (this.#mustStop) {
        this.#stop();
        return;
      }
      if (await this.#settledEnough(asked)) break;
      if (this.#timeIsUp) {
        this.#limitTime();
        break;
      }
      if (isNotToGo(image)) {
        this.#scannedAndKept.push(image.imageId);
        continue;
      }
      const overBudget = this.#budget.refuses(image.sizeBytes);
      if (overBudget !== undefined) {
        this.#keepForBudget(image, overBudget);
        continue;
      }
      if (image.verdict === 'keep' && !waitedForPlanned && this.#removedForSpace > 0) {
        // The estimate is used up: give the runtime time to free before more images than planned
        // have to go.
        waitedForPlanned = true;
        await this.#meter?.waitForLateBytes(() => this.#reached(asked));
        if (await this.#settledEnough(asked)) break;
      }
      batch.push(image);
      this.#budget.spend(image.sizeBytes);
      if (!this.#isFull(batch, asked)) continue;
      await this.#removeBatch(batch, reason);
      batch = [];
    }
    if (batch.length > 0 && !this.#enough(asked) && !this.#mustStop) {
      await this.#removeBatch(batch, reason);
    }
    await this.#settle();
    if (this.#mustStop) {
      this.#stop();
      return;
    }
    if (!this.#reached(asked) && this.#removedForSpace > 0) {
      await this.#meter?.waitFor(() => this.#reached(asked));
    }
    this.#spacePassDone = true;
    this.#judge(asked);
  }

  /**
   * A batch is full when as many removals as may go at once are in it, or when it is expected to be
   * enough.
   */
  #isFull(batch: readonly PlannedImage[], asked: number): boolean {
    if (batch.length >= this.options.policy.parallelRemovals) return true;
    const expected = batch.reduce((sum, image) => sum + image.expectedBytes, 0);
    return this.#freedBySize + expected >= asked;
  }

  #keepForBudget(image: PlannedImage, why: string): void {
    this.#limitedBy ??= why;
    this.#verdicts.set(image.imageId, { image, result: 'kept', rule: 'budget', why });
    this.#scannedAndKept.push(image.imageId);
  }

  /** Whether the run has lasted as long as it may. */
  get #timeIsUp(): boolean {
    const { maxRunMs } = this.options.policy;
    return maxRunMs > 0 && this.ports.clock.elapsedMs() - this.#startedMs >= maxRunMs;
  }

  #limitTime(): void {
    const { maxRunMs } = this.options.policy;
    this.#limitedBy ??= `one collection takes at most ${formatGoDuration(maxRunMs)}`;
  }

  /** Reads the disks and finds those to relieve. False when the collection ends here. */
  async #findTargets(): Promise<boolean> {
    const { policy, request, signal } = this.options;
    if (request !== undefined) {
      this.#askedBytes = request.bytes;
      return true;
    }
    let readings: readonly FileSystemReading[];
    try {
      readings = await this.ports.disks.read({ signal });
    } catch (error) {
      this.#fail('stats-failed', errorMessage(error), toGrpcStatus(error).name);
      return false;
    }
    const assessments = assessDisks(readings, policy);
    const invalid = readings.find((reading) => !hasCapacity(reading));
    if (invalid !== undefined) {
      const message = new InvalidDiskCapacityError(invalid.mountpoint, 0).message;
      this.#fail('invalid-disk-capacity', message, 'INTERNAL', 'InvalidDiskCapacity');
      if (assessments.length === 0) return false;
    }
    if (this.#beforeAll.length === 0) this.#beforeAll = assessments;
    this.#targets = disksToRelieve(assessments, inMaintenance(policy, this.ports.clock.now()));
    if (this.#targets.length > 0) {
      this.#askedBytes = Math.max(...this.#targets.map(bytesToPlan));
    }
    return true;
  }

  /** As {@link Collection.enough}, once it is known that the removals that count took effect. */
  async #settledEnough(asked: number): Promise<boolean> {
    if (!this.#enough(asked)) return false;
    await this.#settle();
    return this.#enough(asked);
  }

  #enough(asked: number): boolean {
    if (this.#differences.nothingToFree === 'remove-one' && this.#removedForSpace === 0)
      return false;
    return this.#reached(asked);
  }

  /** Whether what was asked is freed, by measurement where that is possible and wanted. */
  #reached(asked: number): boolean {
    const freed = this.#meter?.freedBytes() ?? null;
    if (this.#meter === undefined || freed == null) return this.#freedBySize >= asked;
    if (this.options.request !== undefined) return freed >= asked;
    const now = this.#measuredNow();
    return this.#targets.every((target) => {
      const current = now.find(({ mountpoint }) => mountpoint === target.mountpoint);
      return current !== undefined && isRelieved(target, current);
    });
  }

  /** The file systems at the last measurement; empty where there is none. */
  #measuredNow(): DiskAssessment[] {
    return assessDisks(this.#meter?.readings() ?? [], this.options.policy);
  }

  /** Removes these at once and measures once. What each freed is known only when it was alone. */
  async #removeBatch(batch: readonly PlannedImage[], reason: RemoveRule): Promise<void> {
    const { signal } = this.options;
    const { rateLimiter, lock } = this.ports;
    for (let begun = 0; begun < batch.length; begun += 1) await rateLimiter.wait({ signal });
    if (signal.aborted) return;
    // The wait may have taken longer than what was left of the run.
    if (this.#timeIsUp) {
      this.#limitTime();
      return;
    }
    await lock.run(() => this.#removeTogether(batch, reason));
  }

  async #removeTogether(batch: readonly PlannedImage[], reason: RemoveRule): Promise<void> {
    const attempts = await Promise.all(batch.map((image) => this.#attempt(image, reason)));
    for (const { image, isRemoved } of attempts) {
      if (!isRemoved) this.#budget.giveBack(image.sizeBytes);
    }
    const gone = attempts.filter(({ isRemoved }) => isRemoved).map(({ image }) => image);
    if (gone.length === 0) return;
    const expected = gone.reduce((sum, image) => sum + image.expectedBytes, 0);
    if (reason !== 'max-age') {
      this.#freedBySize += expected;
      this.#removedForSpace += gone.length;
    }
    const measured = (await this.#meter?.afterRemoval(expected)) ?? null;
    for (const image of gone) this.#noteRemoved(image, reason, gone.length === 1 ? measured : null);
  }

  async #attempt(image: PlannedImage, reason: RemoveRule): Promise<Attempt> {
    const { signal } = this.options;
    try {
      if (this.#differences.useCheck === 'before-each-removal') {
        const protection = await this.ports.detector.protectionNow(image, { signal });
        if (protection !== undefined) {
          this.#verdicts.set(image.imageId, { image, result: 'kept', ...protection });
          this.#scannedAndKept.push(image.imageId);
          return { image, isRemoved: false };
        }
      }
      this.#attempted.push(image.imageId);
      this.ports.removals.begin(image, reason);
      await this.ports.removals.remove(image, { signal });
      return { image, isRemoved: true };
    } catch (error) {
      this.#removalFailed(image, error);
      return { image, isRemoved: false };
    }
  }

  #noteRemoved(image: PlannedImage, reason: RemoveRule, measuredBytes: number | null): void {
    const why =
      image.verdict === 'remove' ? image.why : 'the images before it freed less than expected';
    const removed: RemovedImage = {
      ...image,
      verdict: 'remove',
      rule: reason,
      why,
      reason,
      measuredBytes,
    };
    this.#removedImages.push(removed);
    this.#verdicts.set(image.imageId, { image, result: 'removed', rule: reason, why });
    this.ports.removals.removed(removed);
  }

  #removalFailed(image: PlannedImage, error: unknown): void {
    const { name: grpcStatus, message } = toGrpcStatus(error);
    const failed: FailedRemoval = { image, grpcStatus, message };
    this.#failedRemovals.push(failed);
    const why = `removal failed: ${message}`;
    this.#verdicts.set(image.imageId, { image, result: 'failed', rule: 'removal-failed', why });
    this.#scannedAndKept.push(image.imageId);
    this.ports.removals.failed(failed);
    if (error instanceof RuntimeUnavailableError) {
      this.#fail('runtime-unavailable', message, 'UNAVAILABLE');
    }
  }

  /** Finds out which removals did not take effect: they count as failed. */
  async #settle(): Promise<void> {
    const stayed = await this.ports.removals.settle();
    if (stayed.size === 0) return;
    const counted = this.#removedImages.splice(0);
    for (const removed of counted) {
      if (!stayed.has(removed.imageId)) {
        this.#removedImages.push(removed);
        continue;
      }
      this.#budget.giveBack(removed.sizeBytes);
      if (removed.reason !== 'max-age') {
        this.#freedBySize -= removed.expectedBytes;
        this.#removedForSpace -= 1;
      }
      const text = 'the runtime answered that the image was removed, and still lists it';
      this.#removalFailed(removed, new FailedPreconditionError(text));
    }
  }

  /** Whether the collection must not go on. */
  get #mustStop(): boolean {
    const code = this.#failure?.code;
    if (code === undefined) return this.options.signal.aborted;
    return code === 'cancelled' || code === 'runtime-unavailable';
  }

  #stop(): void {
    if (this.#failure !== undefined) return;
    // A pause says why in its own words; the service that stops has nothing to add.
    const reason: unknown = this.options.signal.reason;
    const isPause = reason instanceof FailedPreconditionError;
    this.#fail('cancelled', isPause ? reason.message : 'the service is stopping', 'CANCELLED');
  }

  #judge(asked: number): void {
    if (this.#failure !== undefined) return;
    if (
      this.#failedRemovals.length > 0 &&
      this.#differences.removalError === 'fails-the-collection'
    ) {
      const wanted = asked === Infinity ? '9223372036854775807' : String(asked);
      this.#fail(
        'removal-failed',
        `wanted to free ${wanted} bytes, but freed ${this.#freedBySize} bytes space with errors in image deletion: ${this.#removalErrors()}`,
      );
      return;
    }
    if (asked === Infinity || this.#reached(asked)) {
      this.#reportRemovalErrors();
      return;
    }
    if (this.#limitedBy !== undefined) {
      // Not a failure: the run did what its limits allow, and the next one goes on.
      this.#reportRemovalErrors();
      return;
    }
    const [target] = this.#targets;
    const message =
      target === undefined
        ? `wanted to free ${sizeText(asked)}, but freed ${sizeText(this.#freedBytes())}`
        : insufficientSpaceText(this.#worstTarget() ?? target, this.#freedBytes());
    const nodeEvent = target === undefined ? undefined : 'FreeDiskSpaceFailed';
    this.#fail('insufficient-space-freed', message, 'FAILED_PRECONDITION', nodeEvent);
  }

  /** The file system that is not relieved and has most to free, as it was at the start. */
  #worstTarget(): DiskAssessment | undefined {
    const now = this.#measuredNow();
    const open = this.#targets.filter((target) => {
      const current = now.find(({ mountpoint }) => mountpoint === target.mountpoint);
      return current === undefined || !isRelieved(target, current);
    });
    return mostToFree(open);
  }

  /** Where removals failed and nothing worse happened, the collection fails by them. */
  #reportRemovalErrors(): void {
    if (this.#failedRemovals.length === 0 || this.#failure !== undefined) return;
    const count = this.#failedRemovals.length;
    this.#fail(
      'removal-failed',
      `${count} ${count === 1 ? 'image' : 'images'} could not be removed: ${this.#removalErrors()}`,
    );
  }

  #removalErrors(): string {
    return joinMessages(this.#failedRemovals.map(({ message }) => message));
  }

  #fail(
    code: CollectionFailure['code'],
    message: string,
    grpcStatus: GrpcStatusName = 'UNKNOWN',
    nodeEventReason?: CollectionFailure['nodeEventReason'],
  ): void {
    this.#failure = {
      code,
      grpcStatus,
      message,
      nodeEventReason,
    };
  }

  #freedBytes(): number {
    const measured = this.#meter?.freedBytes() ?? null;
    return measured == null ? this.#freedBySize : Math.max(measured, 0);
  }

  #trigger(): CollectionOutcome['trigger'] {
    if (this.plan.trigger !== 'none') return this.plan.trigger;
    return this.options.periodic === true ? 'period' : 'request';
  }

  outcome(): CollectionOutcome {
    const images = this.plan.images.map((image) => this.#verdictOn(image));
    const keptByReason: Record<string, number> = {};
    for (const { result, rule } of images) {
      if (result !== 'removed') keptByReason[rule] = (keptByReason[rule] ?? 0) + 1;
    }
    const after = this.#measuredNow();
    const before = mostToFree(this.#targets) ?? mostToFree(this.#beforeAll);
    const afterwards = after.find(({ mountpoint }) => mountpoint === before?.mountpoint);
    return {
      planId: this.plan.planId,
      trigger: this.#trigger(),
      startedAt: this.#startedAt,
      durationMs: this.ports.clock.elapsedMs() - this.#startedMs,
      askedBytes: this.#askedBytes,
      expectedBytes: this.#removedImages.reduce((sum, image) => sum + image.expectedBytes, 0),
      measuredBytes: this.#meter?.freedBytes() ?? null,
      removed: this.#removedImages,
      failed: this.#failedRemovals,
      keptByReason,
      asKubelet: {
        freedBytes: this.#freedBytes(),
        attempted: this.#attempted,
        remaining: this.#remaining(images),
      },
      images,
      before,
      after: afterwards,
      limitedBy: this.#limitedBy,
      failure: this.#failure,
    };
  }

  #verdictOn(image: PlannedImage): ImageOutcome {
    const decided = this.#verdicts.get(image.imageId);
    if (decided !== undefined) return decided;
    if (image.verdict === 'keep') {
      return { image, result: 'kept', rule: image.rule, why: image.why };
    }
    if (this.#limitedBy !== undefined) {
      return { image, result: 'kept', rule: 'budget', why: this.#limitedBy };
    }
    if (this.#spacePassDone || this.#failure === undefined) {
      const why = 'not needed: enough was freed before';
      return { image, result: 'kept', rule: 'enough-freed', why };
    }
    return { image, result: 'kept', rule: 'not-reached', why: 'the collection ended before' };
  }

  #remaining(images: readonly ImageOutcome[]): readonly string[] | null {
    if (this.#differences.remainingImages === 'all-that-remain') {
      return images.filter(({ result }) => result !== 'removed').map(({ image }) => image.imageId);
    }
    const hooksRun =
      this.#spacePassDone &&
      (this.#failure === undefined || this.#failure.code === 'insufficient-space-freed');
    return hooksRun ? this.#scannedAndKept : null;
  }
}

/** Rules by which an image stays however little came free. */
const staysAnyway: ReadonlySet<PlannedImage['rule']> = new Set([
  'recently-used',
  'min-age',
  'removal-paused',
  'min-reclaim',
] satisfies KeepRule[]);

const isNotToGo = ({ rule }: PlannedImage): boolean => staysAnyway.has(rule);

const mostToFree = (disks: readonly DiskAssessment[]): DiskAssessment | undefined =>
  disks.reduce<DiskAssessment | undefined>(
    (most, disk) => (most === undefined || disk.bytesToFree > most.bytesToFree ? disk : most),
    undefined,
  );
