import {
  ContainerState,
  ListContainersResponse,
  ListPodSandboxResponse,
  PodSandboxState,
} from '@stowage/cri-proto';
import type { Container, DeepPartial, PodSandbox } from '@stowage/cri-proto';
import { listPods } from './list-pods';

const { CONTAINER_CREATED, CONTAINER_EXITED, CONTAINER_RUNNING, CONTAINER_UNKNOWN } =
  ContainerState;
const { SANDBOX_NOTREADY } = PodSandboxState;

const createdAt = (second: number) => BigInt(second) * 1_000_000_000n;
const sandbox = (id: string, name: string, more: DeepPartial<PodSandbox> = {}) => ({
  id,
  metadata: { name, namespace: 'shop', uid: `uid-${name}` },
  createdAt: createdAt(10),
  ...more,
});
const container = (id: string, podSandboxId: string, more: DeepPartial<Container> = {}) => ({
  id,
  podSandboxId,
  metadata: { name: `name-${id}` },
  image: { image: 'team/app:1' },
  imageRef: 'sha256:abc',
  state: CONTAINER_RUNNING,
  createdAt: createdAt(20),
  ...more,
});

async function summary(
  sandboxes: DeepPartial<PodSandbox>[],
  containers: DeepPartial<Container>[],
  input: { all?: boolean } = {},
): Promise<string[]> {
  const { pods } = await listPods(
    {
      listPodSandbox: () =>
        Promise.resolve(ListPodSandboxResponse.fromPartial({ items: sandboxes })),
      listContainers: () => Promise.resolve(ListContainersResponse.fromPartial({ containers })),
    },
    input,
    { signal: new AbortController().signal },
  );
  return pods.map(
    (pod) =>
      `${pod.namespace}/${pod.name}: ${pod.sandboxes.map(({ id, state }) => `${id} ${state}`).join(', ')}; ${pod.containers.map(({ id, state }) => `${id} ${state}`).join(', ')}`,
  );
}

const sandboxes = [
  sandbox('s1', 'old', { state: SANDBOX_NOTREADY }),
  sandbox('s2', 'web', { createdAt: createdAt(12) }),
  sandbox('s3', 'again', { createdAt: createdAt(13), state: SANDBOX_NOTREADY }),
  sandbox('s4', 'again', { createdAt: createdAt(14) }),
];
const containers = [
  container('c1', 's1', { state: CONTAINER_EXITED }),
  container('c2', 's2', { createdAt: createdAt(21) }),
  container('c3', 's2', { createdAt: createdAt(22) }),
  container('c4', 's2', { state: CONTAINER_CREATED }),
  container('c5', 's3', { state: CONTAINER_EXITED }),
  container('c6', 's4', { state: CONTAINER_UNKNOWN }),
];

test('running: ready sandboxes and running containers, newest first', async () => {
  expect(await summary(sandboxes, containers)).toEqual([
    'shop/again: s4 ready; ',
    'shop/web: s2 ready; c3 running, c2 running',
  ]);
});

test('all: everything, a pod with the sandbox that was replaced as one pod', async () => {
  expect(await summary(sandboxes, containers, { all: true })).toEqual([
    'shop/again: s4 ready, s3 notready; c5 exited, c6 unknown',
    'shop/web: s2 ready; c3 running, c2 running, c4 created',
    'shop/old: s1 notready; c1 exited',
  ]);
});

test('a running container names its pod by a sandbox that is not ready', async () => {
  expect(
    await summary([sandbox('s1', 'web', { state: SANDBOX_NOTREADY })], [container('c1', 's1')]),
  ).toEqual(['shop/web: ; c1 running']);
});

test('a container whose sandbox is not listed is returned without a pod', async () => {
  expect(await summary([], [container('c1', 'gone')])).toEqual(['/: ; c1 running']);
});

test('nothing runs', async () => {
  expect(await summary([], [])).toEqual([]);
});
