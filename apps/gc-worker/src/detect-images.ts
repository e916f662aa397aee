import { errorMessage } from '@stowage/errors';
import { ClockWatch } from './clock-watch';
import type { KubeletDifferences } from './differences';
import * as eventData from './event-data';
import type { ExemptMatch } from './exempt';
import type { ImageContents } from './image-contents';
import type { ImageHints } from './image-hints';
import { findUsers, ReferenceSearch, type ContainerUse } from './image-use';
import { togetherBytes } from './layer-shares';
import type { GcMetrics } from './metrics';
import { firstProtection, type KeepRule, type PlannedImage } from './plan-collection';
import type { PublishAll } from './publish';
import { applyDetection, type ListedImage } from './records/apply-detection';
import type { ImageRecordStore } from './records/record-store';
import type { Runtime } from './runtime';
import type { ImageRecord, PlanImage, Protection } from './types';

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
  readonly exempt: ExemptMatch;
  readonly contents: ImageContents;
  /** Exempt rules look at labels: then every image's must be known before one may go. */
  readonly needsLabels: boolean;
  readonly differences: KubeletDifferences;
  readonly publishAll: PublishAll;
  /** Sequence of the next event. */
  readonly nextSequence: () => number;
  readonly metrics: Pick<GcMetrics, 'detected' | 'regretted'>;
  /** An image that comes back within this after its removal counts as regret; 0 = none does. */
  readonly regretWindowMs: number;
  readonly log: DetectorLog;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that never jumps. Default: the process's own. */
  readonly elapsedMs?: () => number;
}

/** Images whose layers are asked for in one detection, where nothing depends on them but the estimate. */
const contentCallsPerDetection = 256;

/** Removals that are remembered to notice that an image comes back. */
const maxRemovedImages = 10_000;

/** Container status calls at once. */
const statusCallsAtOnce = 8;

/**
 * Finds out which images there are and who uses them, and keeps the records so. It asks the runtime alone; what other
 * services said (pulls, holds) only adds reasons to keep an image.
 */
export class ImageDetector {
  /** Mounts never change after a container is made, so its status is asked once. */
  private readonly volumesOf = new Map<string, readonly string[]>();
  private sandboxImage: string | undefined;
  /** Images whose removal was begun, ended unknown, and that a detection found to be still there. */
  private readonly stayedOnce = new Set<string>();

  private readonly clock: ClockWatch;

  constructor(private readonly parts: ImageDetectorParts) {
    this.clock = new ClockWatch(parts.now, parts.elapsedMs);
  }

  /**
   * One detection: records as of now, ImageDetected for new ids and ImageRemoved for those that are gone. Throws what
   * the runtime answered; records are then as before.
   */
  async detect({ signal }: { signal: AbortSignal }): Promise<PlanImage[]> {
    const { runtime, store, hints, differences, now, metrics } = this.parts;
    const startedAt = performance.now();
    try {
      const images = await runtime.listImages({ signal });
      const containers = await this.containers(signal);
      if (differences.sandboxImage === 'kept') await this.findSandboxImage(signal);
      await this.learnContents(images, signal);
      this.followClock();
      const time = now();
      const result = applyDetection(store.images(), {
        images,
        users: findUsers(images, containers, differences.inUseMatch),
        detectTime: time,
        now: time,
      });
      const cameBack = this.publishChanges(result.detected, result.vanished, time);
      store.apply(result);
      store.forgetRemoved(cameBack);
      for (const { imageId } of result.detected) {
        const usedAt = hints.takeUse(imageId);
        if (usedAt !== undefined) store.used(imageId, usedAt);
        const pulled = hints.takePull(imageId);
        if (pulled !== undefined) store.pulled(imageId, pulled);
      }
      this.dropIntentsOfThoseThatStay();
      const records = [...store.images().values()];
      metrics.detected('ok', (performance.now() - startedAt) / 1000, records);
      return this.withProtections(records, time);
    } catch (error) {
      metrics.detected('failed', (performance.now() - startedAt) / 1000, []);
      throw error;
    }
  }

  /** Bytes of the images of the last detection, shared layers counted once as far as the runtime tells. */
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
    const { store, differences, now } = this.parts;
    const containers = await this.containers(signal);
    this.followClock();
    const listed: ListedImage = { ...image };
    const usedBy = findUsers([listed], containers, differences.inUseMatch).get(image.imageId) ?? [];
    const time = now();
    if (usedBy.length > 0) store.used(image.imageId, time);
    const record: ImageRecord = { ...listed, ...image, usedBy };
    const [current] = this.withProtections([record], time);
    return current === undefined ? undefined : firstProtection(current);
  }

  /** When the clock was set, what is remembered moves with it: ages stay what they are. */
  private followClock(): void {
    const { store, hints, log } = this.parts;
    const jumpMs = this.clock.jumpMs();
    if (jumpMs === 0) return;
    log.warn({ jumpMs }, 'the clock was set: remembered times move with it');
    store.shiftTimes(jumpMs);
    hints.shiftTimes(jumpMs);
  }

  private withProtections(records: readonly ImageRecord[], now: number): PlanImage[] {
    const { exempt, hints, contents, needsLabels } = this.parts;
    const { sandboxImage = '' } = this;
    const sandboxIds = new ReferenceSearch([sandboxImage]).look(records).find(sandboxImage);
    return records.map((record) => {
      const protections: Protection[] = hints.protections(record, now);
      if (sandboxIds.includes(record.imageId)) {
        protections.push({ rule: 'sandbox-image', reference: sandboxImage });
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
        ...(protections.length === 0 ? {} : { protections }),
        ...(layers === undefined ? {} : { layers }),
      };
    });
  }

  private async learnContents(images: readonly ListedImage[], signal: AbortSignal): Promise<void> {
    const { contents, needsLabels, log } = this.parts;
    const atMost = needsLabels ? Infinity : contentCallsPerDetection;
    const failures = await contents.learn(images, { atMost, signal });
    if (failures > 0) log.debug({ failures }, 'layers and labels of some images unknown');
  }

  /** Containers with the images they mount. */
  private async containers(signal: AbortSignal): Promise<ContainerUse[]> {
    const containers = await this.parts.runtime.listContainers({ signal });
    const ids = new Set(containers.map(({ containerId }) => containerId));
    for (const known of this.volumesOf.keys()) if (!ids.has(known)) this.volumesOf.delete(known);
    const unknown = containers.filter(({ containerId }) => !this.volumesOf.has(containerId));
    await this.askVolumes(unknown, signal);
    return containers.map((container) => {
      const imageVolumes = this.volumesOf.get(container.containerId) ?? [];
      return imageVolumes.length === 0 ? container : { ...container, imageVolumes };
    });
  }

  private async askVolumes(
    containers: readonly ContainerUse[],
    signal: AbortSignal,
  ): Promise<void> {
    const queue = [...containers];
    const ask = async () => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        await this.askVolumesOf(next.containerId, signal);
      }
    };
    await Promise.all(Array.from({ length: statusCallsAtOnce }, ask));
  }

  private async askVolumesOf(containerId: string, signal: AbortSignal): Promise<void> {
    const { runtime, differences, log } = this.parts;
    try {
      const volumes = await runtime.imageVolumes(containerId, { signal });
      if (volumes !== undefined) this.volumesOf.set(containerId, volumes);
    } catch (error) {
      if (differences.containerStatusError === 'abort-detection') {
        throw new Error(`get container status: ${errorMessage(error)}`, { cause: error });
      }
      // Not remembered: the next detection asks again. The container itself counts without its status.
      log.warn(
        { containerId, reason: errorMessage(error) },
        'image volumes of a container unknown',
      );
    }
  }

  private async findSandboxImage(signal: AbortSignal): Promise<void> {
    try {
      this.sandboxImage = await this.parts.runtime.sandboxImage({ signal });
    } catch (error) {
      this.parts.log.debug({ reason: errorMessage(error) }, 'sandbox image unknown');
    }
  }

  /**
   * A removal without an answer (the worker was killed in it, it took too long, the runtime went) may still be under way at the runtime
   * when a detection first looks. An image that is there at the second look stays; should it vanish later, that is another matter.
   */
  private dropIntentsOfThoseThatStay(): void {
    const { store } = this.parts;
    const intended = store.intendedRemovals();
    for (const imageId of this.stayedOnce) {
      if (!intended.includes(imageId)) this.stayedOnce.delete(imageId);
    }
    for (const imageId of intended) {
      if (!this.stayedOnce.delete(imageId)) this.stayedOnce.add(imageId);
      else store.removalFailed(imageId);
    }
  }

  /** Which of the new images a collection had removed not long ago, and the removals that need not be remembered after that. */
  private regretsAmong(
    detected: readonly ImageRecord[],
    now: number,
  ): { regrets: Map<string, eventData.Regret>; settled: string[] } {
    const { store, metrics, regretWindowMs, log } = this.parts;
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
   * What is to be told is noted before, with the sequences of its events: killed in between, the next process knows what went out.
   * Returns the removals that need not be remembered any more.
   */
  private publishChanges(
    detected: readonly ImageRecord[],
    vanished: readonly ImageRecord[],
    now: number,
  ): string[] {
    const { publishAll, nextSequence, store, log } = this.parts;
    const { regrets, settled } = this.regretsAmong(detected, now);
    store.announcing(detected, nextSequence());
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
    store.telling(
      vanished.map(({ imageId }) => imageId),
      nextSequence(),
    );
    publishAll(
      'ImageRemoved',
      vanished.map((record) => {
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

const nameOf = ({ imageId, repoTags }: ImageRecord): string => repoTags[0] ?? imageId;
