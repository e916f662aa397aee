import { Histogram, Registry } from 'prom-client';
import { MethodHistogram } from './method-histogram';

it('says the same as a histogram of prom-client', async () => {
  const buckets = [0.001, 0.01, 0.5, 10];
  const labelNames = ['method'] as const;
  const options = { name: 'stowage_test_seconds', help: 'Of a test.', labelNames, buckets };
  const own = new Registry();
  const theirs = new Registry();
  const histogram = new MethodHistogram(own, options);
  const expected = new Histogram({ ...options, labelNames, registers: [theirs] });
  expect(await own.metrics()).toBe(await theirs.metrics());
  const values = [0, 0.001, 0.0010001, 0.25, 0.5, 3, 10, 10.5, 1e6];
  for (const [i, value] of values.entries()) {
    for (const method of ['Version', 'Status'].slice(i % 2)) {
      histogram.observe(method, value);
      expected.observe({ method }, value);
    }
  }
  expect(await own.metrics()).toBe(await theirs.metrics());
  expect(await own.getSingleMetricAsString(options.name)).toContain('le="+Inf",method="Status"} 9');
  const [{ values: json = [] } = {}] = (await own.getMetricsAsJSON()) as { values?: object[] }[];
  expect(json).toHaveLength(14);
  own.resetMetrics();
  theirs.resetMetrics();
  expect(await own.metrics()).toBe(await theirs.metrics());
});

it('is one of its name', () => {
  const registry = new Registry();
  const labelNames = ['method'] as const;
  const options = { name: 'stowage_test_seconds', help: 'Of a test.', labelNames, buckets: [1] };
  new MethodHistogram(registry, options);
  expect(() => new MethodHistogram(registry, options)).toThrow(/already been registered/);
});
