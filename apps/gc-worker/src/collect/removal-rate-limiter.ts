import { pause } from '@stowage/async';

/** Spreads removals evenly, so that no more than so many begin in a minute. Independent of the wall clock. */
export class RemovalPace {
  private nextAt = -Infinity;

  /** `perMinute` is read at each wait; 0 = no limit. */
  constructor(
    private readonly perMinute: () => number,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Waits for the next place; ends early when the signal is aborted. */
  async wait({ signal }: { signal: AbortSignal }): Promise<void> {
    const perMinute = this.perMinute();
    if (perMinute === 0 || signal.aborted) return;
    const now = this.clock();
    const at = Math.max(now, this.nextAt);
    this.nextAt = at + 60_000 / perMinute;
    if (at <= now) return;
    await pause(at - now, { signal });
  }
}
