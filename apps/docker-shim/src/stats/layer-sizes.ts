import { isNotFound } from '../engine/engine-errors';
import type { EngineConnection } from '../engine/engine-connection';
import type { StatsListener, StatsSubject } from './types';

/** Size of a writable layer, and when it was measured (milliseconds since the epoch). */
export interface LayerSize {
  readonly bytes: bigint;
  readonly atMs: number;
}

/** A measurement that takes longer doubles the interval of its container; milliseconds. */
const slowMs = 1000;
const longestIntervalMs = 1_200_000;
/**
 * Where there are many, those that are due in this time are measured in a row, milliseconds: to
 * begin with one costs an idle process more than to measure it.
 */
const rowMs = 2000;
/** A row ends when it has taken so long, milliseconds. */
const longestRowMs = 100;
/** What no list contained for so long is not measured any more, milliseconds. */
const keptMs = 600_000;
/** A measurement that takes longer is given up, milliseconds. */
const limitMs = 300_000;

interface Layer {
  size?: LayerSize;
  intervalMs: number;
  /** On the steady clock, as all below; Infinity for one that does not change. */
  dueAtMs: number;
  seenAtMs: number;
  isRunning: boolean;
}

export interface LayerSizesOptions {
  readonly connection: Pick<EngineConnection, 'engine'>;
  /** Shortest time between two measurements of a container, milliseconds. */
  readonly intervalMs: number;
  readonly listener: Pick<StatsListener, 'layerMeasured'>;
  readonly now: () => number;
  /** A clock that never jumps, milliseconds. */
  readonly steady: () => number;
}

/**
 * Sizes of writable layers. The engine goes through all files for each, so they are measured one at
 * a time, spread over the interval in rows of a few, and only while somebody asks for stats. What
 * does not run was measured once and does not change.
 */
export class LayerSizes {
  readonly #layers = new Map<string, Layer>();
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #measuring: Promise<void> | undefined;
  /** When the next row may begin at the earliest. */
  #nextRowMs = -Infinity;

  constructor(private readonly options: LayerSizesOptions) {}

  /** The last measurement; undefined before the first one. Never waits. */
  size(id: string): LayerSize | undefined {
    return this.#layers.get(id)?.size;
  }

  /** Has these measured from now on. */
  seen(containers: readonly Pick<StatsSubject, 'id' | 'running'>[]): void {
    const now = this.options.steady();
    for (const { id, running } of containers) {
      const layer = this.#layers.get(id);
      if (layer === undefined) {
        const { intervalMs } = this.options;
        this.#layers.set(id, { intervalMs, dueAtMs: now, seenAtMs: now, isRunning: running });
        continue;
      }
      layer.seenAtMs = now;
      // Once more after its end, and again when it has been started again.
      if (layer.isRunning !== running)
        layer.dueAtMs = Math.min(layer.dueAtMs, this.#nextDue(layer));
      layer.isRunning = running;
    }
    this.#schedule();
  }

  /** Ends the measurement that is going on. */
  async close(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#measuring;
  }

  #nextDue({ size, intervalMs }: Layer): number {
    if (size === undefined) return this.options.steady();
    return this.options.steady() - (this.options.now() - size.atMs) + intervalMs;
  }

  #schedule(): void {
    if (this.#measuring !== undefined || this.#stop.signal.aborted) return;
    clearTimeout(this.#timer);
    const now = this.options.steady();
    for (const [id, { seenAtMs }] of this.#layers) {
      if (now - seenAtMs > keptMs) this.#layers.delete(id);
    }
    const next = this.#next();
    if (next === undefined) return;
    const delayMs = Math.max(next[1].dueAtMs, this.#nextRowMs) - now;
    this.#timer = setTimeout(
      () => {
        this.#measuring = this.#measureRow().finally(() => {
          this.#measuring = undefined;
          this.#schedule();
        });
      },
      Math.max(0, delayMs),
    ).unref();
  }

  /** The one that is due first. */
  #next(): [string, Layer] | undefined {
    let next: [string, Layer] | undefined;
    for (const entry of this.#layers) {
      if (entry[1].dueAtMs < (next?.[1].dueAtMs ?? Infinity)) next = entry;
    }
    return next;
  }

  /** Those that are due, as many as keep the pace. */
  async #measureRow(): Promise<void> {
    const { steady, intervalMs } = this.options;
    const startedMs = steady();
    const eachMs = intervalMs / Math.max(1, this.#layers.size);
    const most = Math.max(1, Math.ceil(rowMs / eachMs));
    for (let count = 1; ; count += 1) {
      const next = this.#next();
      if (next === undefined || next[1].dueAtMs > steady()) break;
      await this.#measure(...next);
      this.#nextRowMs = steady() + Math.max(eachMs, rowMs);
      if (count === most || this.#stop.signal.aborted) break;
      if (steady() - startedMs < longestRowMs) continue;
      // So long that others would not have their turn in the interval.
      this.#nextRowMs = steady() + count * eachMs;
      break;
    }
  }

  async #measure(id: string, layer: Layer): Promise<void> {
    const { connection, intervalMs, listener, steady, now } = this.options;
    const startedMs = steady();
    const wasRunning = layer.isRunning;
    let isMeasured = false;
    try {
      const { client } = connection.engine();
      const { SizeRw } = await client.inspectContainer(id, {
        size: true,
        signal: this.#stop.signal,
        timeoutMs: limitMs,
      });
      layer.size = { bytes: BigInt(SizeRw ?? 0), atMs: now() };
      isMeasured = true;
    } catch (error) {
      if (isNotFound(error)) this.#layers.delete(id);
    }
    const tookMs = steady() - startedMs;
    if (!this.#stop.signal.aborted) listener.layerMeasured(isMeasured, tookMs);
    if (tookMs > slowMs) layer.intervalMs = Math.min(longestIntervalMs, layer.intervalMs * 2);
    else layer.intervalMs = intervalMs;
    const isFinal = isMeasured && !wasRunning && !layer.isRunning;
    layer.dueAtMs = isFinal ? Infinity : steady() + layer.intervalMs;
  }
}
