import { Counter, Gauge, type Registry } from 'prom-client';
import type { CollectionPolicy } from '../policy/policy';

const modes = ['on', 'shadow', 'off'] as const satisfies CollectionPolicy['collect'][];

/** Metrics of whether images are removed at all, and of what would have been. */
export class ControlMetrics {
  readonly #paused;
  readonly #held;
  readonly #mode;
  readonly #shadowCollections;
  readonly #shadowImages;
  readonly #shadowBytes;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#paused = new Gauge({
      name: 'stowage_gc_paused',
      help: '1 while collections are paused by the command pause, else 0.',
      registers,
    });
    this.#held = new Gauge({
      name: 'stowage_gc_held_images',
      help: 'Images that the command hold keeps now. Holds of ensures are not counted.',
      registers,
    });
    this.#mode = new Gauge({
      name: 'stowage_gc_collect_mode',
      help: '1 for the mode that the key collect has now, else 0.',
      labelNames: ['mode'],
      registers,
    });
    this.#shadowCollections = new Counter({
      name: 'stowage_gc_shadow_collections_total',
      help: 'Collections in shadow by trigger: planned and published, nothing removed. A check that finds the plan of the last one again is not counted.',
      labelNames: ['trigger'],
      registers,
    });
    this.#shadowImages = new Gauge({
      name: 'stowage_gc_shadow_images',
      help: 'Images that the last collection in shadow would have removed; 0 before the first.',
      registers,
    });
    this.#shadowBytes = new Gauge({
      name: 'stowage_gc_shadow_bytes',
      help: 'Bytes that the last collection in shadow was expected to free, in the sizes the runtime reports; 0 before the first.',
      registers,
    });
  }

  paused(isPaused: boolean): void {
    this.#paused.set(isPaused ? 1 : 0);
  }

  held(images: number): void {
    this.#held.set(images);
  }

  mode(now: CollectionPolicy['collect']): void {
    for (const mode of modes) this.#mode.set({ mode }, mode === now ? 1 : 0);
  }

  shadowed(trigger: string, images: number, bytes: number): void {
    this.#shadowCollections.inc({ trigger });
    this.#shadowImages.set(images);
    this.#shadowBytes.set(bytes);
  }
}
