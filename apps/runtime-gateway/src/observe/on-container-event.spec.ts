import {
  Container,
  ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  PodSandboxState,
} from '@stowage/cri-proto';
import type { ContainerStatus, DeepPartial } from '@stowage/cri-proto';
import { DeadlineExceededError } from '@stowage/errors';
import { onContainerEvent } from './on-container-event';
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

const {
  CONTAINER_CREATED_EVENT,
  CONTAINER_STARTED_EVENT,
  CONTAINER_STOPPED_EVENT,
  CONTAINER_DELETED_EVENT,
} = ContainerEventType;

const podSandboxStatus = {
  id: sandboxId,
  metadata: pod,
  state: PodSandboxState.SANDBOX_READY,
  createdAt: nanoseconds(nowMs - 60_000),
};
const status: DeepPartial<ContainerStatus> = {
  id: containerId,
  metadata: { name: 'main' },
  state: ContainerState.CONTAINER_RUNNING,
  createdAt: nanoseconds(nowMs - 60_000),
  startedAt: nanoseconds(nowMs - 50_000),
  image: { image: imageId },
  imageRef: imageId,
};
const exit: DeepPartial<ContainerStatus> = {
  ...status,
  state: ContainerState.CONTAINER_EXITED,
  finishedAt: nanoseconds(nowMs),
  exitCode: 3,
  reason: 'Error',
};

const event = (
  id: string,
  containerEventType: ContainerEventType,
  more: DeepPartial<ContainerEventResponse> = { podSandboxStatus, containersStatuses: [status] },
) =>
  ContainerEventResponse.fromPartial({
    containerId: id,
    containerEventType,
    createdAt: nanoseconds(nowMs),
    ...more,
  });

/** What is told when the event is the only thing that is seen. */
async function publishedBy(to: ObserverFixture, seen: ContainerEventResponse): Promise<string[]> {
  const { pod: podSeen, containers, podEnd } = onContainerEvent(seen, to.objects);
  if (podSeen !== undefined) await to.changes.sandbox(podSeen);
  for (const container of containers) await to.changes.container(container);
  if (podEnd !== undefined) await to.changes.sandbox(podEnd);
  return to.told;
}

const everything = { sandboxes: [knownSandbox()], containers: [knownContainer()] };

test.each([
  {
    sentence: 'the start of a sandbox',
    known: {},
    seen: event(sandboxId, CONTAINER_STARTED_EVENT, { podSandboxStatus, containersStatuses: [] }),
    told: ['PodSandboxStarted aaaa runtime-event'],
  },
  {
    sentence: 'a creation',
    known: { sandboxes: [knownSandbox()] },
    seen: event(containerId, CONTAINER_CREATED_EVENT, {
      podSandboxStatus,
      containersStatuses: [{ ...status, state: ContainerState.CONTAINER_CREATED, startedAt: 0n }],
    }),
    told: ['ContainerCreated cccc runtime-event'],
  },
  {
    sentence: 'a start, and the creation that was missed',
    known: { sandboxes: [knownSandbox()] },
    seen: event(containerId, CONTAINER_STARTED_EVENT),
    told: ['ContainerCreated cccc runtime-event', 'ContainerStarted cccc runtime-event'],
  },
  {
    sentence: 'an exit',
    known: everything,
    seen: event(containerId, CONTAINER_STOPPED_EVENT, {
      podSandboxStatus,
      containersStatuses: [exit],
    }),
    told: ['ContainerStopped cccc runtime-event'],
  },
  {
    sentence: 'an exit without a status, which is asked for',
    known: everything,
    seen: event(containerId, CONTAINER_STOPPED_EVENT, {
      podSandboxStatus,
      containersStatuses: [],
    }),
    told: ['ContainerStopped cccc runtime-event'],
  },
  {
    sentence: 'the stop of a sandbox, after the exits in it',
    known: everything,
    seen: event(sandboxId, CONTAINER_STOPPED_EVENT, {
      podSandboxStatus: { ...podSandboxStatus, state: PodSandboxState.SANDBOX_NOTREADY },
      containersStatuses: [exit],
    }),
    told: ['ContainerStopped cccc runtime-event', 'PodSandboxStopped aaaa runtime-event'],
  },
  {
    sentence: 'the removal of a container, with the exit that was missed',
    known: everything,
    seen: event(containerId, CONTAINER_DELETED_EVENT, {
      podSandboxStatus,
      containersStatuses: [exit],
    }),
    told: ['ContainerStopped cccc runtime-event', 'ContainerRemoved cccc runtime-event'],
  },
  {
    sentence: 'the removal of a container that the event says nothing more about',
    known: { sandboxes: [knownSandbox()], containers: [knownContainer({ phase: 'exited' })] },
    seen: event(containerId, CONTAINER_DELETED_EVENT, { containersStatuses: [] }),
    told: ['ContainerRemoved cccc runtime-event'],
  },
  {
    sentence: 'the removal of a sandbox, with its containers',
    known: {
      sandboxes: [knownSandbox({ phase: 'stopped' })],
      containers: [knownContainer({ phase: 'exited' })],
    },
    seen: event(sandboxId, CONTAINER_DELETED_EVENT, { containersStatuses: [] }),
    told: ['ContainerRemoved cccc runtime-event', 'PodSandboxRemoved aaaa runtime-event'],
  },
  {
    sentence: 'nothing that is known',
    known: everything,
    seen: event(containerId, CONTAINER_STARTED_EVENT),
    told: [],
  },
])('tells $sentence', async ({ known, seen, told }) => {
  const to = new ObserverFixture(known);
  to.facts.exited(containerId, { exitCode: 3 });
  expect(await publishedBy(to, seen)).toEqual(told);
});

test('an exit carries code, reason and times of the event, and nobody is asked', async () => {
  const to = new ObserverFixture(everything);
  await publishedBy(
    to,
    event(containerId, CONTAINER_STOPPED_EVENT, { podSandboxStatus, containersStatuses: [exit] }),
  );
  expect(to.events[0]?.data).toMatchObject({ exitCode: 3, reason: 'Error', requested: false });
  expect(to.facts.asked).toEqual([]);
});

test.each([
  {
    sentence: 'a creation that its statuses do not show',
    seen: event(containerId, CONTAINER_CREATED_EVENT, { podSandboxStatus, containersStatuses: [] }),
  },
  {
    sentence: 'a start of a container that is known, but without its status',
    known: everything,
    seen: event(containerId, CONTAINER_STARTED_EVENT, { podSandboxStatus, containersStatuses: [] }),
  },
  {
    sentence: 'an exit of a container that nobody knows',
    seen: event(containerId, CONTAINER_STOPPED_EVENT, { podSandboxStatus, containersStatuses: [] }),
  },
  {
    sentence: 'a container whose sandbox it does not name',
    seen: event(containerId, CONTAINER_CREATED_EVENT, { containersStatuses: [status] }),
  },
  {
    sentence: 'a sandbox that is known, but without its status',
    known: everything,
    seen: event(sandboxId, CONTAINER_STOPPED_EVENT, { containersStatuses: [] }),
  },
])('leaves to a listing $sentence', async ({ known, seen }) => {
  const to = new ObserverFixture(known);
  expect(onContainerEvent(seen, to.objects).isUnclear).toBe(true);
  const before = to.objects.containers();
  await publishedBy(to, seen);
  expect(to.objects.containers()).toEqual(before);
});

test('the removal of what nobody knew is clear: no list has it', () => {
  const seen = event(containerId, CONTAINER_DELETED_EVENT, { containersStatuses: [] });
  expect(onContainerEvent(seen, new ObserverFixture().objects).isUnclear).toBe(false);
});

describe('an image whose ID the status does not have', () => {
  const digested = `registry.example/team/app@${imageId}`;
  const named = { ...status, image: { image: 'registry.example/team/app:1' }, imageRef: digested };
  const start = event(containerId, CONTAINER_STARTED_EVENT, {
    podSandboxStatus,
    containersStatuses: [named],
  });
  const listed = Container.fromPartial({ id: containerId, imageId, imageRef: digested });
  const imagesOf = (to: ObserverFixture) =>
    to.events.map(({ data }) => (data as { image?: object }).image);

  test('has the one that the runtime lists, which is asked once for the life of a container', async () => {
    const to = new ObserverFixture({ sandboxes: [knownSandbox()] });
    to.facts.containers.push(listed);
    await publishedBy(to, start);
    await publishedBy(
      to,
      event(containerId, CONTAINER_STOPPED_EVENT, {
        podSandboxStatus,
        containersStatuses: [{ ...exit, image: named.image, imageRef: digested }],
      }),
    );
    const image = { reference: 'registry.example/team/app:1', imageId };
    expect(imagesOf(to)).toEqual([image, image, image]);
    expect(to.facts.asked).toEqual(['ListContainers cccc']);
  });

  test('has none when the container is gone already', async () => {
    const to = new ObserverFixture({ sandboxes: [knownSandbox()] });
    await publishedBy(to, start);
    const image = { reference: 'registry.example/team/app:1' };
    expect(imagesOf(to)).toEqual([image, image]);
  });

  test('is left to a listing, nothing said, when the runtime does not answer', async () => {
    const to = new ObserverFixture({ sandboxes: [knownSandbox()] });
    to.facts.failure = new DeadlineExceededError('runtime lookup', 5000);
    await expect(publishedBy(to, start)).rejects.toThrow('runtime lookup');
    expect(to.events).toEqual([]);
  });

  test('is not asked for of a container that was there before the observing', async () => {
    const to = new ObserverFixture({ observingSinceMs: nowMs - 10 });
    await publishedBy(to, start);
    expect([to.events, to.facts.asked]).toEqual([[], []]);
  });
});

test('an event that the runtime kept does not bring back what was removed since', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()], containers: [knownContainer()] });
  to.lifecycle.container({ id: containerId, phase: 'removed', observedBy: 'call' });
  to.objects.forgetRemoved('container', new Set(), to.objects.revision, nowMs - 600_000);
  const told = [...to.told];
  expect(await publishedBy(to, event(containerId, CONTAINER_STARTED_EVENT))).toEqual(told);
});
