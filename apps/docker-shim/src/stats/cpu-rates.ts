interface Sample {
  readonly clockMs: number;
  readonly cpuNs: bigint;
}

/** A rate is taken over this time at least, milliseconds. */
const shortestMs = 1000;
/** What was not asked for so long is forgotten, milliseconds. */
const keptMs = 600_000;

/** Rates of use out of two readings of a counter, for each of several. */
export class CpuRates {
  /** The reading that rates are taken from, and the one that replaces it when it is old enough. */
  readonly #samples = new Map<string, { from: Sample | undefined; next: Sample }>();

  /**
   * Takes a reading in, and returns billionths of a core since the last one that is a second old or
   * older; undefined when there is none.
   */
  rate(key: string, { clockMs, cpuNs }: Sample): bigint | undefined {
    const sample = { clockMs, cpuNs };
    const known = this.#samples.get(key);
    if (known === undefined || cpuNs < known.next.cpuNs) {
      // Less than before: started anew.
      this.#samples.set(key, { from: undefined, next: sample });
      return undefined;
    }
    if (clockMs - known.next.clockMs >= shortestMs) {
      known.from = known.next;
      known.next = sample;
    }
    const { from } = known;
    if (from === undefined || clockMs <= from.clockMs) return undefined;
    return (
      ((cpuNs - from.cpuNs) * 1_000_000n) / BigInt(Math.round((clockMs - from.clockMs) * 1000))
    );
  }

  /** Drops what was not asked for lately. */
  forgetOld(clockMs: number): void {
    for (const [key, { next }] of this.#samples) {
      if (clockMs - next.clockMs > keptMs) this.#samples.delete(key);
    }
  }
}
