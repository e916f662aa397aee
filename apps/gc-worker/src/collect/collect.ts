import {
  errorMessage,
  FailedPreconditionError,
  joinMessages,
  RuntimeUnavailableError,
  toGrpcStatus,
  type GrpcStatusName,
} from '@stowage/errors';
import { formatGoDuration } from '@stowage/go-duration';
import { FreedMeter, type FreedMeterLimits } from '../disk/measure-freed';
import { inMaintenance } from '../policy/maintenance';
import { Budget, type CollectionPlan, type CollectionRequest } from './plan-collection';
import type { CollectionPolicy } from '../policy/policy';
import {
  assessDisk,
  bytesToPlan,
  disksToRelieve,
  insufficientSpaceText,
  InvalidDiskCapacityError,
  isRelieved,
  type DiskAssessment,
  type FileSystemReading,
} from '../disk/assess-disk';
import type { KeepRule, PlannedImage, RemoveRule } from '../policy/keep-rules';

/** What a collection needs from outside; every call may fail without ending the collection. */
export interface CollectionPorts {
  /** The image file systems as they are now. */
  readDisks(options: { signal: AbortSignal }): Promise<readonly FileSystemReading[]>;
  /** Why the image must stay after all, asked just before its removal; undefined when it may go. */
  protectionNow(
    image: PlannedImage,
    options: { signal: AbortSignal },
  ): Promise<{ rule: KeepRule; why: string } | undefined>;
  /**
   * Asks the runtime; success also when the image is gone already. A success is no more than an answer: {@link CollectionPorts.settle} says
   * what came of it.
   */
  removeImage(image: PlannedImage, options: { signal: AbortSignal }): Promise<void>;
  /** The image is about to be removed. Must not throw and must not need disk space. */
  removing(image: PlannedImage, reason: RemoveRule): void;
  /**
   * The runtime answered that the image was removed. Once the runtime does not list it any more, it is accounted for. Must not throw and must
   * not need disk space.
   */
  removed(image: RemovedImage): void;
  /**
   * Looks which of the removals so far took effect. Resolves with the ids of images that the runtime still lists, each once. Never
   * rejects.
   */
  settle(): Promise<ReadonlySet<string>>;
  /** The removal was tried and failed. Must not throw. */
  notRemoved(image: FailedRemoval): void;
  /** Waits for the next removal that the policy's rate allows; ends early when the signal is aborted. */
  pace(options: { signal: AbortSignal }): Promise<void>;
  /** Runs the check, removal and account of some images, so that no detection sees them half done. */
  batch(task: () => Promise<void>): Promise<void>;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds of a clock that never jumps, for waits and durations. */
  elapsedMs(): number;
  sleep(ms: number): Promise<void>;
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
  readonly result: 'removed' | 'kept' | 'failed';
  readonly rule: KeepRule | RemoveRule | 'removal-failed' | 'not-reached';
  readonly why: string;
}

/** Outcome of one removal, before it is measured. */
interface Attempt {
  readonly image: PlannedImage;
  readonly isRemoved: boolean;
}

export interface CollectionOutcome {
  readonly planId: string;
  /** The plan's; `period` where the plan had nothing to do and nobody asked: then the periodic look failed. */
  readonly trigger: Exclude<CollectionPlan['trigger'], 'none'> | 'period';
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** Bytes the space pass had to free; absent when there was none. */
  readonly askedBytes?: number;
  /** Sum of the reported sizes of what was removed. */
  readonly expectedBytes: number;
  /** Bytes freed by the policy's way of counting, in the space pass. */
  readonly freedBytes: number;
  /** Growth of the available bytes over the whole collection; null when it cannot be measured. */
  readonly measuredBytes: number | null;
  readonly removed: readonly RemovedImage[];
  readonly failed: readonly FailedRemoval[];
  /** Ids in the order in which removal was tried. */
  readonly attempted: readonly string[];
  /** Number of images that stay, by rule (`removal-failed` and `not-reached` among them). */
  readonly keptByReason: Readonly<Record<string, number>>;
  /** Ids that remain, by the policy's `remainingImages`; null when kubelet would run no hooks. */
  readonly remaining: readonly string[] | null;
  readonly images: readonly ImageOutcome[];
  /** The file system with most to free (or the first), before and after. */
  readonly before?: DiskAssessment;
  readonly after?: DiskAssessment;
  /** The limit of a run (images, bytes, time) that ended it before it was through; absent when none did. */
  readonly limitedBy?: string;
  /**
   * Bytes in use that neither known images nor containers account for, looked at when less came free than was expected; others' files on
   * the same file system are among them.
   */
  readonly leakedBytes?: number;
  readonly failure?: CollectionFailure;
}

export interface CollectionOptions {
  readonly policy: CollectionPolicy;
  readonly request?: CollectionRequest;
  /** Nobody asked: a periodic look, or a mark. */
  readonly periodic?: boolean;
  /** Remove exactly what the plan says: no early stop and no images beyond it. */
  readonly exact?: boolean;
  readonly meter: FreedMeterLimits;
  readonly signal: AbortSignal;
}

/**
 * Carries out a plan: removals one after the other, each preceded by a check of use and followed by a measurement, until
 * the low mark (or the requested amount) is reached. When the estimate was too high it goes on to further images in
 * the plan's order; when it was too low it stops before the plan's end. Never throws: what went wrong is in `failure`.
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
  private readonly startedAt: number;
  private readonly startedMs: number;
  private readonly removedImages: RemovedImage[] = [];
  private readonly failedRemovals: FailedRemoval[] = [];
  private readonly attempted: string[] = [];
  private readonly verdicts = new Map<string, ImageOutcome>();
  private scannedAndKept: string[] = [];
  private spacePassDone = false;
  private askedBytes: number | undefined;
  private freedBySize = 0;
  private removedForSpace = 0;
  private meter: FreedMeter | undefined;
  private targets: readonly DiskAssessment[] = [];
  private beforeAll: readonly DiskAssessment[] = [];
  private failure: CollectionFailure | undefined;
  /** The limit of a run that ended this one before it was through. */
  private limitedBy: string | undefined;

  constructor(
    private readonly plan: CollectionPlan,
    private readonly ports: CollectionPorts,
    private readonly options: CollectionOptions,
  ) {
    this.startedAt = ports.now();
    this.startedMs = ports.elapsedMs();
  }

  private get differences() {
    return this.options.policy.differences;
  }

  async run(): Promise<void> {
    await this.passes();
    await this.settle();
    if (this.failure === undefined) this.reportRemovalErrors();
  }

  private async passes(): Promise<void> {
    const measures = this.differences.freedBytes === 'measured';
    if (measures) await this.startMeter();
    await this.agePass();
    if (this.failure !== undefined) return;
    if (this.options.exact === true) await this.exactPass();
    else await this.spacePass();
  }

  private async startMeter(): Promise<void> {
    try {
      const readings = await this.ports.readDisks({ signal: this.options.signal });
      this.meter = new FreedMeter(
        readings,
        {
          readDisks: () => this.ports.readDisks({ signal: this.options.signal }),
          elapsedMs: () => this.ports.elapsedMs(),
          sleep: (ms) => this.ports.sleep(ms),
        },
        this.options.meter,
      );
      this.beforeAll = validAssessments(readings, this.options.policy);
    } catch {
      // The space pass reads again and reports; removals by age need no measurement.
    }
  }

  private async agePass(): Promise<void> {
    const aged = this.plan.images.filter((image) => image.rule === 'max-age');
    await this.removeAll(aged, 'max-age');
    if (this.failedRemovals.length > 0 && this.differences.afterAgeRemovalError === 'stop') {
      const age = formatGoDuration(this.options.policy.maxAgeMs);
      this.fail(
        'removal-failed',
        `wanted to free images older than ${age}, encountered errors in image deletion: ${this.removalErrors()}`,
      );
    }
  }

  private async exactPass(): Promise<void> {
    if (this.plan.bytesToFree !== undefined) this.askedBytes = this.plan.bytesToFree;
    const planned = this.plan.images.filter(
      (image) => image.verdict === 'remove' && image.rule !== 'max-age',
    );
    await this.removeAll(planned, this.options.request === undefined ? 'threshold' : 'request');
    if (this.failure !== undefined) return;
    this.spacePassDone = true;
    this.reportRemovalErrors();
  }

  /** Removes these, as many at once as the policy says, until they are through or the collection must stop. */
  private async removeAll(images: readonly PlannedImage[], reason: RemoveRule): Promise<void> {
    const atOnce = this.options.policy.parallelRemovals;
    for (let at = 0; at < images.length; at += atOnce) {
      if (this.stopped() || this.isOverTime()) return;
      await this.removeBatch(images.slice(at, at + atOnce), reason);
    }
    await this.settle();
  }

  private async spacePass(): Promise<void> {
    if (!(await this.findTargets())) return;
    const asked = this.askedBytes;
    if (asked === undefined) {
      this.reportRemovalErrors();
      return;
    }
    const reason: RemoveRule = this.options.request === undefined ? 'threshold' : 'request';
    let waitedForPlanned = false;
    let batch: PlannedImage[] = [];
    const queue = this.plan.images.filter(
      (image) => image.order !== undefined && !this.verdicts.has(image.imageId),
    );
    for (const image of queue) {
      if (this.stopped()) return;
      if ((await this.isEnough(asked)) || this.isOverTime()) break;
      if (isNotToGo(image)) {
        this.scannedAndKept.push(image.imageId);
        continue;
      }
      if (this.isOverBudget(image, batch)) continue;
      if (image.verdict === 'keep' && !waitedForPlanned && this.removedForSpace > 0) {
        // The estimate is used up: give the runtime time to free before more images than planned have to go.
        waitedForPlanned = true;
        await this.meter?.waitForLateBytes(() => this.reached(asked));
        if (await this.isEnough(asked)) break;
      }
      batch.push(image);
      if (!this.isFull(batch, asked)) continue;
      await this.removeBatch(batch, reason);
      batch = [];
    }
    if (batch.length > 0 && !this.enough(asked) && !this.stopped()) {
      await this.removeBatch(batch, reason);
    }
    await this.settle();
    if (this.stopped()) return;
    if (!this.reached(asked) && this.removedForSpace > 0) {
      await this.meter?.waitFor(() => this.reached(asked));
    }
    this.spacePassDone = true;
    this.judge(asked);
  }

  /** A batch is full when as many removals as may go at once are in it, or when it is expected to be enough. */
  private isFull(batch: readonly PlannedImage[], asked: number): boolean {
    if (batch.length >= this.options.policy.parallelRemovals) return true;
    const expected = batch.reduce((sum, image) => sum + image.expectedBytes, 0);
    return this.freedBySize + expected >= asked;
  }

  /** Whether one more image would break the limits of a run; it then stays, and so says its verdict. */
  private isOverBudget(image: PlannedImage, batch: readonly PlannedImage[]): boolean {
    const { policy } = this.options;
    if (policy.maxImagesPerRun === 0 && policy.maxBytesPerRun === 0) return false;
    const budget = new Budget(policy);
    for (const { sizeBytes } of [...this.removedImages, ...batch]) budget.spend(sizeBytes);
    const why = budget.refuses(image.sizeBytes);
    if (why === undefined) return false;
    this.limitedBy ??= why;
    this.verdicts.set(image.imageId, { image, result: 'kept', rule: 'budget', why });
    this.scannedAndKept.push(image.imageId);
    return true;
  }

  /** Whether the run has lasted as long as it may. */
  private isOverTime(): boolean {
    const { maxRunMs } = this.options.policy;
    if (maxRunMs === 0 || this.ports.elapsedMs() - this.startedMs < maxRunMs) return false;
    this.limitedBy ??= `one collection takes at most ${formatGoDuration(maxRunMs)}`;
    return true;
  }

  /** Reads the disks and finds those to relieve. False when the collection ends here. */
  private async findTargets(): Promise<boolean> {
    const { policy, request, signal } = this.options;
    if (request !== undefined) {
      this.askedBytes = request.bytes;
      return true;
    }
    let readings: readonly FileSystemReading[];
    try {
      readings = await this.ports.readDisks({ signal });
    } catch (error) {
      this.fail('stats-failed', errorMessage(error), toGrpcStatus(error).name);
      return false;
    }
    const assessments = validAssessments(readings, policy);
    const invalid = readings.find((reading) => (reading.capacityBytes ?? 0) === 0);
    if (invalid !== undefined) {
      const message = new InvalidDiskCapacityError(invalid.mountpoint, 0).message;
      this.fail('invalid-disk-capacity', message, 'INTERNAL', 'InvalidDiskCapacity');
      if (assessments.length === 0) return false;
    }
    if (this.beforeAll.length === 0) this.beforeAll = assessments;
    this.targets = disksToRelieve(assessments, inMaintenance(policy, this.ports.now()));
    if (this.targets.length > 0) {
      this.askedBytes = Math.max(...this.targets.map(bytesToPlan));
    }
    return true;
  }

  /** As {@link Collection.enough}, when all removals that count took effect. */
  private async isEnough(asked: number): Promise<boolean> {
    if (!this.enough(asked)) return false;
    await this.settle();
    return this.enough(asked);
  }

  private enough(asked: number): boolean {
    if (this.differences.nothingToFree === 'remove-one' && this.removedForSpace === 0) return false;
    return this.reached(asked);
  }

  /** Whether what was asked is freed, by measurement where that is possible and wanted. */
  private reached(asked: number): boolean {
    const freed = this.meter?.freedBytes() ?? null;
    if (this.meter === undefined || freed == null) return this.freedBySize >= asked;
    if (this.options.request !== undefined) return freed >= asked;
    const now = validAssessments(this.meter.readings(), this.options.policy);
    return this.targets.every((target) => {
      const current = now.find(({ mountpoint }) => mountpoint === target.mountpoint);
      return current !== undefined && isRelieved(target, current);
    });
  }

  /** Removes these at once and measures once. What each brought is known only when it was alone. */
  private async removeBatch(batch: readonly PlannedImage[], reason: RemoveRule): Promise<void> {
    const { signal } = this.options;
    for (let begun = 0; begun < batch.length; begun += 1) await this.ports.pace({ signal });
    // The wait may have taken longer than what was left of the run.
    if (signal.aborted || this.isOverTime()) return;
    await this.ports.batch(() => this.removeTogether(batch, reason));
  }

  private async removeTogether(batch: readonly PlannedImage[], reason: RemoveRule): Promise<void> {
    const attempts = await Promise.all(batch.map((image) => this.attempt(image, reason)));
    const gone = attempts.filter(({ isRemoved }) => isRemoved).map(({ image }) => image);
    if (gone.length === 0) return;
    const expected = gone.reduce((sum, image) => sum + image.expectedBytes, 0);
    if (reason !== 'max-age') {
      this.freedBySize += expected;
      this.removedForSpace += gone.length;
    }
    const measured = (await this.meter?.afterRemoval(expected)) ?? null;
    for (const image of gone) this.tellRemoved(image, reason, gone.length === 1 ? measured : null);
  }

  private async attempt(image: PlannedImage, reason: RemoveRule): Promise<Attempt> {
    const { signal } = this.options;
    try {
      if (this.differences.useCheck === 'before-each-removal') {
        const protection = await this.ports.protectionNow(image, { signal });
        if (protection !== undefined) {
          this.verdicts.set(image.imageId, { image, result: 'kept', ...protection });
          this.scannedAndKept.push(image.imageId);
          return { image, isRemoved: false };
        }
      }
      this.attempted.push(image.imageId);
      this.ports.removing(image, reason);
      await this.ports.removeImage(image, { signal });
      return { image, isRemoved: true };
    } catch (error) {
      this.removalFailed(image, error);
      return { image, isRemoved: false };
    }
  }

  private tellRemoved(image: PlannedImage, reason: RemoveRule, measuredBytes: number | null): void {
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
    this.removedImages.push(removed);
    this.verdicts.set(image.imageId, { image, result: 'removed', rule: reason, why });
    this.ports.removed(removed);
  }

  private removalFailed(image: PlannedImage, error: unknown): void {
    const { name: grpcStatus, message } = toGrpcStatus(error);
    const failed: FailedRemoval = { image, grpcStatus, message };
    this.failedRemovals.push(failed);
    const why = `removal failed: ${message}`;
    this.verdicts.set(image.imageId, { image, result: 'failed', rule: 'removal-failed', why });
    this.scannedAndKept.push(image.imageId);
    this.ports.notRemoved(failed);
    if (error instanceof RuntimeUnavailableError) {
      this.fail('runtime-unavailable', message, 'UNAVAILABLE');
    }
  }

  /** Finds out which removals did not take effect: they count as failed. */
  private async settle(): Promise<void> {
    const stayed = await this.ports.settle();
    if (stayed.size === 0) return;
    const counted = this.removedImages.splice(0);
    for (const removed of counted) {
      if (!stayed.has(removed.imageId)) {
        this.removedImages.push(removed);
        continue;
      }
      if (removed.reason !== 'max-age') {
        this.freedBySize -= removed.expectedBytes;
        this.removedForSpace -= 1;
      }
      const text = 'the runtime answered that the image was removed, and still lists it';
      this.removalFailed(removed, new FailedPreconditionError(text));
    }
  }

  /** True when the collection must not go on; says why. */
  private stopped(): boolean {
    if (this.options.signal.aborted && this.failure === undefined) {
      this.fail('cancelled', 'the service is stopping', 'CANCELLED');
    }
    return this.failure?.code === 'cancelled' || this.failure?.code === 'runtime-unavailable';
  }

  private judge(asked: number): void {
    if (this.failure !== undefined) return;
    if (
      this.failedRemovals.length > 0 &&
      this.differences.removalError === 'fails-the-collection'
    ) {
      const wanted = asked === Infinity ? '9223372036854775807' : String(asked);
      this.fail(
        'removal-failed',
        `wanted to free ${wanted} bytes, but freed ${this.freedBySize} bytes space with errors in image deletion: ${this.removalErrors()}`,
      );
      return;
    }
    if (asked === Infinity || this.reached(asked)) {
      this.reportRemovalErrors();
      return;
    }
    if (this.limitedBy !== undefined) {
      // Not a failure: the run did what its limits allow, and the next one goes on.
      this.reportRemovalErrors();
      return;
    }
    const [target] = this.targets;
    const message =
      target === undefined
        ? `wanted to free ${asked} bytes, but freed ${this.freedBytes()} bytes`
        : insufficientSpaceText(this.worstTarget() ?? target, this.freedBytes());
    const nodeEvent = target === undefined ? undefined : 'FreeDiskSpaceFailed';
    this.fail('insufficient-space-freed', message, 'FAILED_PRECONDITION', nodeEvent);
  }

  /** The file system that is still over the mark and has most to free, as it was at the start. */
  private worstTarget(): DiskAssessment | undefined {
    const now =
      this.meter === undefined ? [] : validAssessments(this.meter.readings(), this.options.policy);
    const open = this.targets.filter((target) => {
      const current = now.find(({ mountpoint }) => mountpoint === target.mountpoint);
      return current === undefined || !isRelieved(target, current);
    });
    return mostToFree(open);
  }

  /** Where removals failed and nothing worse happened, the collection still says so. */
  private reportRemovalErrors(): void {
    if (this.failedRemovals.length === 0 || this.failure !== undefined) return;
    const count = this.failedRemovals.length;
    this.fail(
      'removal-failed',
      `${count} ${count === 1 ? 'image' : 'images'} could not be removed: ${this.removalErrors()}`,
    );
  }

  private removalErrors(): string {
    return joinMessages(this.failedRemovals.map(({ message }) => message));
  }

  private fail(
    code: CollectionFailure['code'],
    message: string,
    grpcStatus: GrpcStatusName = 'UNKNOWN',
    nodeEventReason?: CollectionFailure['nodeEventReason'],
  ): void {
    this.failure = {
      code,
      grpcStatus,
      message,
      ...(nodeEventReason === undefined ? {} : { nodeEventReason }),
    };
  }

  private freedBytes(): number {
    const measured = this.meter?.freedBytes() ?? null;
    return measured == null ? this.freedBySize : Math.max(measured, 0);
  }

  private trigger(): CollectionOutcome['trigger'] {
    if (this.plan.trigger !== 'none') return this.plan.trigger;
    return this.options.periodic === true ? 'period' : 'request';
  }

  outcome(): CollectionOutcome {
    const images = this.plan.images.map((image) => this.verdictOn(image));
    const keptByReason: Record<string, number> = {};
    for (const { result, rule } of images) {
      if (result !== 'removed') keptByReason[rule] = (keptByReason[rule] ?? 0) + 1;
    }
    const after =
      this.meter === undefined ? [] : validAssessments(this.meter.readings(), this.options.policy);
    const before = mostToFree(this.targets) ?? mostToFree(this.beforeAll);
    const afterwards = after.find(({ mountpoint }) => mountpoint === before?.mountpoint);
    return {
      planId: this.plan.planId,
      trigger: this.trigger(),
      startedAt: this.startedAt,
      durationMs: this.ports.elapsedMs() - this.startedMs,
      ...(this.askedBytes === undefined ? {} : { askedBytes: this.askedBytes }),
      expectedBytes: this.removedImages.reduce((sum, image) => sum + image.expectedBytes, 0),
      freedBytes: this.freedBytes(),
      measuredBytes: this.meter?.freedBytes() ?? null,
      removed: this.removedImages,
      failed: this.failedRemovals,
      attempted: this.attempted,
      keptByReason,
      remaining: this.remaining(images),
      images,
      ...(before === undefined ? {} : { before }),
      ...(afterwards === undefined ? {} : { after: afterwards }),
      ...(this.limitedBy === undefined ? {} : { limitedBy: this.limitedBy }),
      ...(this.failure === undefined ? {} : { failure: this.failure }),
    };
  }

  private verdictOn(image: PlannedImage): ImageOutcome {
    const decided = this.verdicts.get(image.imageId);
    if (decided !== undefined) return decided;
    if (image.verdict === 'keep') {
      return { image, result: 'kept', rule: image.rule, why: image.why };
    }
    if (this.limitedBy !== undefined) {
      return { image, result: 'kept', rule: 'budget', why: this.limitedBy };
    }
    if (this.spacePassDone || this.failure === undefined) {
      const why = 'not needed: enough was freed before';
      return { image, result: 'kept', rule: 'enough-freed', why };
    }
    return { image, result: 'kept', rule: 'not-reached', why: 'the collection ended before' };
  }

  private remaining(images: readonly ImageOutcome[]): readonly string[] | null {
    if (this.differences.remainingImages === 'all-that-remain') {
      return images.filter(({ result }) => result !== 'removed').map(({ image }) => image.imageId);
    }
    const hooksRun =
      this.spacePassDone &&
      (this.failure === undefined || this.failure.code === 'insufficient-space-freed');
    return hooksRun ? this.scannedAndKept : null;
  }
}

/** Stays however little came free: for its age, or because its removal failed. */
const isNotToGo = (image: PlannedImage): boolean =>
  image.rule === 'recently-used' || image.rule === 'min-age' || image.rule === 'removal-paused';

const mostToFree = (disks: readonly DiskAssessment[]): DiskAssessment | undefined =>
  disks.reduce<DiskAssessment | undefined>(
    (most, disk) => (most === undefined || disk.bytesToFree > most.bytesToFree ? disk : most),
    undefined,
  );

/** Assessments of the readings that have a capacity. */
function validAssessments(
  readings: readonly FileSystemReading[],
  policy: CollectionPolicy,
): DiskAssessment[] {
  return readings
    .filter((reading) => (reading.capacityBytes ?? 0) > 0)
    .map((reading) => assessDisk(reading, policy));
}
