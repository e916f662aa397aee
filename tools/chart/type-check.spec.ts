import type { KubernetesObject } from './chart';
import { typeErrors } from './type-check';

const daemonSet = (container: object, spec: object = {}) =>
  ({
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'a' },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: { spec: { containers: [{ name: 'a', ...container }], ...spec } },
    },
  }) as unknown as KubernetesObject;

const podMonitor = (endpoint: object) =>
  ({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PodMonitor',
    metadata: { name: 'm' },
    spec: { selector: {}, podMetricsEndpoints: [endpoint] },
  }) as unknown as KubernetesObject;

it('names each field that the API does not have, and each that it has otherwise', async () => {
  const objects = {
    right: daemonSet({ image: 'x', ports: [{ name: 'http', containerPort: 80 }] }),
    misspelt: daemonSet({ securityContex: {} }),
    deep: daemonSet({ livenessProbe: { httpGet: { port: 'http', paht: '/' } } }),
    ofPod: daemonSet({}, { hostNetwrk: true }),
    wrong: daemonSet({ ports: [{ containerPort: 'eighty' }] }),
    monitor: podMonitor({ port: 'http', relabelling: [] }),
    unknown: { apiVersion: 'v1', kind: 'Podd', metadata: { name: 'x' } },
  };
  const errors = await typeErrors(
    Object.entries(objects).map(([from, object]) => ({ from, object })),
  );
  const about = (from: string) => errors.filter((line) => line.startsWith(`${from}, `)).join('\n');
  expect(about('right')).toBe('');
  expect(about('misspelt')).toContain('"securityContex"');
  expect(about('deep')).toContain('"paht"');
  expect(about('ofPod')).toContain('"hostNetwrk"');
  expect(about('wrong')).toContain("'string' is not assignable to type 'number'");
  expect(about('monitor')).toContain('"relabelling"');
  expect(about('unknown')).toBe('unknown, podd-x: nobody knows v1 Podd');
});
