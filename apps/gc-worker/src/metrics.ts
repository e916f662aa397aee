import { keepRules } from '@stowage/commands';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { CollectionOutcome } from './collect/collect';
import type { CollectionPlan } from './collect/plan-collection';
import type { DiskAssessment } from './disk/threshold';
import type { Trend } from './disk/trend';
import type { ExceededMark, ImageRecord } from './types';

/** The worker's metrics, all `stowage_gc_…`. Label values come from closed sets, but for the few mount points. */
export class GcMetrics {
  private readonly collected;
  private readonly removalFailures;
  private readonly collections;
  private readonly collectionSeconds;
  private readonly freedBytes;
  private readonly detections;
  private readonly detectionSeconds;
  private readonly images;
  private readonly imageBytes;
  private readonly kept;
  private readonly capacity;
  private readonly available;
  private readonly usedPercent;
  private readonly inodes;
  private readonly inodesFree;
  private readonly exceeded;
  private readonly timeToFull;
  private readonly changeRate;
  private readonly policyReloads;
  private readonly leakedBytes;
  private readonly regrets;
  private readonly regretBytes;
  private readonly listedImages;
  private readonly listedAt;
  private readonly recordWriteErrors;
  private readonly recordsSetAside;
  private readonly written;
  private readonly hintsRefused;

  private readonly everExceeded = new Map<string, Omit<ExceededMark, 'since'>>();

  constructor(registry: Registry) {
    const registers = [registry];
    this.collected = new Counter({
      name: 'stowage_gc_images_collected_total',
      help: 'Images removed by collections, by reason. Images that others removed are not counted.',
      labelNames: ['reason'],
      registers,
    });
    for (const reason of ['threshold', 'max-age', 'request']) this.collected.inc({ reason }, 0);
    this.removalFailures = new Counter({
      name: 'stowage_gc_image_removal_failures_total',
      help: 'Image removals that the runtime refused or that timed out.',
      registers,
    });
    this.collections = new Counter({
      name: 'stowage_gc_collections_total',
      help: 'Collections by trigger and result. Periodic checks that found nothing to do are not counted.',
      labelNames: ['trigger', 'result'],
      registers,
    });
    this.collectionSeconds = new Histogram({
      name: 'stowage_gc_collection_duration_seconds',
      help: 'Duration of collections, measurement included. The detection before them is not counted.',
      buckets: [0.01, 0.05, 0.25, 1, 5, 15, 60, 300],
      registers,
    });
    this.freedBytes = new Counter({
      name: 'stowage_gc_freed_bytes_total',
      help: 'Bytes of collections: expected (sum of reported image sizes) and measured on the file system (collections that measured a loss count 0).',
      labelNames: ['kind'],
      registers,
    });
    this.detections = new Counter({
      name: 'stowage_gc_detections_total',
      help: 'Detections by result. A failed one leaves the records as they were.',
      labelNames: ['result'],
      registers,
    });
    this.detectionSeconds = new Histogram({
      name: 'stowage_gc_detection_duration_seconds',
      help: 'Duration of detections, runtime calls included.',
      buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60],
      registers,
    });
    this.images = new Gauge({
      name: 'stowage_gc_images',
      help: 'Images at the last detection: in-use, pinned (and not in use), unused.',
      labelNames: ['state'],
      registers,
    });
    this.imageBytes = new Gauge({
      name: 'stowage_gc_image_bytes',
      help: 'Sum of the sizes the runtime reports, by state; layers shared by images count for each.',
      labelNames: ['state'],
      registers,
    });
    this.kept = new Gauge({
      name: 'stowage_gc_images_kept',
      help: 'Images that the last plan keeps, by the rule that decided.',
      labelNames: ['rule'],
      registers,
    });
    const perDisk = { labelNames: ['mountpoint', 'role'] as const, registers };
    this.capacity = new Gauge({
      name: 'stowage_gc_filesystem_capacity_bytes',
      help: 'Capacity of an image or container file system.',
      ...perDisk,
    });
    this.available = new Gauge({
      name: 'stowage_gc_filesystem_available_bytes',
      help: 'Bytes available to unprivileged users on an image or container file system.',
      ...perDisk,
    });
    this.usedPercent = new Gauge({
      name: 'stowage_gc_filesystem_used_percent',
      help: "Used percent of an image or container file system in kubelet's integer arithmetic.",
      ...perDisk,
    });
    this.inodes = new Gauge({
      name: 'stowage_gc_filesystem_inodes',
      help: 'Inodes of an image or container file system; absent where their number is not fixed.',
      ...perDisk,
    });
    this.inodesFree = new Gauge({
      name: 'stowage_gc_filesystem_inodes_free',
      help: 'Free inodes of an image or container file system; absent where their number is not fixed.',
      ...perDisk,
    });
    this.exceeded = new Gauge({
      name: 'stowage_gc_threshold_exceeded',
      help: '1 from the time an image or container file system reached a mark (warning, high, critical; of bytes or inodes) until it has left it; marks never reached are absent.',
      labelNames: ['mountpoint', 'role', 'resource', 'mark'],
      registers,
    });
    this.timeToFull = new Gauge({
      name: 'stowage_gc_filesystem_time_to_full_seconds',
      help: 'Time until an image or container file system is full at the rate of the last minutes; absent while it does not fill or that is not known.',
      labelNames: ['mountpoint', 'role', 'resource'],
      registers,
    });
    this.changeRate = new Gauge({
      name: 'stowage_gc_filesystem_used_change_per_second',
      help: 'Change of the used bytes or inodes per second over the last minutes; absent until there are enough measurements.',
      labelNames: ['mountpoint', 'role', 'resource'],
      registers,
    });
    this.leakedBytes = new Gauge({
      name: 'stowage_gc_leaked_bytes',
      help: "Bytes in use that no image or container accounted for after the last collection that freed clearly less than expected; others' files on the same file system are in it.",
      registers,
    });
    this.regrets = new Counter({
      name: 'stowage_gc_regrets_total',
      help: 'Images that came back within the regret window after a collection removed them. Another build under the same tag is not counted.',
      registers,
    });
    this.regretBytes = new Counter({
      name: 'stowage_gc_regret_bytes_total',
      help: 'Sizes of the images that came back within the regret window after a collection removed them.',
      registers,
    });
    this.listedImages = new Gauge({
      name: 'stowage_gc_listed_images',
      help: 'Images in the last list of the runtime that the image list loop got.',
      registers,
    });
    this.listedAt = new Gauge({
      name: 'stowage_gc_listed_timestamp_seconds',
      help: 'Time of that list; it stays behind while the runtime does not answer.',
      registers,
    });
    this.policyReloads = new Counter({
      name: 'stowage_gc_policy_reloads_total',
      help: 'Changed policies by result: taken, or refused (the old one stays). Reloads that changed nothing are not counted.',
      labelNames: ['result'],
      registers,
    });
    for (const result of ['taken', 'refused']) this.policyReloads.inc({ result }, 0);
    this.recordWriteErrors = new Counter({
      name: 'stowage_gc_record_write_errors_total',
      help: 'Writes of the image records that failed. Attempts left out while writing fails are not counted.',
      registers,
    });
    this.recordsSetAside = new Counter({
      name: 'stowage_gc_records_set_aside_total',
      help: 'Record files that could not be used (damaged, foreign) and were begun anew.',
      registers,
    });
    this.hintsRefused = new Counter({
      name: 'stowage_gc_hints_refused_total',
      help: 'Hints of events that were not taken: holds that end later than maxHold allows (too-long), and what was over the number that is remembered of each kind (too-many).',
      labelNames: ['kind', 'reason'],
      registers,
    });
    for (const kind of ['hold', 'pull', 'creation']) {
      this.hintsRefused.inc({ kind, reason: 'too-many' }, 0);
    }
    this.hintsRefused.inc({ kind: 'hold', reason: 'too-long' }, 0);
    this.written = new Gauge({
      name: 'stowage_gc_records_written',
      help: '1 while the image records are on disk and would survive a restart, else 0.',
      registers,
    });
  }

  detected(result: 'ok' | 'failed', seconds: number, records: readonly ImageRecord[]): void {
    this.detections.inc({ result });
    this.detectionSeconds.observe(seconds);
    if (result === 'failed') return;
    const counts = { 'in-use': 0, pinned: 0, unused: 0 };
    const bytes = { 'in-use': 0, pinned: 0, unused: 0 };
    for (const { usedBy, pinned, sizeBytes } of records) {
      const state = usedBy.length > 0 ? 'in-use' : pinned ? 'pinned' : 'unused';
      counts[state] += 1;
      bytes[state] += sizeBytes;
    }
    for (const state of ['in-use', 'pinned', 'unused'] as const) {
      this.images.set({ state }, counts[state]);
      this.imageBytes.set({ state }, bytes[state]);
    }
  }

  planned(plan: CollectionPlan): void {
    for (const rule of keepRules) this.kept.set({ rule }, plan.keptByRule[rule] ?? 0);
  }

  imageCollected(reason: string): void {
    this.collected.inc({ reason });
  }

  removalFailed(): void {
    this.removalFailures.inc();
  }

  collectionEnded(outcome: CollectionOutcome): void {
    const result = outcome.failure === undefined ? 'ok' : 'failed';
    this.collections.inc({ trigger: outcome.trigger, result });
    this.collectionSeconds.observe(outcome.durationMs / 1000);
    this.freedBytes.inc({ kind: 'expected' }, outcome.expectedBytes);
    this.freedBytes.inc({ kind: 'measured' }, Math.max(0, outcome.measuredBytes ?? 0));
  }

  disk(
    disks: readonly DiskAssessment[],
    exceeded: readonly ExceededMark[],
    trends: ReadonlyMap<string, Partial<Record<ExceededMark['resource'], Trend>>>,
  ): void {
    // A file system that is unmounted, or a mark that is left, must not stay in the page for ever.
    this.timeToFull.reset();
    this.changeRate.reset();
    for (const { mountpoint, role } of disks) {
      const found = trends.get(mountpoint) ?? {};
      for (const resource of ['bytes', 'inodes'] as const) {
        const trend = found[resource];
        if (trend === undefined) continue;
        this.changeRate.set({ mountpoint, role, resource }, trend.perSecond);
        if (trend.timeToFullMs === undefined) continue;
        this.timeToFull.set({ mountpoint, role, resource }, trend.timeToFullMs / 1000);
      }
    }
    for (const { mountpoint, role, resource, level } of exceeded) {
      this.everExceeded.set(`${resource} ${level} ${mountpoint}`, {
        mountpoint,
        role,
        resource,
        level,
      });
    }
    for (const { mountpoint, role, resource, level } of this.everExceeded.values()) {
      const isNow = exceeded.some(
        (mark) =>
          mark.mountpoint === mountpoint && mark.resource === resource && mark.level === level,
      );
      this.exceeded.set({ mountpoint, role, resource, mark: level }, isNow ? 1 : 0);
    }
    for (const disk of disks) {
      const { mountpoint, role } = disk;
      this.capacity.set({ mountpoint, role }, disk.capacityBytes);
      this.available.set({ mountpoint, role }, disk.availableBytes);
      this.usedPercent.set({ mountpoint, role }, disk.usedPercent);
      if (disk.inodes != null && disk.inodes > 0)
        this.inodes.set({ mountpoint, role }, disk.inodes);
      if (disk.inodesUsedPercent != null) {
        this.inodesFree.set({ mountpoint, role }, disk.inodesFree ?? 0);
      }
    }
  }

  leaked(bytes: number): void {
    this.leakedBytes.set(bytes);
  }

  regretted(sizeBytes: number): void {
    this.regrets.inc();
    this.regretBytes.inc(sizeBytes);
  }

  imagesListed(count: number, at: number): void {
    this.listedImages.set(count);
    this.listedAt.set(at / 1000);
  }

  policyReloaded(result: 'taken' | 'refused'): void {
    this.policyReloads.inc({ result });
  }

  hintRefused(hint: { kind: string; reason: string }): void {
    this.hintsRefused.inc({ kind: hint.kind, reason: hint.reason });
  }

  recordWriteFailed(): void {
    this.recordWriteErrors.inc();
  }

  recordsWritten(isWritten: boolean): void {
    this.written.set(isWritten ? 1 : 0);
  }

  recordsWereSetAside(): void {
    this.recordsSetAside.inc();
  }
}
