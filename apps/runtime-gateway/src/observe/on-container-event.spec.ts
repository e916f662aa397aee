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

/** What is published when the event is the only thing that is seen. */
async function publishedBy(
  fixture: ObserverFixture,
  seen: ContainerEventResponse,
): Promise<string[]> {
  const { pod: podSeen, containers, podEnd } = onContainerEvent(seen, fixture.objects);
  if (podSeen !== undefined) await fixture.changes.sandbox(podSeen);
  for (const container of containers) await fixture.changes.container(container);
  if (podEnd !== undefined) await fixture.changes.sandbox(podEnd);
  return fixture.published;
}

const everything = { sandboxes: [knownSandbox()], containers: [knownContainer()] };

test.each([
  {
    sentence: 'the start of a sandbox',
    known: {},
    seen: event(sandboxId, CONTAINER_STARTED_EVENT, { podSandboxStatus, containersStatuses: [] }),
    published: ['PodSandboxStarted aaaa runtime-event'],
  },
  {
    sentence: 'a creation',
    known: { sandboxes: [knownSandbox()] },
    seen: event(containerId, CONTAINER_CREATED_EVENT, {
      podSandboxStatus,
      containersStatuses: [{ ...status, state: ContainerState.CONTAINER_CREATED, startedAt: 0n }],
    }),
    published: ['ContainerCreated cccc runtime-event'],
  },
  {
    sentence: 'a start, and the creation that was missed',
    known: { sandboxes: [knownSandbox()] },
    seen: event(containerId, CONTAINER_STARTED_EVENT),
    published: ['ContainerCreated cccc runtime-event', 'ContainerStarted cccc runtime-event'],
  },
  {
    sentence: 'an exit',
    known: everything,
    seen: event(containerId, CONTAINER_STOPPED_EVENT, {
      podSandboxStatus,
      containersStatuses: [exit],
    }),
    published: ['ContainerStopped cccc runtime-event'],
  },
  {
    sentence: 'an exit without a status, which is asked for',
    known: everything,
    seen: event(containerId, CONTAINER_STOPPED_EVENT, {
      podSandboxStatus,
      containersStatuses: [],
    }),
    published: ['ContainerStopped cccc runtime-event'],
  },
  {
    sentence: 'the stop of a sandbox, after the exits in it',
    known: everything,
    seen: event(sandboxId, CONTAINER_STOPPED_EVENT, {
      podSandboxStatus: { ...podSandboxStatus, state: PodSandboxState.SANDBOX_NOTREADY },
      containersStatuses: [exit],
    }),
    published: ['ContainerStopped cccc runtime-event', 'PodSandboxStopped aaaa runtime-event'],
  },
  {
    sentence: 'the removal of a container, with the exit that was missed',
    known: everything,
    seen: event(containerId, CONTAINER_DELETED_EVENT, {
      podSandboxStatus,
      containersStatuses: [exit],
    }),
    published: ['ContainerStopped cccc runtime-event', 'ContainerRemoved cccc runtime-event'],
  },
  {
    sentence: 'the removal of a container that the event says nothing more about',
    known: { sandboxes: [knownSandbox()], containers: [knownContainer({ phase: 'exited' })] },
    seen: event(containerId, CONTAINER_DELETED_EVENT, { containersStatuses: [] }),
    published: ['ContainerRemoved cccc runtime-event'],
  },
  {
    sentence: 'the removal of a sandbox, with its containers',
    known: {
      sandboxes: [knownSandbox({ phase: 'stopped' })],
      containers: [knownContainer({ phase: 'exited' })],
    },
    seen: event(sandboxId, CONTAINER_DELETED_EVENT, { containersStatuses: [] }),
    published: ['ContainerRemoved cccc runtime-event', 'PodSandboxRemoved aaaa runtime-event'],
  },
  {
    sentence: 'nothing that is known',
    known: everything,
    seen: event(containerId, CONTAINER_STARTED_EVENT),
    published: [],
  },
])('publishes $sentence', async ({ known, seen, published }) => {
  const fixture = new ObserverFixture(known);
  fixture.facts.exited(containerId, { exitCode: 3 });
  expect(await publishedBy(fixture, seen)).toEqual(published);
});

test('an exit carries code, reason and times of the event, and nobody is asked', async () => {
  const fixture = new ObserverFixture(everything);
  await publishedBy(
    fixture,
    event(containerId, CONTAINER_STOPPED_EVENT, { podSandboxStatus, containersStatuses: [exit] }),
  );
  expect(fixture.events[0]?.data).toMatchObject({ exitCode: 3, reason: 'Error', requested: false });
  expect(fixture.facts.asked).toEqual([]);
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
  const fixture = new ObserverFixture(known);
  expect(onContainerEvent(seen, fixture.objects).isUnclear).toBe(true);
  const before = fixture.objects.containers();
  await publishedBy(fixture, seen);
  expect(fixture.objects.containers()).toEqual(before);
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
  const imagesOf = (fixture: ObserverFixture) =>
    fixture.events.map(({ data }) => (data as { image?: object }).image);

  test('has the one that the runtime lists, which is asked once for the life of a container', async () => {
    const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
    fixture.facts.containers.push(listed);
    await publishedBy(fixture, start);
    await publishedBy(
      fixture,
      event(containerId, CONTAINER_STOPPED_EVENT, {
        podSandboxStatus,
        containersStatuses: [{ ...exit, image: named.image, imageRef: digested }],
      }),
    );
    const image = { reference: 'registry.example/team/app:1', imageId };
    expect(imagesOf(fixture)).toEqual([image, image, image]);
    expect(fixture.facts.asked).toEqual(['ListContainers cccc']);
  });

  test('has none when the container is gone already', async () => {
    const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
    await publishedBy(fixture, start);
    const image = { reference: 'registry.example/team/app:1' };
    expect(imagesOf(fixture)).toEqual([image, image]);
  });

  test('is left to a listing, nothing said, when the runtime does not answer', async () => {
    const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
    fixture.facts.failure = new DeadlineExceededError('runtime lookup', 5000);
    await expect(publishedBy(fixture, start)).rejects.toThrow('runtime lookup');
    expect(fixture.events).toEqual([]);
  });

  test('is not asked for of a container that was there before the observing', async () => {
    const fixture = new ObserverFixture({ observingSinceMs: nowMs - 10 });
    await publishedBy(fixture, start);
    expect([fixture.events, fixture.facts.asked]).toEqual([[], []]);
  });
});

test('an event that the runtime kept does not bring back what was removed since', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox()],
    containers: [knownContainer()],
  });
  fixture.lifecycle.container({ id: containerId, phase: 'removed', observedBy: 'call' });
  fixture.objects.forgetRemoved('container', new Set(), fixture.objects.revision, nowMs - 600_000);
  const published = [...fixture.published];
  expect(await publishedBy(fixture, event(containerId, CONTAINER_STARTED_EVENT))).toEqual(
    published,
  );
});
