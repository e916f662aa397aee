import {
  ContainerState,
  ListContainersResponse,
  ListPodSandboxResponse,
  PodSandboxState,
} from '@stowage/cri-proto';
import type { Container, DeepPartial, PodSandbox } from '@stowage/cri-proto';
import { relist } from './relist';
import type { ListCalls } from './relist';
import {
  containerId,
  imageId,
  knownContainer,
  knownSandbox,
  nanoseconds,
  nowMs,
  ObserverFixture,
  pod,
  sandboxId,
} from '../testing/observer-fixture';
import type { FixtureOptions } from '../testing/observer-fixture';

const createdAt = nanoseconds(nowMs - 60_000);
const ready: DeepPartial<PodSandbox> = {
  id: sandboxId,
  metadata: pod,
  state: PodSandboxState.SANDBOX_READY,
  createdAt,
};
const running: DeepPartial<Container> = {
  id: containerId,
  podSandboxId: sandboxId,
  metadata: { name: 'main' },
  image: { image: imageId },
  imageRef: imageId,
  state: ContainerState.CONTAINER_RUNNING,
  createdAt,
};

/** One listing of these, while `meanwhile` happens between request and answer. */
async function listOnce(
  to: ObserverFixture,
  sandboxes: readonly DeepPartial<PodSandbox>[],
  containers: readonly DeepPartial<Container>[],
  meanwhile: () => Promise<void> = () => Promise.resolve(),
) {
  const runtime: ListCalls = {
    listContainers: async () => {
      await meanwhile();
      return ListContainersResponse.fromPartial({ containers: [...containers] });
    },
    listPodSandbox: () =>
      Promise.resolve(ListPodSandboxResponse.fromPartial({ items: [...sandboxes] })),
  };
  const { objects, changes } = to;
  const onLeft = (id: string, error: unknown) =>
    to.failures.push(`${id.slice(0, 4)}: ${(error as Error).message}`);
  const { signal } = new AbortController();
  return relist({ runtime, objects, now: () => to.nowMs, changes, onLeft }, { signal });
}

const stopped = { ...ready, state: PodSandboxState.SANDBOX_NOTREADY };
const exited = { ...running, state: ContainerState.CONTAINER_EXITED };

test.each<{
  sentence: string;
  known?: FixtureOptions;
  sandboxes: DeepPartial<PodSandbox>[];
  containers: DeepPartial<Container>[];
  status?: 'running' | 'exited';
  told: string[];
}>([
  {
    sentence: 'nothing where nothing changed',
    known: { sandboxes: [knownSandbox()], containers: [knownContainer()] },
    sandboxes: [ready],
    containers: [running],
    told: [],
  },
  {
    sentence: 'a pod that came past the gateway',
    sandboxes: [ready],
    containers: [running],
    status: 'running',
    told: [
      'PodSandboxStarted aaaa listing',
      'ContainerCreated cccc listing',
      'ContainerStarted cccc listing',
    ],
  },
  {
    sentence: 'a pod that came and ended past the gateway',
    sandboxes: [stopped],
    containers: [exited],
    status: 'exited',
    told: [
      'PodSandboxStarted aaaa listing',
      'PodSandboxStopped aaaa listing',
      'ContainerCreated cccc listing',
      'ContainerStarted cccc listing',
      'ContainerStopped cccc listing',
    ],
  },
  {
    sentence: 'an exit and the stop of the sandbox, in this order',
    known: { sandboxes: [knownSandbox()], containers: [knownContainer()] },
    sandboxes: [stopped],
    containers: [exited],
    status: 'exited',
    told: ['ContainerStopped cccc listing', 'PodSandboxStopped aaaa listing'],
  },
  {
    sentence: 'what is gone, containers first',
    known: { sandboxes: [knownSandbox()], containers: [knownContainer()] },
    sandboxes: [],
    containers: [],
    told: [
      'ContainerStopped cccc listing',
      'ContainerRemoved cccc listing',
      'PodSandboxStopped aaaa listing',
      'PodSandboxRemoved aaaa listing',
    ],
  },
  {
    sentence: 'nothing of a container whose state the runtime does not know',
    known: { sandboxes: [knownSandbox()], containers: [knownContainer()] },
    sandboxes: [ready],
    containers: [{ ...running, state: ContainerState.CONTAINER_UNKNOWN }],
    told: [],
  },
])('tells $sentence', async ({ known, sandboxes, containers, status, told }) => {
  const to = new ObserverFixture(known);
  if (status !== undefined) to.facts[status](containerId);
  await listOnce(to, sandboxes, containers);
  expect(to.told).toEqual(told);
  await listOnce(to, sandboxes, containers);
  expect(to.told).toEqual(told);
});

test('counts what it saw', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()] });
  to.facts.running(containerId);
  expect(await listOnce(to, [ready], [running])).toEqual({
    sandboxes: 1,
    containers: 1,
    differences: 1,
    left: 0,
  });
});

test('what became known while the list was made is not judged by it', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()] });
  await listOnce(to, [ready], [], async () => {
    to.lifecycle.container({ ...knownContainer(), phase: 'created', observedBy: 'call' });
    await Promise.resolve();
  });
  expect(to.told).toEqual(['ContainerCreated cccc call']);
  expect(to.objects.container(containerId)?.phase).toBe('created');
});

test('a list that is older than a removal does not bring the container back', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()], containers: [knownContainer()] });
  to.facts.running(containerId);
  await listOnce(to, [ready], [running], async () => {
    to.lifecycle.container({ id: containerId, phase: 'removed', observedBy: 'call' });
    await Promise.resolve();
  });
  await listOnce(to, [ready], [running]);
  expect(to.told).toEqual(['ContainerStopped cccc call', 'ContainerRemoved cccc call']);
});

test('removed objects are gone once a later list does not show them, and forgotten after some minutes', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()], containers: [knownContainer()] });
  await listOnce(to, [ready], [running], async () => {
    to.lifecycle.container({ id: containerId, phase: 'removed', observedBy: 'call' });
    await Promise.resolve();
  });
  expect(to.objects.counts.container).toBe(1);
  await listOnce(to, [ready], []);
  expect(to.objects.counts).toEqual({ sandbox: 1, container: 0 });
  expect(to.objects.container(containerId)).toMatchObject({ phase: 'removed', phaseAtMs: nowMs });
  to.nowMs += 10 * 60_000 + 1;
  await listOnce(to, [ready], []);
  expect(to.objects.container(containerId)).toBeUndefined();
});

test('a removal that an earlier version remembered, without its time, is forgotten at once', async () => {
  const to = new ObserverFixture({ containers: [knownContainer({ phase: 'removed' })] });
  await listOnce(to, [], []);
  expect(to.objects.containers()).toEqual([]);
});

test('differences that cannot be cleared up are left to the next listing', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()], containers: [knownContainer()] });
  to.facts.failure = new Error('no answer');
  expect(await listOnce(to, [ready], [exited])).toMatchObject({ differences: 1, left: 1 });
  expect(to.failures).toEqual(['cccc: no answer']);
  to.facts.failure = undefined;
  to.facts.exited(containerId);
  await listOnce(to, [ready], [exited]);
  expect(to.told).toEqual(['ContainerStopped cccc listing']);
});
