import type { ObjectsFile } from '../objects/objects-file';

/** How far before the moment at which the clock was seen to be set back, milliseconds. */
const noticedAfterMs = 60_000;

/**
 * Since when this node is observed, over restarts, in milliseconds since the epoch. A clock that
 * was ahead and is set right, also while the process runs, must not make everything since look old.
 */
export class ObservingSince {
  #ms: number;

  constructor(
    private readonly file: Pick<ObjectsFile, 'timestamp' | 'setTimestamp'>,
    private readonly now: () => number,
  ) {
    this.#ms = Math.min(file.timestamp('observing-since') ?? Infinity, now());
    file.setTimestamp('observing-since', this.#ms);
  }

  get ms(): number {
    const now = this.now();
    if (now < this.#ms) {
      this.#ms = now - noticedAfterMs;
      this.file.setTimestamp('observing-since', this.#ms);
    }
    return this.#ms;
  }
}
