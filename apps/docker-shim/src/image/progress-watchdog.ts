import { DeadlineExceededError } from '@stowage/errors';
import type { PullMessage } from '../engine/engine-client';

/** Layers that the error of a stalled pull names at most. */
const namedLayers = 10;

/**
 * Follows the messages of one pull. It fires when nothing about any layer has changed for
 * `deadlineMs` milliseconds, from the request on: a registry that accepts and says nothing, or an
 * unpacking that stands still.
 */
export class ProgressWatchdog {
  /** Status of each layer, and the bytes it has come to. */
  readonly #layers = new Map<string, { readonly status: string; readonly bytes: number }>();
  readonly #stalled = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  /** @param deadlineMs 0 for no limit. */
  constructor(
    private readonly reference: string,
    private readonly deadlineMs: number,
  ) {
    this.#arm();
  }

  /** Aborted with a `DeadlineExceededError` that names the state of the layers. */
  get stalled(): AbortSignal {
    return this.#stalled.signal;
  }

  /** Bytes that were downloaded, as far as the engine says. */
  get bytes(): number {
    return this.#bytes;
  }

  see({ id, status, progressDetail }: PullMessage): void {
    const key = id ?? '';
    const next = { status: status ?? '', bytes: progressDetail?.current ?? 0 };
    const before = this.#layers.get(key);
    if (before?.status === next.status && before.bytes === next.bytes) return;
    this.#layers.set(key, next);
    if (next.status === 'Downloading') {
      const counted = before?.status === 'Downloading' ? before.bytes : 0;
      this.#bytes += Math.max(0, next.bytes - counted);
    }
    this.#arm();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.deadlineMs === 0) return;
    this.#timer = setTimeout(() => {
      const what = `progress of the pull of ${this.reference} (${this.#state()})`;
      this.#stalled.abort(new DeadlineExceededError(what, this.deadlineMs));
    }, this.deadlineMs);
  }

  #state(): string {
    const layers = [...this.#layers].filter(([id]) => id !== '');
    if (layers.length === 0) return 'the registry has not answered';
    const named = layers
      .slice(-namedLayers)
      .map(([id, { status, bytes }]) => `${id}: ${status}${bytes === 0 ? '' : ` ${bytes} bytes`}`);
    return named.join(', ');
  }
}
