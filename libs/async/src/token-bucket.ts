/**
 * Lets through so many at once, and so many a second on average. Independent of the wall clock.
 */
export class TokenBucket {
  #tokens: number;
  #at = performance.now();

  /** `burst`: how many at once, after a pause. Default: as many as in a second. */
  constructor(
    private readonly perSecond: number,
    private readonly burst: number = perSecond,
  ) {
    this.#tokens = burst;
  }

  /**
   * Takes one, in advance where none is left: the next one waits for longer then. Returns how long
   * to wait until it counts, milliseconds; 0: it counts now.
   */
  take(): number {
    const now = performance.now();
    const refill = ((now - this.#at) / 1000) * this.perSecond;
    this.#tokens = Math.min(this.burst, this.#tokens + refill) - 1;
    this.#at = now;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / this.perSecond);
  }
}
