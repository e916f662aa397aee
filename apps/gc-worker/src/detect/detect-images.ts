import { errorMessage } from '@stowage/errors';
import { ClockWatch } from './clock-watch';
import * as eventData from './image-event-data';
import type { CurrentPolicy } from '../policy/live-policy';
import type { ImageContents } from './image-contents';
import type { ImageHints } from './image-hints';
import { findUsers, ReferenceSearch } from './image-use';
import { KnownContainers, type ContainerLook } from './known-containers';
import { togetherBytes } from './layer-shares';
import type { DetectionMetrics } from './detection-metrics';
import type { PublishAll } from '../publish';
import { applyDetection, isSeenInUse } from '../records/apply-detection';
import type { ImageRecordStore } from '../records/record-store';
import type { Runtime, ContainerUse, ListedImage } from '../runtime/runtime';
import {
  firstProtection,
  type KeepRule,
  type PlannedImage,
  type PlanImage,
  type Protection,
} from '../policy/keep-rules';
import type { ImageRecord, ImageUser } from '../records/image-record';

/** Where the detector's lines go. */
interface DetectorLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface ImageDetectorParts {
  readonly runtime: Runtime;
  readonly store: ImageRecordStore;
  readonly hints: ImageHints;
  readonly contents: ImageContents;
  /** Images that an operator keeps for a while. */
  readonly holds: {
    of(imageId: string): { readonly until: number; readonly reason: string } | undefined;
  };
  /** When the records began; set at their first detection. */
  readonly began: { readonly recordsBegan: number | undefined; setRecordsBegan(at: number): void };
  readonly policy: CurrentPolicy;
  /**
   * Reference of the image that pods are started with, where the configuration names it; else
   * empty.
   */
  readonly sandboxImage: string;
  /** How long a container that the runtime does not list any more still counts. Milliseconds. */
  readonly lostContainerWaitMs: number;
  readonly publishAll: PublishAll;
  /** Sequence of the next event. */
  readonly nextSequence: () => number;
  readonly metrics: Pick<DetectionMetrics, 'detected' | 'detectionFailed' | 'regretted'>;
  readonly log: DetectorLog;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /**
   * Called after each look with why it cannot be known who uses which image, or undefined when it
   * is known.
   */
  readonly useUnknown?: (reason: string | undefined) => void;
  /** Milliseconds of a clock that never jumps. Default: the process's own. */
  readonly elapsedMs?: () => number;
}

/** What is not certain about the use of images. */
export interface UseStatus {
  /**
   * Containers that the runtime does not list any more and that still count, and since when the
   * first of them does.
   */
  readonly lostContainers: number;
  readonly lostForMs?: number;
  /** Why unused images are kept, where it cannot be known who uses them. */
  readonly unknown?: string;
}

/**
 * Images whose layers are asked for in one detection, where nothing depends on them but the
 * estimate.
 */
const contentCallsPerDetection = 256;

/** Removals that are remembered to notice that an image comes back. */
const maxRemovedImages = 10_000;

/** While containers are missing the runtime is asked again after this at most. Milliseconds. */
const lookAgainMs = 5000;

/** Container status calls at once. */
const statusCallsAtOnce = 8;

/**
 * Finds out which images there are and who uses them, and keeps the records so. It asks the runtime
 * alone; what other services published (pulls, holds) only adds reasons to keep an image.
 */
export class ImageDetector {
  /** Mounts never change after a container is made, so its status is asked once. */
  readonly #volumesOf = new Map<string, readonly string[]>();
  /** Containers whose mounts are not known, and why. */
  readonly #volumesUnknown = new Map<string, string>();
  /** Containers that were listed and whose status was not found. */
  readonly #contradicted = new Set<string>();
  readonly #containersKnown: KnownContainers;
  #missingContainers: ReadonlySet<string> = new Set();
  #reportedSandboxImage: string | undefined;
  /** Why the runtime does not report which image it starts pods with. */
  #sandboxProblem: string | undefined;
  #unknown: string | undefined;
  /**
   * Images whose removal was begun, ended unknown, and that a detection found to be still there.
   */
  readonly #stayedOnce = new Set<string>();
  #hasDetected = false;

  readonly #clock: ClockWatch;

  constructor(private readonly parts: ImageDetectorParts) {
    const lastWall = parts.store.detectedAt() ?? undefined;
    this.#clock = new ClockWatch(parts.now, parts.elapsedMs, lastWall);
    this.#containersKnown = new KnownContainers(
      parts.lostContainerWaitMs,
      parts.store.images().values(),
    );
  }

  /**
   * Somebody saw that the container was removed: that the runtime does not list it any more is no
   * surprise.
   */
  containerRemoved(containerId: string): void {
    this.#containersKnown.removalSeen(containerId);
  }

  /** What is not certain about the use of images, as of the last look. */
  useStatus(): UseStatus {
    const missing = this.#containersKnown.missing();
    return {
      lostContainers: missing?.count ?? 0,
      lostForMs: missing === undefined ? undefined : Math.round(this.#elapsedMs() - missing.since),
      unknown: this.#unknown,
    };
  }

  /**
   * Milliseconds after which another detection is worth while, because containers are missing; else
   * undefined.
   */
  lookAgainInMs(): number | undefined {
    return this.#containersKnown.missing() === undefined
      ? undefined
      : Math.min(lookAgainMs, Math.max(100, this.parts.lostContainerWaitMs / 2));
  }

  #elapsedMs(): number {
    const { elapsedMs = () => performance.now() } = this.parts;
    return elapsedMs();
  }

  /**
   * One detection: records as of now, ImageDetected for new ids and ImageRemoved for those that are
   * gone. Throws what the runtime answered; records are then as before.
   */
  async detect({ signal }: { signal: AbortSignal }): Promise<PlanImage[]> {
    const { runtime, store, hints, began, policy, now, metrics } = this.parts;
    const startedAt = performance.now();
    try {
      const images = await runtime.listImages({ signal });
      const containers = await this.#containers(signal);
      if (policy.current.differences.sandboxImage === 'kept') await this.#findSandboxImage(signal);
      await this.#learnContents(images, signal);
      this.#followClock();
      const time = now();
      const users = this.#usersOf(images, containers);
      this.#judgeUse(() => images, containers);
      const result = applyDetection(store.images(), {
        images,
        users,
        detectTime: time,
        now: time,
      });
      const isFirst = store.detectedAt() == null;
      const cameBack = this.#publishChanges(result.detected, result.vanished, time);
      store.apply(result);
      if (isFirst) began.setRecordsBegan(time);
      store.forgetRemoved(cameBack);
      for (const { imageId } of result.detected) {
        const usedAt = hints.takeUse(imageId);
        if (usedAt !== undefined) store.used(imageId, usedAt);
        const pulled = hints.takePull(imageId);
        if (pulled !== undefined) store.pulled(imageId, pulled);
      }
      this.#dropIntentsOfThoseThatStay();
      const passedHolds = hints.dropPassedHolds(time);
      if (passedHolds.length > 0) store.dropHolds(passedHolds);
      const records = [...store.images().values()];
      this.#hasDetected = true;
      metrics.detected((performance.now() - startedAt) / 1000, records);
      return this.#withProtections(records, time);
    } catch (error) {
      this.#containersKnown.lookFailed(this.#elapsedMs());
      metrics.detectionFailed((performance.now() - startedAt) / 1000);
      throw error;
    }
  }

  /**
   * Exempt patterns and rules that hold for no image of the last detection, in words; none before
   * the first. A rule over labels holds for none where labels are not known.
   */
  unmatchedExemptions(): string[] {
    const { store, contents, policy, now } = this.parts;
    if (!this.#hasDetected) return [];
    const images = [...store.images().values()].map((record) => {
      const labels = contents.of(record.imageId)?.labels;
      return labels === undefined ? record : { ...record, labels };
    });
    const time = now();
    return policy.exemptions
      .filter(({ matches }) => !images.some((image) => matches(image, time)))
      .map(({ text }) => text);
  }

  /** Whether a detection of this process has ended well: the images are those of the runtime. */
  get hasDetected(): boolean {
    return this.#hasDetected;
  }

  /**
   * Bytes of the images of the last detection, shared layers counted once as far as the runtime
   * reports them.
   */
  knownBytes(): number {
    const { store, contents } = this.parts;
    const images = [...store.images().values()].map((record) => {
      const layers = contents.of(record.imageId)?.layers;
      return layers === undefined ? record : { ...record, layers };
    });
    return togetherBytes(images);
  }

  /** Why an image must stay, asked of the runtime now; undefined when nothing keeps it. */
  async protectionNow(
    image: PlannedImage,
    { signal }: { signal: AbortSignal },
  ): Promise<{ rule: KeepRule; why: string } | undefined> {
    const { runtime, store, now } = this.parts;
    // It may have been tagged or pinned since the plan. Where that cannot be read the plan counts:
    // runtimes fail so for damaged images, which are to go.
    const current = await runtime.findImage(image.imageId, { signal }).catch(() => undefined);
    const containers = await this.#containers(signal);
    this.#followClock();
    const listed: ListedImage = { ...image, ...current, imageId: image.imageId };
    const usedBy = this.#usersOf([listed], containers).get(image.imageId) ?? [];
    this.#judgeUse(() => [...store.images().values()], containers);
    const time = now();
    if (isSeenInUse(usedBy)) store.used(image.imageId, time);
    const known = store.images().get(image.imageId);
    const record: ImageRecord = { ...image, ...known, ...listed, usedBy };
    const [judged] = this.#withProtections([record], time);
    return (judged && firstProtection(judged)) ?? usedSince(image, known);
  }

  /** When the clock was set, what is remembered moves with it: ages stay what they are. */
  #followClock(): void {
    const { store, hints, began, log } = this.parts;
    const jumpMs = this.#clock.jumpMs();
    if (jumpMs === 0) return;
    log.warn({ jumpMs }, 'the clock was set: remembered times move with it');
    store.shiftTimes(jumpMs);
    // Before the first detection hints are of this process, and its clock.
    if (this.#hasDetected) hints.shiftTimes(jumpMs);
    const { recordsBegan } = began;
    if (recordsBegan !== undefined) began.setRecordsBegan(recordsBegan + jumpMs);
  }

  #withProtections(records: readonly ImageRecord[], now: number): PlanImage[] {
    const { hints, holds, contents } = this.parts;
    const { exempt, needsLabels } = this.parts.policy;
    const sandbox = imagesMeant(
      [this.parts.sandboxImage, this.#reportedSandboxImage ?? ''],
      records,
    );
    const creations = hints.creationsAt(now);
    const since = new Map(
      creations.flatMap(({ references, since: at }) => references.map((name) => [name, at])),
    );
    const asked = imagesMeant([...since.keys()], records);
    return records.map((record) => {
      const protections: Protection[] = hints.protections(record, now);
      const held = holds.of(record.imageId);
      // Before a hold without a reason.
      if (held !== undefined) {
        protections.unshift({ rule: 'held', until: held.until, reason: held.reason });
      }
      const sandboxImage = sandbox.get(record.imageId);
      if (sandboxImage !== undefined) {
        protections.push({ rule: 'sandbox-image', reference: sandboxImage });
      }
      const reference = asked.get(record.imageId);
      if (reference !== undefined) {
        const at = since.get(reference) ?? now;
        protections.push({ rule: 'container-creating', reference, since: at });
      }
      if (this.#unknown !== undefined) {
        protections.push({ rule: 'use-unknown', reason: this.#unknown });
      }
      const content = contents.of(record.imageId);
      const facts = content?.labels === undefined ? record : { ...record, labels: content.labels };
      const pattern =
        needsLabels && content === undefined
          ? 'a label rule perhaps: its labels could not be read'
          : exempt(facts, now);
      if (pattern !== undefined) protections.push({ rule: 'exempt', pattern });
      const layers = content?.layers;
      if (protections.length === 0 && layers === undefined) return record;
      return {
        ...record,
        protections: protections.length === 0 ? undefined : protections,
        layers,
      };
    });
  }

  async #learnContents(images: readonly ListedImage[], signal: AbortSignal): Promise<void> {
    const { contents, policy, log } = this.parts;
    const atMost = policy.needsLabels ? Infinity : contentCallsPerDetection;
    const failures = await contents.learn(images, { atMost, signal });
    if (failures > 0) log.debug({ failures }, 'layers and labels of some images unknown');
  }

  /** Containers with the images they mount, those among them that are missing and still count. */
  async #containers(signal: AbortSignal): Promise<readonly ContainerUse[]> {
    const { runtime } = this.parts;
    // What looks that go on beside this one find out is of containers that it need not know.
    const remembered = [this.#volumesOf, this.#volumesUnknown, this.#contradicted].map((kept) => ({
      kept,
      before: [...kept.keys()],
    }));
    let listed: readonly ContainerUse[];
    let look: ContainerLook;
    try {
      listed = await runtime.listContainers({ signal });
      look = await this.#believed(listed, signal);
    } catch (error) {
      this.#containersKnown.lookFailed(this.#elapsedMs());
      throw error;
    }
    const { containers, missing } = look;
    this.#logMissing(missing, listed.length);
    const ids = new Set(containers.map(({ containerId }) => containerId));
    for (const { kept, before } of remembered) {
      for (const known of before) if (!ids.has(known)) kept.delete(known);
    }
    const unknown = listed.filter(({ containerId }) => !this.#volumesOf.has(containerId));
    await this.#askVolumes(unknown, signal);
    return containers.map((container) => {
      const mounted = this.#volumesOf.get(container.containerId) ?? [];
      if (mounted.length === 0) return container;
      return { ...container, imageVolumes: [...new Set([...container.imageVolumes, ...mounted])] };
    });
  }

  async #believed(listed: readonly ContainerUse[], signal: AbortSignal): Promise<ContainerLook> {
    const { runtime, policy } = this.parts;
    if (policy.current.differences.lostContainers === 'gone')
      return { containers: listed, missing: new Set() };
    return this.#containersKnown.look(listed, {
      at: this.#elapsedMs(),
      pods: () => runtime.listPods({ signal }),
    });
  }

  /** Logs once that more containers are missing than are listed. */
  #logMissing(missing: ReadonlySet<string>, listed: number): void {
    const isNews = missing.size > listed && this.#missingContainers.size <= listed;
    this.#missingContainers = missing;
    if (!isNews) return;
    const { log, lostContainerWaitMs: keptForMs } = this.parts;
    log.info(
      { missing: missing.size, listed, keptForMs },
      'the runtime does not list containers any more that nobody saw removed: their images stay for now',
    );
  }

  #usersOf(
    images: readonly ListedImage[],
    containers: readonly ContainerUse[],
  ): Map<string, ImageUser[]> {
    const users = findUsers(images, containers, this.parts.policy.current.differences.inUseMatch);
    if (this.#missingContainers.size === 0) return users;
    for (const [imageId, those] of users) {
      const marked = those.map((user) =>
        this.#missingContainers.has(user.containerId)
          ? { ...user, isMissing: true as const }
          : user,
      );
      users.set(imageId, marked);
    }
    return users;
  }

  /**
   * Finds out whether it can be known now which images are used; where not, all that would be
   * unused stay.
   */
  #judgeUse(images: () => readonly ListedImage[], containers: readonly ContainerUse[]): void {
    const { sandboxImage, useUnknown } = this.parts;
    const { differences } = this.parts.policy.current;
    const reasons: string[] = [];
    const nameless =
      differences.inUseMatch === 'any-reference' ? containersOfNoImage(images, containers) : [];
    if (nameless.length > 0) {
      reasons.push(
        `the runtime does not say which image ${someContainers(nameless)} ${nameless.length > 1 ? 'use' : 'uses'}`,
      );
    }
    const [[, problem] = []] = this.#volumesUnknown;
    if (problem !== undefined) {
      const ids = [...this.#volumesUnknown.keys()];
      reasons.push(`the images mounted by ${someContainers(ids)} cannot be read: ${problem}`);
    }
    if (
      differences.sandboxImage === 'kept' &&
      sandboxImage === '' &&
      this.#reportedSandboxImage === undefined &&
      this.#sandboxProblem !== undefined
    ) {
      reasons.push(
        `the runtime does not say which image it starts pods with (${this.#sandboxProblem}): ` +
          'name it with sandboxImage (STOWAGE_SANDBOX_IMAGE)',
      );
    }
    this.#unknown = reasons.length === 0 ? undefined : reasons.join('; ');
    useUnknown?.(this.#unknown);
  }

  async #askVolumes(containers: readonly ContainerUse[], signal: AbortSignal): Promise<void> {
    const queue = [...containers];
    const ask = async () => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        await this.#askVolumesOf(next.containerId, signal);
      }
    };
    await Promise.all(Array.from({ length: statusCallsAtOnce }, ask));
  }

  async #askVolumesOf(containerId: string, signal: AbortSignal): Promise<void> {
    const { runtime, policy, log } = this.parts;
    try {
      const volumes = await runtime.imageVolumes(containerId, { signal });
      if (volumes !== undefined) {
        this.#volumesOf.set(containerId, volumes);
        this.#volumesUnknown.delete(containerId);
        this.#contradicted.delete(containerId);
      } else if (this.#contradicted.has(containerId)) {
        this.#volumesUnknown.set(containerId, 'it is listed, and its status is not found');
      } else {
        // It went in between, or the runtime contradicts itself: the next look shows which.
        this.#contradicted.add(containerId);
      }
    } catch (error) {
      // A look that is ended says nothing of the container.
      signal.throwIfAborted();
      const reason = errorMessage(error);
      if (policy.current.differences.containerStatusError === 'abort-detection') {
        throw new Error(`get container status: ${reason}`, { cause: error });
      }
      // The next look asks again. The container itself counts without its status.
      const isNews = this.#volumesUnknown.get(containerId) !== reason;
      this.#volumesUnknown.set(containerId, reason);
      if (isNews) log.warn({ containerId, reason }, 'image volumes of a container unknown');
    }
  }

  async #findSandboxImage(signal: AbortSignal): Promise<void> {
    try {
      this.#reportedSandboxImage = await this.parts.runtime.sandboxImage({ signal });
      this.#sandboxProblem = undefined;
    } catch (error) {
      // What it reported before still holds.
      this.#sandboxProblem = errorMessage(error);
      this.parts.log.debug({ reason: this.#sandboxProblem }, 'sandbox image unknown');
    }
  }

  /**
   * A removal without an answer (the worker was killed in it, it took too long, the runtime went)
   * may still be under way at the runtime when a detection first looks. An image that is there at
   * the second look stays; should it vanish later, that is another matter.
   */
  #dropIntentsOfThoseThatStay(): void {
    const { store } = this.parts;
    const intended = store.intendedRemovals();
    for (const imageId of this.#stayedOnce) {
      if (!intended.includes(imageId)) this.#stayedOnce.delete(imageId);
    }
    for (const imageId of intended) {
      if (!this.#stayedOnce.delete(imageId)) this.#stayedOnce.add(imageId);
      else store.removalFailed(imageId);
    }
  }

  /**
   * Which of the new images a collection had removed not long ago, and the removals that need not
   * be remembered after that.
   */
  #regretsAmong(
    detected: readonly ImageRecord[],
    now: number,
  ): { regrets: Map<string, eventData.Regret>; settled: string[] } {
    const { store, metrics, policy, log } = this.parts;
    const { regretWindowMs } = policy.current;
    const removed = store.removedImages();
    const regrets = new Map<string, eventData.Regret>();
    const settled: string[] = [];
    if (removed.size === 0) return { regrets, settled };
    const byName = new Map<string, string>();
    for (const [imageId, { names }] of removed) {
      for (const name of [imageId, ...names]) byName.set(name, imageId);
    }
    for (const record of detected) {
      const [cameBack] = [record.imageId, ...record.repoDigests]
        .map((name) => byName.get(name))
        .filter((imageId) => imageId !== undefined);
      const removal = cameBack === undefined ? undefined : removed.get(cameBack);
      if (cameBack === undefined || removal === undefined) continue;
      settled.push(cameBack);
      if (now - removal.removedAt > regretWindowMs) continue;
      regrets.set(record.imageId, removal);
      metrics.regretted(record.sizeBytes);
      const { imageId, repoTags, sizeBytes } = record;
      const afterMs = Math.max(0, now - removal.removedAt);
      log.info({ imageId, repoTags, sizeBytes, afterMs }, 'a removed image came back');
    }
    const tooMany = removed.size - maxRemovedImages;
    let at = 0;
    for (const [imageId, { removedAt }] of removed) {
      at += 1;
      if (at <= tooMany || now - removedAt > regretWindowMs) settled.push(imageId);
    }
    return { regrets, settled };
  }

  /**
   * What is to be published is recorded before, with the sequences of its events: after a kill in
   * between the next process knows what went out. Returns the removals that need not be remembered
   * any more.
   */
  #publishChanges(
    detected: readonly ImageRecord[],
    vanished: readonly ImageRecord[],
    now: number,
  ): string[] {
    const { publishAll, nextSequence, store, hints, log } = this.parts;
    const { regrets, settled } = this.#regretsAmong(detected, now);
    store.publishingDetected(detected, nextSequence());
    publishAll(
      'ImageDetected',
      detected.map((record) => ({
        subject: record.imageId,
        data: eventData.imageDetected(record, now, {
          regret: regrets.get(record.imageId),
          recordsRebuilt: store.rebuilding,
        }),
      })),
    );
    // Whoever else removed an image has published that.
    const unreported = vanished.filter(
      ({ imageId, firstDetected, lastUsed }) =>
        hints.takeRemoval(imageId, Math.max(firstDetected ?? -Infinity, lastUsed ?? -Infinity)) ===
        undefined,
    );
    store.publishingRemoved(
      unreported.map(({ imageId }) => imageId),
      nextSequence(),
    );
    publishAll(
      'ImageRemoved',
      unreported.map((record) => {
        // A removal that a killed worker had begun was ours, although nobody saw its end.
        const facts = store.removalIntent(record.imageId) ?? { reason: 'vanished' as const };
        const removed = { ...record, expectedBytes: record.sizeBytes };
        return { subject: record.imageId, data: eventData.imageRemoved(removed, facts, now) };
      }),
    );
    if (detected.length > 0 || vanished.length > 0) {
      log.info(
        { detected: detected.map(nameOf), vanished: vanished.map(nameOf) },
        'images changed in the runtime',
      );
    }
    return settled;
  }
}

/** Of an image that was used since the plan: the plan's order is not its own any more. */
function usedSince(
  planned: PlannedImage,
  known: ImageRecord | undefined,
): { rule: KeepRule; why: string } | undefined {
  const lastUsed = known?.lastUsed ?? -Infinity;
  if (lastUsed <= (planned.lastUsed ?? -Infinity)) return undefined;
  const why = `last used ${new Date(lastUsed).toISOString()}, after the plan was made`;
  return { rule: 'recently-used', why };
}

/** Ids of the images that references mean, with the reference. */
function imagesMeant(
  references: readonly string[],
  images: readonly ListedImage[],
): ReadonlyMap<string, string> {
  const named = references.filter((reference) => reference !== '');
  if (named.length === 0) return new Map();
  const search = new ReferenceSearch(named).look(images);
  return new Map(
    named.flatMap((reference) => search.find(reference).map((id) => [id, reference] as const)),
  );
}

const digest = /(^|[:@])[0-9a-f]{64}$/;

/**
 * Containers whose image is not known: the runtime reports neither an image id nor a digest for
 * them, and no name that an image has. (Where it reports an id, an image that is not listed is
 * gone.)
 */
function containersOfNoImage(
  images: () => readonly ListedImage[],
  containers: readonly ContainerUse[],
): string[] {
  const vague = containers.filter(
    ({ imageId, imageRef, imageNames }) =>
      imageId === '' && ![imageRef, ...imageNames].some((reference) => digest.test(reference)),
  );
  if (vague.length === 0) return [];
  const search = new ReferenceSearch(
    vague.flatMap(({ imageRef, imageNames }) => [imageRef, ...imageNames]),
  ).look(images());
  return vague
    .filter(
      ({ imageRef, imageNames }) =>
        ![imageRef, ...imageNames].some((reference) => search.find(reference).length > 0),
    )
    .map(({ containerId }) => containerId);
}

function someContainers(ids: readonly string[]): string {
  const [first = ''] = ids;
  return ids.length === 1 ? `container ${first}` : `container ${first} and ${ids.length - 1} more`;
}

const nameOf = ({ imageId, repoTags }: ImageRecord): string => repoTags[0] ?? imageId;
