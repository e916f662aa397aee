import type { IDaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { criPod } from './cri-pod';

function daemonSet(
  change: (pod: IPodSpec, container: IContainer) => void = () => undefined,
): IDaemonSet {
  const probe = { httpGet: { path: '/healthz', port: 'http' }, timeoutSeconds: 5 };
  const container: IContainer = {
    name: 'gc-worker',
    image: 'ghcr.io/stowage/gc-worker:1',
    imagePullPolicy: 'IfNotPresent',
    env: [
      { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
      { name: 'SEED', value: '/run/$(NODE).nk, $(ELSE)' },
    ],
    ports: [{ name: 'http', containerPort: 9472 }],
    startupProbe: probe,
    livenessProbe: probe,
    readinessProbe: { httpGet: { path: '/readyz', port: 'http' } },
    resources: { requests: { cpu: '20m', memory: '128Mi' }, limits: { memory: '256Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
    },
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [{ name: 'runtime', mountPath: '/run/x', mountPropagation: 'HostToContainer' }],
  };
  const pod: IPodSpec = {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    priorityClassName: 'system-node-critical',
    terminationGracePeriodSeconds: 30,
    securityContext: { runAsUser: 0, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [container],
  };
  change(pod, container);
  const labels = { 'app.kubernetes.io/component': 'gc-worker' };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'stowage-gc-worker', namespace: 'stowage', labels },
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod } },
  };
}

const node = {
  nodeName: 'node-1',
  volumePath: (name: string) => (name === 'runtime' ? '/host/x' : undefined),
  logDirectory: '/logs',
};

it('translates what kubelet translates', () => {
  const { container, probes } = criPod(daemonSet(), node);
  const env = container.envs?.map(({ key, value }) => [key, Buffer.from(value).toString()]);
  expect(env).toEqual([
    ['NODE', 'node-1'],
    ['SEED', '/run/node-1.nk, $(ELSE)'],
  ]);
  expect(container.mounts).toMatchObject([
    { containerPath: '/run/x', hostPath: '/host/x', readonly: false, propagation: 1 },
  ]);
  expect(container.linux).toMatchObject({
    resources: { cpuShares: 20n, memoryLimitInBytes: 268435456n, oomScoreAdj: -997n },
    securityContext: {
      capabilities: { addCapabilities: [], dropCapabilities: ['ALL'] },
      noNewPrivs: true,
      readonlyRootfs: true,
      runAsUser: { value: 0n },
      seccomp: { profileType: 0 },
    },
  });
  expect(probes.readiness).toEqual({ port: 9472, path: '/readyz', timeoutSeconds: 1 });
});

it.each<[string, (pod: IPodSpec, container: IContainer) => void]>([
  ['fields that are not translated: hostNetwork', (pod) => (pod.hostNetwork = true)],
  ['fields that are not translated: initContainers', (pod) => (pod.initContainers = [])],
  ['automountServiceAccountToken is true', (pod) => (pod.automountServiceAccountToken = true)],
  [
    'fields that are not translated: fsGroup',
    (pod) => (pod.securityContext = { ...pod.securityContext, fsGroup: 1 }),
  ],
  ['type is "Unconfined"', (pod) => (pod.securityContext!.seccompProfile!.type = 'Unconfined')],
  ['fields that are not translated: command', (_, container) => (container.command = ['sh'])],
  [
    'fields that are not translated: add',
    (_, container) => (container.securityContext!.capabilities!.add = ['KILL']),
  ],
  [
    'fields that are not translated: subPath',
    (_, container) => (container.volumeMounts![0]!.subPath = 'x'),
  ],
  [
    'fields that are not translated: hostPort',
    (_, container) => (container.ports![0]!.hostPort = 1),
  ],
  ['volume other was not prepared', (_, container) => (container.volumeMounts![0]!.name = 'other')],
  [
    'fields that are not translated: ephemeral-storage',
    (_, container) => (container.resources!.limits!['ephemeral-storage'] = '1Gi'),
  ],
])('refuses what it does not translate: %s', (message, change) => {
  expect(() => criPod(daemonSet(change), node)).toThrow(message);
});
