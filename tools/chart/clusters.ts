import type { NodeFacts } from './fake-cluster';
import type { Values } from './render';

/** A cluster, and the runtime that `runtime: auto` finds there, or a part of why it finds none. */
export interface ClusterCase {
  readonly name: string;
  readonly nodes: readonly NodeFacts[];
  readonly values?: Values;
  readonly endpoint?: string;
  readonly says?: string;
}

const node = (
  name: string,
  runtime: string,
  kubelet = 'v1.35.1',
  labels: Readonly<Record<string, string>> = {},
): NodeFacts => ({ name, runtime, kubelet, labels });

const containerd = 'unix:///run/containerd/containerd.sock';
const k3s = 'unix:///run/k3s/containerd/containerd.sock';

export const clusterCases: readonly ClusterCase[] = [
  { name: 'no node at all', nodes: [], endpoint: containerd },
  { name: 'containerd', nodes: [node('a', 'containerd://2.1.4')], endpoint: containerd },
  {
    name: 'k3s',
    nodes: [node('a', 'containerd://2.1.4-k3s1', 'v1.35.1+k3s1')],
    endpoint: k3s,
  },
  {
    name: 'k0s',
    nodes: [node('a', 'containerd://1.7.29', 'v1.35.1+k0s')],
    endpoint: 'unix:///run/k0s/containerd.sock',
  },
  {
    name: 'microk8s',
    nodes: [node('a', 'containerd://1.7.29', 'v1.35.1', { 'microk8s.io/cluster': 'true' })],
    endpoint: 'unix:///var/snap/microk8s/common/run/containerd.sock',
  },
  {
    name: 'CRI-O',
    nodes: [node('a', 'cri-o://1.35.0'), node('b', 'cri-o://1.34.2')],
    endpoint: 'unix:///run/crio/crio.sock',
  },
  {
    name: 'cri-dockerd',
    nodes: [node('a', 'docker://28.5.1')],
    endpoint: 'unix:///host/run/cri-dockerd.sock',
  },
  {
    name: 'nodes of two kinds',
    nodes: [node('a', 'containerd://2.1.4'), node('b', 'cri-o://1.35.0')],
    says: 'runtime: auto finds several (containerd on a, crio on b)',
  },
  {
    name: 'nodes of two kinds, of which the values choose one',
    nodes: [
      node('a', 'containerd://2.1.4'),
      node('b', 'cri-o://1.35.0', 'v1.35.1', { pool: 'crio' }),
    ],
    values: { nodeSelector: { pool: 'crio' } },
    endpoint: 'unix:///run/crio/crio.sock',
  },
  {
    name: 'a runtime that is not known',
    nodes: [node('a', 'rkt://1.30.0')],
    says: 'runtime: auto does not know rkt://1.30.0 of node a',
  },
];
