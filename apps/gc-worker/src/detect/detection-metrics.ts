import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ImageRecord } from '../records/image-record';

const states = ['in-use', 'pinned', 'unused'] as const;

/** Metrics of detections, of the image list and of hints. Label values come from closed sets. */
export class DetectionMetrics {
  private readonly detections;
  private readonly detectionSeconds;
  private readonly images;
  private readonly imageBytes;
  private readonly regrets;
  private readonly regretBytes;
  private readonly listedImages;
  private readonly listedAt;
  private readonly hintsRefused;

  constructor(registry: Registry) {
    const registers = [registry];
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
      help: 'Sum of the sizes that the runtime reports, by state; layers shared by images count for each.',
      labelNames: ['state'],
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
      help: "Images in the runtime's list when it was last refreshed for the node status.",
      registers,
    });
    this.listedAt = new Gauge({
      name: 'stowage_gc_listed_timestamp_seconds',
      help: 'Time of that list; it falls behind while the runtime does not answer.',
      registers,
    });
    this.hintsRefused = new Counter({
      name: 'stowage_gc_hints_refused_total',
      help: 'Hints from events that were refused: holds that end later than maxHold allows (too-long), and hints beyond the number that is remembered of each kind (too-many).',
      labelNames: ['kind', 'reason'],
      registers,
    });
    for (const kind of ['hold', 'pull', 'creation']) {
      this.hintsRefused.inc({ kind, reason: 'too-many' }, 0);
    }
    this.hintsRefused.inc({ kind: 'hold', reason: 'too-long' }, 0);
  }

  detected(seconds: number, records: readonly ImageRecord[]): void {
    this.detections.inc({ result: 'ok' });
    this.detectionSeconds.observe(seconds);
    const counts = { 'in-use': 0, pinned: 0, unused: 0 };
    const bytes = { 'in-use': 0, pinned: 0, unused: 0 };
    for (const { usedBy, pinned, sizeBytes } of records) {
      const state = usedBy.length > 0 ? 'in-use' : pinned ? 'pinned' : 'unused';
      counts[state] += 1;
      bytes[state] += sizeBytes;
    }
    for (const state of states) {
      this.images.set({ state }, counts[state]);
      this.imageBytes.set({ state }, bytes[state]);
    }
  }

  detectionFailed(seconds: number): void {
    this.detections.inc({ result: 'failed' });
    this.detectionSeconds.observe(seconds);
  }

  regretted(sizeBytes: number): void {
    this.regrets.inc();
    this.regretBytes.inc(sizeBytes);
  }

  /** `at` in milliseconds since the epoch. */
  imagesListed(count: number, at: number): void {
    this.listedImages.set(count);
    this.listedAt.set(at / 1000);
  }

  hintRefused(hint: { kind: string; reason: string }): void {
    this.hintsRefused.inc({ kind: hint.kind, reason: hint.reason });
  }
}
