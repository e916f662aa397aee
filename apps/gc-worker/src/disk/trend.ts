/** How a file system changes. */
export interface Trend {
  /** Change of what is used per second; negative when it empties. */
  readonly perSecond: number;
  /** Length of what was looked at. */
  readonly windowMs: number;
  /** Time until nothing is available at this rate; absent when it does not fill. */
  readonly timeToFullMs?: number;
}

interface Sample {
  readonly at: number;
  readonly used: number;
}

/** Bounds of {@link SampleRing}. */
export interface TrendLimits {
  /** Samples older than this do not count. */
  readonly windowMs: number;
  /** Samples kept; nearer ones are left out, so that the window is covered. */
  readonly maxSamples: number;
  /** Below so many samples there is no trend. */
  readonly minSamples: number;
  /** Nor when they span less than this. */
  readonly minSpanMs: number;
}

/** Ten minutes in at most 121 samples; a trend from five samples over half a minute on. */
export const defaultTrendLimits: TrendLimits = {
  windowMs: 600_000,
  maxSamples: 121,
  minSamples: 5,
  minSpanMs: 30_000,
};

/**
 * The last samples of one quantity, and the straight line through them (least squares). Times must come from a clock that does not
 * jump; a time before the last one empties the ring.
 */
export class SampleRing {
  private samples: Sample[] = [];

  constructor(private readonly limits: TrendLimits = defaultTrendLimits) {}

  /** Takes in what is used at `at` (milliseconds of a monotonic clock). */
  add(at: number, used: number): void {
    const last = this.samples.at(-1);
    if (last !== undefined && at < last.at) this.samples = [];
    const { windowMs, maxSamples } = this.limits;
    const before = this.samples.at(-2);
    const newest = { at, used };
    // The newest always counts; it replaces the last one while that is too near to the one before.
    if (last !== undefined && before !== undefined && last.at - before.at < windowMs / maxSamples) {
      this.samples[this.samples.length - 1] = newest;
    } else {
      this.samples.push(newest);
    }
    while ((this.samples[0]?.at ?? at) < at - windowMs || this.samples.length > maxSamples) {
      this.samples.shift();
    }
  }

  /** The trend with so much available now; undefined while there are too few samples. */
  trend(available: number): Trend | undefined {
    const { minSamples, minSpanMs } = this.limits;
    const [first] = this.samples;
    const last = this.samples.at(-1);
    if (first === undefined || last === undefined) return undefined;
    const windowMs = last.at - first.at;
    if (this.samples.length < minSamples || windowMs < minSpanMs) return undefined;
    const perMs = slope(this.samples);
    return {
      perSecond: Math.round(perMs * 1000),
      windowMs: Math.round(windowMs),
      ...(perMs * 1000 >= 1 ? { timeToFullMs: Math.round(available / perMs) } : {}),
    };
  }
}

function slope(samples: readonly Sample[]): number {
  const count = samples.length;
  const meanAt = samples.reduce((sum, { at }) => sum + at, 0) / count;
  const meanUsed = samples.reduce((sum, { used }) => sum + used, 0) / count;
  let together = 0;
  let spread = 0;
  for (const { at, used } of samples) {
    together += (at - meanAt) * (used - meanUsed);
    spread += (at - meanAt) ** 2;
  }
  return spread === 0 ? 0 : together / spread;
}
