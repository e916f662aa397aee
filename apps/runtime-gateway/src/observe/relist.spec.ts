import {
  ContainerState,
  ListContainersResponse,
  ListPodSandboxResponse,
  PodSandbox,
  PodSandboxState,
  type Container,
  type DeepPartial,
} from '@stowage/cri-proto';
import { relist, type ListCalls } from './relist';
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
  type FixtureOptions,
} from '../testing/observer-fixture';

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
  fixture: ObserverFixture,
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
  const { objects, changes } = fixture;
  const onLeft = (id: string, error: unknown) =>
    fixture.failures.push(`${id.slice(0, 4)}: ${(error as Error).message}`);
  const { signal } = new AbortController();
  return relist({ runtime, objects, now: () => fixture.nowMs, changes, onLeft }, { signal });
}

const stopped = { ...ready, state: PodSandboxState.SANDBOX_NOTREADY };
const exited = { ...running, state: ContainerState.CONTAINER_EXITED };

it.each<{
  sentence: string;
  known?: FixtureOptions;
  sandboxes: DeepPartial<PodSandbox>[];
  containers: DeepPartial<Container>[];
  status?: 'running' | 'exited';
  published: string[];
}>([
  {
    sentence: 'nothing where nothing changed',
    known: { sandboxes: [knownSandbox()], containers: [knownContainer()] },
    sandboxes: [ready],
    containers: [running],
    published: [],
  },
  {
    sentence: 'a pod that came past the gateway',
    sandboxes: [ready],
    containers: [running],
    status: 'running',
    published: [
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
    published: [
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
    published: ['ContainerStopped cccc listing', 'PodSandboxStopped aaaa listing'],
  },
  {
    sentence: 'what is gone, containers first',
    known: { sandboxes: [knownSandbox()], containers: [knownContainer()] },
    sandboxes: [],
    containers: [],
    published: [
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
    published: [],
  },
])('publishes $sentence', async ({ known, sandboxes, containers, status, published }) => {
  const fixture = new ObserverFixture(known);
  if (status !== undefined) fixture.facts[status](containerId);
  await listOnce(fixture, sandboxes, containers);
  expect(fixture.published).toEqual(published);
  await listOnce(fixture, sandboxes, containers);
  expect(fixture.published).toEqual(published);
});

it('counts what it saw', async () => {
  const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
  fixture.facts.running(containerId);
  expect(await listOnce(fixture, [ready], [running])).toEqual({
    sandboxes: 1,
    containers: 1,
    differences: 1,
    left: 0,
  });
});

it('what became known while the list was made is not judged by it', async () => {
  const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
  await listOnce(fixture, [ready], [], async () => {
    fixture.lifecycle.container({ ...knownContainer(), phase: 'created', observedBy: 'call' });
    await Promise.resolve();
  });
  expect(fixture.published).toEqual(['ContainerCreated cccc call']);
  expect(fixture.objects.container(containerId)?.phase).toBe('created');
});

describe('a sandbox that was listed while RunPodSandbox was making it', () => {
  const made = { ...knownSandbox(), observedBy: 'call' } as const;
  /** The call is answered while the list is on its way. */
  const listBeforeCall = (fixture: ObserverFixture) =>
    listOnce(fixture, [stopped], [], () => {
      fixture.lifecycle.sandbox(made);
      return Promise.resolve();
    });

  it('is not stopped by that list, whose answer comes after that of the call', async () => {
    const fixture = new ObserverFixture();
    fixture.facts.sandboxes.push(PodSandbox.fromPartial(ready));
    await listBeforeCall(fixture);
    expect(fixture.published).toEqual(['PodSandboxStarted aaaa call']);
  });

  it('is not stopped by that list, whose answer comes before that of the call', async () => {
    const fixture = new ObserverFixture({ attributionWaitMs: 10_000 });
    fixture.facts.sandboxes.push(PodSandbox.fromPartial(ready));
    fixture.inFlight.started('RunPodSandbox');
    const listing = listOnce(fixture, [stopped], []);
    await new Promise(setImmediate);
    fixture.lifecycle.sandbox(made);
    fixture.inFlight.ended('RunPodSandbox');
    await listing;
    expect(fixture.published).toEqual(['PodSandboxStarted aaaa call']);
  });

  it('is left to the next listing when the call takes longer than is waited for', async () => {
    const fixture = new ObserverFixture({ attributionWaitMs: 1 });
    fixture.inFlight.started('RunPodSandbox');
    await listOnce(fixture, [stopped], []);
    expect(fixture.published).toEqual([]);
    fixture.inFlight.ended('RunPodSandbox');
    await listOnce(fixture, [stopped], []);
    expect(fixture.published).toEqual([
      'PodSandboxStarted aaaa listing',
      'PodSandboxStopped aaaa listing',
    ]);
  });

  it('is stopped when it is not ready either after the call', async () => {
    const fixture = new ObserverFixture();
    fixture.facts.sandboxes.push(PodSandbox.fromPartial(stopped));
    await listBeforeCall(fixture);
    expect(fixture.published).toEqual([
      'PodSandboxStarted aaaa call',
      'PodSandboxStopped aaaa listing',
    ]);
  });

  it('is left to the next listing when the runtime does not say what became of it', async () => {
    const fixture = new ObserverFixture();
    fixture.facts.failure = new Error('no answer');
    const result = await listBeforeCall(fixture);
    expect(result).toMatchObject({ differences: 1, left: 1 });
    expect(fixture.published).toEqual(['PodSandboxStarted aaaa call']);
  });
});

it('a list that is older than a removal does not bring the container back', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox()],
    containers: [knownContainer()],
  });
  fixture.facts.running(containerId);
  await listOnce(fixture, [ready], [running], async () => {
    fixture.lifecycle.container({ id: containerId, phase: 'removed', observedBy: 'call' });
    await Promise.resolve();
  });
  await listOnce(fixture, [ready], [running]);
  expect(fixture.published).toEqual(['ContainerStopped cccc call', 'ContainerRemoved cccc call']);
});

it('removed objects are gone once a later list does not show them, and forgotten after some minutes', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox()],
    containers: [knownContainer()],
  });
  await listOnce(fixture, [ready], [running], async () => {
    fixture.lifecycle.container({ id: containerId, phase: 'removed', observedBy: 'call' });
    await Promise.resolve();
  });
  expect(fixture.objects.counts.container).toBe(1);
  await listOnce(fixture, [ready], []);
  expect(fixture.objects.counts).toEqual({ sandbox: 1, container: 0 });
  expect(fixture.objects.container(containerId)).toMatchObject({
    phase: 'removed',
    phaseAtMs: nowMs,
  });
  fixture.nowMs += 10 * 60_000 + 1;
  await listOnce(fixture, [ready], []);
  expect(fixture.objects.container(containerId)).toBeUndefined();
});

it('a removal that an earlier version remembered, without its time, is forgotten at once', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer({ phase: 'removed' })] });
  await listOnce(fixture, [], []);
  expect(fixture.objects.containers()).toEqual([]);
});

it('differences that cannot be cleared up are left to the next listing', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox()],
    containers: [knownContainer()],
  });
  fixture.facts.failure = new Error('no answer');
  expect(await listOnce(fixture, [ready], [exited])).toMatchObject({ differences: 1, left: 1 });
  expect(fixture.failures).toEqual(['cccc: no answer']);
  fixture.facts.failure = undefined;
  fixture.facts.exited(containerId);
  await listOnce(fixture, [ready], [exited]);
  expect(fixture.published).toEqual(['ContainerStopped cccc listing']);
});

it('what there is no room to remember is not published again by each listing', async () => {
  const fixture = new ObserverFixture({
    max: 1,
    sandboxes: [knownSandbox({ id: 'other' })],
    containers: [knownContainer({ id: 'other', podSandboxId: 'other' })],
  });
  fixture.facts.running(containerId);
  const listed = [
    [ready, { ...ready, id: 'other' }],
    [running, { ...running, id: 'other', podSandboxId: 'other' }],
  ] as const;
  await listOnce(fixture, ...listed);
  await listOnce(fixture, ...listed);
  const counts = new Map<string, number>();
  for (const event of fixture.published) counts.set(event, (counts.get(event) ?? 0) + 1);
  expect([...counts].filter(([, count]) => count > 1)).toEqual([]);
});
