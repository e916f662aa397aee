/** How long a failed pull is left alone. */
export interface BackOffPolicy {
  /** Delay after the first failure, milliseconds. */
  readonly initialMs: number;
  readonly maxMs: number;
}

/** Kubelet's: 10 s, doubled with each failure, at most 300 s. */
export const kubeletBackOff: BackOffPolicy = { initialMs: 10_000, maxMs: 300_000 };

/** Most keys that are remembered; then the one that failed longest ago goes. */
const maxKeys = 10_000;

interface Entry {
  readonly delayMs: number;
  readonly failedAt: number;
  /** How the last failure is described while the key is in back-off. */
  readonly message: string;
}

/**
 * Kubelet's back-off table: each failure doubles the delay of its key, unless the one before is
 * more than twice the maximum ago. A success changes nothing. Times are milliseconds of any clock.
 */
export class BackOff {
  /** In the order of the last failure. */
  readonly #entries = new Map<string, Entry>();

  constructor(private readonly policy: BackOffPolicy = kubeletBackOff) {
    const { initialMs, maxMs } = policy;
    if (!(initialMs > 0) || !(maxMs >= initialMs)) {
      throw new RangeError(
        `back-off initialMs ${initialMs}, maxMs ${maxMs}: allowed: 0 < initialMs <= maxMs`,
      );
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * What delays the key now; undefined when it may go on. The exact end of the delay is allowed.
   */
  inBackOff(key: string, now: number): { until: number; message: string } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#hasExpired(entry, now)) return undefined;
    const until = entry.failedAt + entry.delayMs;
    return now < until ? { until, message: entry.message } : undefined;
  }

  /** Notes a failure; returns the delay that follows, milliseconds. */
  failed(key: string, now: number, message = ''): number {
    const last = this.#entries.get(key);
    const delayMs =
      last === undefined || this.#hasExpired(last, now)
        ? this.policy.initialMs
        : Math.min(last.delayMs * 2, this.policy.maxMs);
    this.#entries.delete(key);
    this.#entries.set(key, { delayMs, failedAt: now, message });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > maxKeys && oldest !== undefined) this.#entries.delete(oldest);
    return delayMs;
  }

  /** Drops what no longer counts. */
  forgetExpired(now: number): void {
    for (const [key, entry] of this.#entries) {
      if (this.#hasExpired(entry, now)) this.#entries.delete(key);
    }
  }

  #hasExpired({ failedAt }: Entry, now: number): boolean {
    return now - failedAt > 2 * this.policy.maxMs;
  }
}
