import { containerLabels, readLabels, sandboxLabels } from './labels';

const metadata = { name: 'web_0', namespace: 'shop', uid: '8f2a', attempt: 3 };
const sandbox = {
  metadata,
  labels: { app: 'web', 'io.kubernetes.pod.name': 'web_0' },
  annotations: { 'example/a': 'x', 'io.kubernetes.docker.type': 'y' },
  runtimeHandler: 'runc',
};
const container = {
  metadata: { name: 'main', attempt: 2 },
  labels: { 'io.kubernetes.container.name': 'main' },
  annotations: { note: '' },
  sandboxId: 'a1',
  image: 'reg.example/app:1',
  logPath: '/var/log/pods/x/0.log',
  logMode: 'copy' as const,
};

it('a sandbox is read back as it was labelled', () => {
  const labels = sandboxLabels(sandbox);
  expect(labels).toMatchObject({
    'io.kubernetes.docker.type': 'podsandbox',
    'io.kubernetes.container.name': 'POD',
    'annotation.example/a': 'x',
    app: 'web',
  });
  expect(readLabels(labels, '/any')).toEqual({ type: 'sandbox', ...sandbox });
});

it('a container is read back as it was labelled', () => {
  const labels = containerLabels(container, metadata);
  expect(labels).toMatchObject({
    'io.kubernetes.docker.type': 'container',
    'io.kubernetes.sandbox.id': 'a1',
    'io.kubernetes.container.logpath': '/var/log/pods/x/0.log',
  });
  expect(readLabels(labels, '/any')).toEqual({ type: 'container', pod: metadata, ...container });
});

it.each([
  'io.kubernetes.docker.type',
  'io.kubernetes.sandbox.id',
  'io.kubernetes.container.logpath',
  'io.stowage.docker-shim.meta',
  'annotation.x',
])('label %s is refused', (key) => {
  for (const label of [
    () => sandboxLabels({ ...sandbox, labels: { [key]: 'v' } }),
    () => containerLabels({ ...container, labels: { [key]: 'v' } }, metadata),
  ]) {
    expect(label).toThrow(
      `label ${key}: "v" is not allowed; allowed: labels that the shim does not keep for itself`,
    );
  }
});

it("a sandbox's own name of its container is refused as a label", () => {
  const labels = { 'io.kubernetes.container.name': 'main' };
  expect(() => sandboxLabels({ ...sandbox, labels })).toThrow('io.kubernetes.container.name');
});

describe('readLabels', () => {
  const peer = { 'io.kubernetes.docker.type': 'podsandbox', 'io.kubernetes.container.name': 'POD' };

  it("reads cri-dockerd's by their names", () => {
    expect(readLabels({ ...peer, app: 'web' }, '/k8s_POD_web-0_shop_8f2a_3')).toEqual({
      type: 'sandbox',
      metadata: { name: 'web-0', namespace: 'shop', uid: '8f2a', attempt: 3 },
      labels: { app: 'web' },
      annotations: {},
      runtimeHandler: '',
    });
    const labels = {
      'io.kubernetes.docker.type': 'container',
      'io.kubernetes.sandbox.id': 'a1',
      'io.kubernetes.container.name': 'main',
    };
    expect(readLabels(labels, '/k8s_main_web-0_shop_8f2a_2')).toMatchObject({
      type: 'container',
      metadata: { name: 'main', attempt: 2 },
      pod: { name: 'web-0', namespace: 'shop', uid: '8f2a' },
      labels: { 'io.kubernetes.container.name': 'main' },
      sandboxId: 'a1',
      logMode: 'link',
    });
  });

  it.each([
    ['no type', {}, '/k8s_POD_web-0_shop_8f2a_3'],
    ['another type', { 'io.kubernetes.docker.type': 'vm' }, '/k8s_POD_web-0_shop_8f2a_3'],
    ['a foreign name', peer, '/mine'],
  ])('sees no pod in %s', (_what, labels, name) => {
    expect(readLabels(labels, name)).toBeUndefined();
  });

  it('takes the name where its own label is damaged', () => {
    const labels = { ...peer, 'io.stowage.docker-shim.meta': '{"version":2' };
    expect(readLabels(labels, '/k8s_POD_web-0_shop_8f2a_3')).toMatchObject({
      metadata: { name: 'web-0', attempt: 3 },
    });
  });
});
