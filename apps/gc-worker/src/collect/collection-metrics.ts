import { keepRules } from '@stowage/commands';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { CollectionOutcome } from './collect';
import { fellShort } from './collection-health';
import type { CollectionPlan } from './plan-collection';

/** Metrics of plans and collections. Label values come from closed sets. */
export class CollectionMetrics {
  readonly #collected;
  readonly #removalFailures;
  readonly #collections;
  readonly #collectionSeconds;
  readonly #freedBytes;
  readonly #kept;
  readonly #leakedBytes;
  readonly #collectableBytes;
  readonly #lastAt;
  readonly #lastSufficedAt;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#collected = new Counter({
      name: 'stowage_gc_images_collected_total',
      help: 'Images removed by collections, by reason. Images that others removed are not counted.',
      labelNames: ['reason'],
      registers,
    });
    for (const reason of ['threshold', 'max-age', 'request']) this.#collected.inc({ reason }, 0);
    this.#removalFailures = new Counter({
      name: 'stowage_gc_image_removal_failures_total',
      help: 'Image removals that the runtime refused or that timed out.',
      registers,
    });
    this.#collections = new Counter({
      name: 'stowage_gc_collections_total',
      help: 'Collections by trigger and result. Periodic checks that found nothing to do are not counted.',
      labelNames: ['trigger', 'result'],
      registers,
    });
    this.#collectionSeconds = new Histogram({
      name: 'stowage_gc_collection_duration_seconds',
      help: 'Duration of collections, measurement included. The detection before them is not counted.',
      buckets: [0.01, 0.05, 0.25, 1, 5, 15, 60, 300],
      registers,
    });
    this.#freedBytes = new Counter({
      name: 'stowage_gc_freed_bytes_total',
      help: 'Bytes freed by collections: expected (sum of reported image sizes) and measured on the file system (collections that measured a loss count 0).',
      labelNames: ['kind'],
      registers,
    });
    for (const kind of ['expected', 'measured']) this.#freedBytes.inc({ kind }, 0);
    this.#kept = new Gauge({
      name: 'stowage_gc_images_kept',
      help: 'Images that the last plan keeps, by the rule that decided.',
      labelNames: ['rule'],
      registers,
    });
    this.#leakedBytes = new Gauge({
      name: 'stowage_gc_leaked_bytes',
      help: 'Bytes in use that no image or container accounted for after the last collection that freed clearly less than expected; files of other programs on the same file system are included.',
      registers,
    });
    this.#collectableBytes = new Gauge({
      name: 'stowage_gc_collectable_bytes',
      help: 'Bytes that the removal of every image that may go is expected to free, as of the last plan, in the sizes the runtime reports. What thresholds and limits of one run hold back is included.',
      registers,
    });
    this.#lastAt = new Gauge({
      name: 'stowage_gc_last_collection_timestamp_seconds',
      help: 'When the last collection of this process ended, in seconds since the epoch; absent before the first. Checks that found nothing to do are not counted.',
      labelNames: [],
      registers,
    });
    this.#lastSufficedAt = new Gauge({
      name: 'stowage_gc_last_sufficient_collection_timestamp_seconds',
      help: 'When the last collection of this process ended that did not fall short: it failed in nothing and left no image file system over its high threshold. In seconds since the epoch; absent before the first.',
      labelNames: [],
      registers,
    });
    // Without a label prom-client shows 0, which would be a collection in 1970.
    this.#lastAt.remove();
    this.#lastSufficedAt.remove();
  }

  planned(plan: CollectionPlan): void {
    this.#collectableBytes.set(plan.collectableBytes);
    for (const rule of keepRules) this.#kept.set({ rule }, plan.keptByRule[rule] ?? 0);
  }

  imageCollected(reason: string): void {
    this.#collected.inc({ reason });
  }

  removalFailed(): void {
    this.#removalFailures.inc();
  }

  collectionEnded(outcome: CollectionOutcome): void {
    const endedAt = (outcome.startedAt + outcome.durationMs) / 1000;
    this.#lastAt.set(endedAt);
    if (!fellShort(outcome)) this.#lastSufficedAt.set(endedAt);
    const result = outcome.failure === undefined ? 'ok' : 'failed';
    this.#collections.inc({ trigger: outcome.trigger, result });
    this.#collectionSeconds.observe(outcome.durationMs / 1000);
    this.#freedBytes.inc({ kind: 'expected' }, outcome.expectedBytes);
    this.#freedBytes.inc({ kind: 'measured' }, Math.max(0, outcome.measuredBytes ?? 0));
  }

  leaked(bytes: number): void {
    this.#leakedBytes.set(bytes);
  }
}
