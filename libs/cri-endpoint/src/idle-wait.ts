/** Waits until nothing is left, or until the shortest of the limits that were given has passed. */
export class IdleWait {
  readonly #ended: Promise<void>;
  #end: () => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  #endAt = Infinity;
  #isWaiting = false;

  constructor(private readonly isIdle: () => boolean) {
    this.#ended = new Promise((resolve) => (this.#end = resolve));
  }

  /** From now on at most `ms`; more than an earlier limit leaves changes nothing. */
  limit(ms: number): void {
    const endAt = performance.now() + ms;
    if (endAt >= this.#endAt) return;
    this.#endAt = endAt;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#end, ms);
  }

  /** Something has ended. */
  look(): void {
    if (this.#isWaiting && this.isIdle()) this.#end();
  }

  async ended(): Promise<void> {
    this.#isWaiting = true;
    this.look();
    await this.#ended;
    clearTimeout(this.#timer);
  }
}
