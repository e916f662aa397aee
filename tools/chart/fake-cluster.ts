import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** As much of a Node as says what its runtime is. */
export interface NodeFacts {
  readonly name: string;
  /** `containerd://2.1.4` */
  readonly runtime: string;
  /** `v1.35.1+k3s1` */
  readonly kubelet: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Kinds by group and version, with their plural names. */
export const kinds: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  v1: {
    nodes: 'Node',
    namespaces: 'Namespace',
    configmaps: 'ConfigMap',
    secrets: 'Secret',
    serviceaccounts: 'ServiceAccount',
    pods: 'Pod',
  },
  'apps/v1': { daemonsets: 'DaemonSet' },
  'networking.k8s.io/v1': { networkpolicies: 'NetworkPolicy' },
};
const clusterWide = new Set(['Node', 'Namespace']);

/** An API server that has nodes and nothing else, for what Helm asks before it installs. */
export async function withCluster<T>(
  nodes: readonly NodeFacts[],
  action: (kubeconfig: string) => Promise<T>,
): Promise<T> {
  const server = createServer((request, response) => {
    const body = answer((request.url ?? '').split('?')[0] ?? '', nodes);
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body ?? notFound));
  });
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-cluster-'));
  try {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const kubeconfig = path.join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, kubeconfigFor(`http://127.0.0.1:${port}`));
    return await action(kubeconfig);
  } finally {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  }
}

export const notFound = {
  apiVersion: 'v1',
  kind: 'Status',
  status: 'Failure',
  reason: 'NotFound',
  code: 404,
};

export const kubeconfigFor = (server: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'test', cluster: { server } }],
    users: [{ name: 'test', user: {} }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
  });

function answer(url: string, nodes: readonly NodeFacts[]): unknown {
  if (url === '/api/v1/nodes') {
    return { kind: 'NodeList', apiVersion: 'v1', metadata: {}, items: nodes.map(nodeObject) };
  }
  return discovery(url);
}

/** What there is on the server, by the paths at which Helm and kubectl ask for it. */
export function discovery(url: string): unknown {
  if (url === '/version') return { major: '1', minor: '35', gitVersion: 'v1.35.0' };
  if (url === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  if (url === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups() };
  const groupVersion = /^\/apis?\/(.+)$/.exec(url)?.[1] ?? '';
  const resources = kinds[groupVersion];
  if (resources === undefined) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion,
    resources: Object.entries(resources).map(([name, kind]) => ({
      name,
      kind,
      singularName: kind.toLowerCase(),
      namespaced: !clusterWide.has(kind),
      verbs: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'],
    })),
  };
}

const groups = () =>
  Object.keys(kinds)
    .filter((groupVersion) => groupVersion.includes('/'))
    .map((groupVersion) => {
      const [name, version] = groupVersion.split('/');
      const preferredVersion = { groupVersion, version };
      return { name, versions: [preferredVersion], preferredVersion };
    });

export const nodeObject = ({ name, runtime, kubelet, labels = {} }: NodeFacts) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { 'kubernetes.io/os': 'linux', ...labels } },
  status: { nodeInfo: { containerRuntimeVersion: runtime, kubeletVersion: kubelet } },
});
