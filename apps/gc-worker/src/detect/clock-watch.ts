/** Smaller differences are drift and the ordinary work of a time service. */
const leastJumpMs = 60_000;

/**
 * Notices that the wall clock was set, by holding it against a clock that never jumps. The sleep of
 * a machine looks like a jump forwards, too: nothing ages in it.
 */
export class ClockWatch {
  #last: { wall: number; steady: number } | undefined;

  constructor(
    private readonly wall: () => number,
    private readonly steady: () => number = () => performance.now(),
    /** What an earlier process saw last: a machine may start with a clock that is behind. */
    private readonly lastWall = -Infinity,
  ) {}

  /**
   * How far the wall clock was set since the last call: positive forwards, negative back, 0 when it
   * was not.
   */
  jumpMs(): number {
    const now = { wall: this.wall(), steady: this.steady() };
    const before = this.#last ?? { ...now, wall: Math.max(now.wall, this.lastWall) };
    this.#last = now;
    const jump = now.wall - before.wall - (now.steady - before.steady);
    return Math.abs(jump) < leastJumpMs ? 0 : Math.round(jump);
  }
}
