import { Registry } from 'prom-client';
import { criMetrics } from './metrics';
import { combineObservers } from './observers';
import type { CriCall } from './types';

const call: CriCall = {
  service: 'runtime',
  method: 'ListContainers',
  operation: 'list_containers',
  endpoint: 'unix:///run/x.sock',
};

it('counts calls, failures and seconds for each operation', async () => {
  const registry = new Registry();
  const metrics = criMetrics(registry);
  metrics.callStarted(call)?.ended?.({ durationMs: 20 });
  metrics.callStarted(call)?.ended?.({ durationMs: 10_000, error: new Error('x') });
  metrics.callStarted({ ...call, operation: 'status' })?.ended?.({ durationMs: 1 });
  const text = await registry.metrics();
  const lines = text.split('\n').filter((line) => line.includes('operation="list_containers"'));
  expect(lines.filter((line) => !line.includes('_bucket'))).toEqual([
    'stowage_cri_operations_total{operation="list_containers"} 2',
    'stowage_cri_operations_errors_total{operation="list_containers"} 1',
    'stowage_cri_operations_duration_seconds_sum{operation="list_containers"} 10.02',
    'stowage_cri_operations_duration_seconds_count{operation="list_containers"} 2',
  ]);
});

it("has kubelet's buckets, from 5 ms to about 745 s", async () => {
  const registry = new Registry();
  criMetrics(registry).callStarted(call)?.ended?.({ durationMs: 1 });
  const text = await registry.metrics();
  const bounds = [...text.matchAll(/_bucket\{le="([^"]+)"/g)].map(([, bound]) => Number(bound));
  expect(bounds).toHaveLength(15);
  expect(bounds[0]).toBe(0.005);
  expect(bounds[1]).toBeCloseTo(0.0125);
  expect(bounds[13]).toBeCloseTo(745.06, 2);
});

it('observers combined hear of the same calls, and add up their headers; one that throws is alone with it', () => {
  const ended: string[] = [];
  const combined = combineObservers(
    { callStarted: () => ({ headers: { a: '1', b: '1' }, ended: () => ended.push('first') }) },
    {
      callStarted: () => {
        throw new Error('boom');
      },
    },
    { callStarted: () => undefined },
    { callStarted: () => ({ headers: { b: '2' }, ended: () => ended.push('last') }) },
  );
  const span = combined.callStarted(call);
  span?.ended?.({ durationMs: 1 });
  expect(span?.headers).toEqual({ a: '1', b: '2' });
  expect(ended).toEqual(['first', 'last']);
});
