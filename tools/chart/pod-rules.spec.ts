import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseByteSize } from '@stowage/service-kit/byte-size';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { chartApps, kustomizeFolder } from './chart';
import { configurationProblems } from './configuration-rules';
import { brokenRules } from './pod-rules';
import { objectsOf } from './render';
import { Rendered } from './rendered';

const root = path.resolve(__dirname, '../..');
const base = path.join(root, kustomizeFolder, 'base');

/** The base of kustomize, which is what the chart makes. */
const rendered = (): Rendered =>
  new Rendered(
    readdirSync(base)
      .filter((file) => file !== 'kustomization.yaml')
      .flatMap((file) => objectsOf(readFileSync(path.join(base, file), 'utf8'))),
  );

it('the pods of the base keep all rules, and the services take their configuration', async () => {
  expect(brokenRules(rendered())).toEqual([]);
  expect(await configurationProblems(rendered())).toEqual([]);
});

const changes: [string, (pod: IPodSpec, container: IContainer) => void][] = [
  ['no namespace of the host', (pod) => (pod.hostPID = true)],
  ['no token of the API server', (pod) => (pod.automountServiceAccountToken = true)],
  ['the seccomp profile of the runtime', (pod) => (pod.securityContext = {})],
  [
    'folders of the node are mounted, not sockets',
    (pod) => (pod.volumes!.find(({ name }) => name === 'runtime')!.hostPath!.path += '/x.sock'),
  ],
  [
    'no folder of the node is mounted whole',
    (pod) => (pod.volumes!.find(({ name }) => name === 'runtime')!.hostPath!.path = '/'),
  ],
  [
    'every volume is mounted, and every mount has a volume',
    (_pod, container) => container.volumeMounts!.pop(),
  ],
  [
    'no capability',
    (_pod, container) => (container.securityContext!.capabilities!.add = ['SYS_ADMIN']),
  ],
  ['no way to more rights', (_pod, container) => (container.securityContext!.privileged = true)],
  [
    'a root file system that is only read',
    (_pod, container) => delete container.securityContext!.readOnlyRootFilesystem,
  ],
  [
    'a request of CPU and of memory, and a limit of memory above it',
    (_pod, container) => (container.resources!.limits!.memory = '1Mi'),
  ],
  [
    'probes of start, life and readiness at a port that it has',
    (_pod, container) => (container.livenessProbe!.httpGet!.port = 'metrics'),
  ],
  [
    'no two mounts at one place, and none below one that is only read',
    (_pod, container) => (container.volumeMounts![1]!.mountPath = '/etc/stowage/more'),
  ],
];

it.each(changes)('a pod breaks the rule: %s', (rule, change) => {
  const changed = rendered();
  change(changed.pod('gc-worker'), changed.container('gc-worker'));
  expect(brokenRules(changed)).toEqual([`gc-worker: ${rule}`]);
});

it('a variable that a service does not take is a problem', async () => {
  const changed = rendered();
  changed.container('gc-worker').env!.push({ name: 'STOWAGE_LOG_LEVEL', value: 'loud' });
  const [problem, ...others] = await configurationProblems(changed);
  expect(problem).toContain('STOWAGE_LOG_LEVEL');
  expect(others).toEqual([]);
});

it.each(chartApps)('%s requests what was measured on the Node.js of the images', (app) => {
  const page = readFileSync(path.join(root, 'docs/benchmarks.md'), 'utf8');
  const cells = (line: string) => line.split('|').map((cell) => cell.trim());
  const table = page.slice(page.indexOf('\n## Memory\n')).split('\n');
  const heads = cells(table.find((line) => line.includes('| runtime-gateway |')) ?? '');
  const figures = cells(table.find((line) => line.startsWith('| 24.')) ?? '');
  const measured = Number(figures[heads.indexOf(app)]) * 2 ** 20;
  expect(measured).toBeGreaterThan(0);
  const request = rendered().container(app).resources?.requests?.memory;
  expect(parseByteSize(String(request))).toBeGreaterThan(measured);
});
