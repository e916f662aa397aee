import type { Histogram, Registry } from 'prom-client';

/** Name, help and bounds of a {@link MethodHistogram}. */
export interface MethodHistogramOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly ['method'];
  /** Upper bounds, in rising order. */
  readonly buckets: readonly number[];
}

interface Series {
  /** Values up to each bound that are above the one before. */
  readonly counts: number[];
  count: number;
  sum: number;
}

interface Sample {
  readonly labels: Record<string, string | number>;
  readonly value: number;
  readonly metricName: string;
}

/**
 * A histogram with the one label `method`, for what is observed with every call of a socket.
 * prom-client's own looks up its labels, and makes text of a bound, with each value, which costs as
 * much as reading the call's frames. It is collected as that one is.
 */
export class MethodHistogram {
  readonly #series = new Map<string, Series>();

  constructor(
    registry: Registry,
    private readonly options: MethodHistogramOptions,
  ) {
    const { name, help, labelNames } = options;
    const metric = {
      name,
      help,
      labelNames,
      type: 'histogram',
      aggregator: 'sum',
      get: () => Promise.resolve({ name, help, type: 'histogram', values: this.#values() }),
      reset: () => this.#series.clear(),
    };
    // All that a registry uses of a metric.
    registry.registerMetric(metric as unknown as Histogram);
  }

  /** @param method its values must come from a closed set */
  observe(method: string, value: number): void {
    const { buckets } = this.options;
    let series = this.#series.get(method);
    if (series === undefined) {
      series = { counts: buckets.map(() => 0), count: 0, sum: 0 };
      this.#series.set(method, series);
    }
    series.count++;
    series.sum += value;
    for (let i = 0; i < buckets.length; i++) {
      if (value > (buckets[i] ?? Infinity)) continue;
      series.counts[i] = (series.counts[i] ?? 0) + 1;
      return;
    }
  }

  #values(): Sample[] {
    const { name, buckets } = this.options;
    return [...this.#series].flatMap(([method, { counts, count, sum }]): Sample[] => {
      let below = 0;
      return [
        ...buckets.map((le, i) => {
          below += counts[i] ?? 0;
          return { labels: { le, method }, value: below, metricName: `${name}_bucket` };
        }),
        { labels: { le: '+Inf', method }, value: count, metricName: `${name}_bucket` },
        { labels: { method }, value: sum, metricName: `${name}_sum` },
        { labels: { method }, value: count, metricName: `${name}_count` },
      ];
    });
  }
}
