import { ResourceExhaustedError, StowageError } from '@stowage/errors';

/** How many pulls the runtime is given, and how fast. */
export interface PullLimits {
  /** Pulls at the same time; 1 is serial, Infinity no limit. */
  readonly maxParallel: number;
  /** Pulls started a second on average; 0 is no limit. */
  readonly qps: number;
  /** Pulls that may start at once before `qps` counts. */
  readonly burst: number;
  /**
   * How long a pull that could start but for `qps` waits before it fails, milliseconds; 0 fails at
   * once, as kubelet does.
   */
  readonly qpsMaxWaitMs: number;
  /** Pulls that may wait; then more are refused. */
  readonly maxWaiting: number;
}

/** No limits but the length of the queue. */
export const noPullLimits: PullLimits = {
  maxParallel: Infinity,
  qps: 0,
  burst: 0,
  qpsMaxWaitMs: 0,
  maxWaiting: 1000,
};

/** The rate of pulls is exhausted. The message is kubelet's. */
export class PullRateExceededError extends StowageError {
  constructor() {
    super('pull QPS exceeded', {
      code: 'PULL_RATE_EXCEEDED',
      grpcStatus: 'RESOURCE_EXHAUSTED',
      retryable: true,
    });
  }
}

interface Waiting {
  readonly priority: number;
  readonly start: () => void;
  readonly refuse: (error: Error) => void;
  /** Runs while the pull could start but for the rate. */
  rateTimer?: NodeJS.Timeout;
}

/**
 * Lets pulls start by priority, then in the order they came, with at most so many at a time and so
 * many a second. Between two pulls of one priority none overtakes.
 */
export class PullQueue {
  readonly #limits: PullLimits;
  readonly #bucket: TokenBucket | undefined;
  /** By priority, highest first; within one priority in the order of arrival. */
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #nextToken: NodeJS.Timeout | undefined;

  constructor(
    limits: Partial<PullLimits> = {},
    private readonly now: () => number = Date.now,
  ) {
    this.#limits = { ...noPullLimits, ...limits };
    const { maxParallel, qps, burst } = this.#limits;
    if (maxParallel !== Infinity && !(Number.isSafeInteger(maxParallel) && maxParallel >= 1)) {
      throw new RangeError(
        `maxParallel ${maxParallel}: allowed: a whole number from 1, or Infinity`,
      );
    }
    if (!(qps >= 0)) throw new RangeError(`qps ${qps}: allowed: a number from 0`);
    this.#bucket = qps === 0 ? undefined : new TokenBucket(qps, burst, now());
  }

  /** Pulls that wait for their turn. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Pulls that have begun and not ended. */
  get running(): number {
    return this.#running;
  }

  /**
   * Runs the task when it is its turn. Throws PullRateExceededError, ResourceExhaustedError when
   * too many wait, the signal's reason when it aborts while the task waits, and what the task
   * throws.
   */
  async run<T>(
    task: (turn: { waitedMs: number }) => Promise<T>,
    { signal, priority = 0 }: { signal: AbortSignal; priority?: number },
  ): Promise<T> {
    const queuedAt = this.now();
    await this.#turn(priority, signal);
    try {
      return await task({ waitedMs: Math.max(0, this.now() - queuedAt) });
    } finally {
      this.#running--;
      this.#dispatch();
    }
  }

  #turn(priority: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.length >= this.#limits.maxWaiting) {
      throw new ResourceExhaustedError('queue of pulls', this.#limits.maxWaiting);
    }
    return new Promise<void>((resolve, reject) => {
      const leave = () => {
        signal.removeEventListener('abort', giveUp);
        clearTimeout(waiting.rateTimer);
        const at = this.#waiting.indexOf(waiting);
        if (at >= 0) this.#waiting.splice(at, 1);
      };
      const waiting: Waiting = {
        priority,
        start: () => {
          leave();
          resolve();
        },
        refuse: (error) => {
          leave();
          reject(error);
          this.#dispatch();
        },
      };
      const giveUp = () => waiting.refuse(signal.reason as Error);
      signal.addEventListener('abort', giveUp, { once: true });
      const behind = this.#waiting.findIndex((other) => other.priority < priority);
      this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, waiting);
      this.#dispatch();
    });
  }

  #dispatch(): void {
    clearTimeout(this.#nextToken);
    for (;;) {
      const free = this.#limits.maxParallel - this.#running;
      const [next] = this.#waiting;
      if (next === undefined || free < 1) return;
      if (this.#bucket?.take(this.now()) === false) {
        this.#awaitToken(this.#bucket, this.#waiting.slice(0, free));
        return;
      }
      this.#running++;
      next.start();
    }
  }

  /** The rate is all that holds these back. */
  #awaitToken(bucket: TokenBucket, held: readonly Waiting[]): void {
    const { qpsMaxWaitMs } = this.#limits;
    for (const waiting of held) {
      const refuse = () => waiting.refuse(new PullRateExceededError());
      if (qpsMaxWaitMs <= 0) refuse();
      else waiting.rateTimer ??= setTimeout(refuse, qpsMaxWaitMs);
    }
    const waitMs = bucket.untilNextMs(this.now());
    if (this.#waiting.length === 0 || waitMs === Infinity) return;
    clearTimeout(this.#nextToken);
    this.#nextToken = setTimeout(() => this.#dispatch(), Math.ceil(waitMs));
  }
}

/** Fills by `qps` a second up to `burst`. */
class TokenBucket {
  #tokens: number;

  constructor(
    private readonly qps: number,
    private readonly burst: number,
    private filledAt: number,
  ) {
    this.#tokens = burst;
  }

  take(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  untilNextMs(now: number): number {
    this.#fill(now);
    if (this.burst < 1) return Infinity;
    return Math.max(1, ((1 - this.#tokens) / this.qps) * 1000);
  }

  #fill(now: number): void {
    const passedMs = Math.max(0, now - this.filledAt);
    this.filledAt = now;
    this.#tokens = Math.min(this.burst, this.#tokens + (passedMs / 1000) * this.qps);
  }
}
