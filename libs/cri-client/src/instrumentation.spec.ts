import { NotFoundError } from '@stowage/errors';
import { Registry } from 'prom-client';
import { criInstrumentation } from './instrumentation';

it('counts a call, logs its failure, and sends no trace context where nobody traces', async () => {
  const registry = new Registry();
  const lines: string[] = [];
  const observer = criInstrumentation(registry, {
    error: (_fields, message) => lines.push(message),
  });
  const span = observer.callStarted({
    service: 'runtime',
    method: 'ContainerStatus',
    operation: 'container_status',
    objectId: 'c',
    endpoint: 'unix:///run/x.sock',
  });
  span?.ended?.({ durationMs: 1, error: new NotFoundError('container', 'c') });
  expect(span?.headers).toEqual({});
  expect(lines).toEqual(['ContainerStatus from runtime service failed']);
  expect(await registry.metrics()).toContain(
    'stowage_cri_operations_errors_total{operation="container_status"} 1',
  );
});
