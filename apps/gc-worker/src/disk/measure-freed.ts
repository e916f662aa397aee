import type { FileSystemReading } from './assess-disk';

/** How long the meter waits for runtimes that free space after they answered. Milliseconds. */
export interface FreedMeterLimits {
  /** After one removal, when much less than its size came free. */
  readonly perRemovalWaitMs: number;
  /** Before more images than planned are removed, and before a collection is called a failure. */
  readonly finalWaitMs: number;
  /** The final wait ends early when nothing came free for this long. */
  readonly quietMs: number;
  readonly pollMs: number;
}

export const defaultMeterLimits: FreedMeterLimits = {
  perRemovalWaitMs: 300,
  finalWaitMs: 5000,
  quietMs: 1000,
  pollMs: 25,
};

/** What the meter needs from outside. */
export interface FreedMeterPorts {
  readDisks(): Promise<readonly FileSystemReading[]>;
  /** Milliseconds of a clock that never jumps. */
  elapsedMs(): number;
  sleep(ms: number): Promise<void>;
}

/** Below this size a file system's own noise hides what a removal freed. */
const worthWaitingForBytes = 64 * 1024;

/**
 * Measures what removals free: growth of the available bytes of the file systems since the start. A runtime may free
 * later than it answers, so the meter waits a bounded time, and stops waiting after each removal once waiting has
 * brought nothing twice in a row (the runtime frees at once, and layers are shared).
 */
export class FreedMeter {
  private latest: readonly FileSystemReading[];
  /** Every removal so far brought most of what it could at once. */
  private freesAtOnce = true;
  private fruitlessWaits = 0;

  constructor(
    private readonly start: readonly FileSystemReading[],
    private readonly ports: FreedMeterPorts,
    private readonly limits: FreedMeterLimits,
  ) {
    this.latest = start;
  }

  /** The last readings; those of the start while nothing was measured. */
  readings(): readonly FileSystemReading[] {
    return this.latest;
  }

  /** Bytes that came free since the start (negative when others wrote more), or null when it cannot be measured. */
  freedBytes(): number | null {
    return growth(this.start, this.latest);
  }

  /** Measures after one removal of `expectedBytes`. The bytes it brought, or null when it cannot be measured. */
  async afterRemoval(expectedBytes: number): Promise<number | null> {
    const before = this.latest;
    await this.read();
    let freed = growth(before, this.latest);
    if (freed == null || freed < expectedBytes / 2) this.freesAtOnce = false;
    if (freed == null || expectedBytes < worthWaitingForBytes || this.fruitlessWaits >= 2) {
      return freed;
    }
    const until = this.ports.elapsedMs() + this.limits.perRemovalWaitMs;
    let waited = false;
    while (freed != null && freed < expectedBytes / 2 && this.ports.elapsedMs() < until) {
      await this.ports.sleep(this.limits.pollMs);
      waited = true;
      await this.read();
      freed = growth(before, this.latest);
    }
    if (waited) {
      const cameLate = freed != null && freed >= expectedBytes / 2;
      this.fruitlessWaits = cameLate ? 0 : this.fruitlessWaits + 1;
    }
    return freed;
  }

  /**
   * As {@link waitFor}, before more images are removed than planned: a short while is enough where all that was removed came free at
   * once, because then it is the sizes that promised too much.
   */
  async waitForLateBytes(reached: () => boolean): Promise<void> {
    const { quietMs, pollMs } = this.limits;
    await this.waitFor(reached, this.freesAtOnce ? Math.min(quietMs, 4 * pollMs) : quietMs);
  }

  /** Waits until `reached` says so, nothing has come free for a while, or the limit is over. Ends with a fresh reading. */
  async waitFor(reached: () => boolean, quietMs = this.limits.quietMs): Promise<void> {
    await this.read();
    const until = this.ports.elapsedMs() + this.limits.finalWaitMs;
    let best = this.freedBytes();
    let quietUntil = this.ports.elapsedMs() + quietMs;
    while (!reached() && best != null) {
      const now = this.ports.elapsedMs();
      if (now >= until || now >= quietUntil) return;
      await this.ports.sleep(this.limits.pollMs);
      await this.read();
      const freed = this.freedBytes();
      if (freed == null) return;
      if (freed > best) {
        best = freed;
        quietUntil = this.ports.elapsedMs() + quietMs;
      }
    }
  }

  /** A reading that fails is left out: then it cannot be measured, and says so with null. */
  private async read(): Promise<void> {
    try {
      this.latest = await this.ports.readDisks();
    } catch {
      this.latest = [];
    }
  }
}

/** Sum over the file systems that both readings have; null when there is none. */
function growth(
  before: readonly FileSystemReading[],
  after: readonly FileSystemReading[],
): number | null {
  let sum: number | null = null;
  for (const { mountpoint, availableBytes } of after) {
    const earlier = before.find((reading) => reading.mountpoint === mountpoint)?.availableBytes;
    if (availableBytes == null || earlier == null) continue;
    sum = (sum ?? 0) + availableBytes - earlier;
  }
  return sum;
}
