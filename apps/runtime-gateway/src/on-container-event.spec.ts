import {
  ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  PodSandboxState,
} from '@stowage/cri-proto';
import type { ContainerStatus, DeepPartial } from '@stowage/cri-proto';
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
} from './testing/observer-fixture';

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
async function tellsOf(to: ObserverFixture, seen: ContainerEventResponse): Promise<string[]> {
  const { pod: podSeen, containers, podEnd } = onContainerEvent(seen, to.objects);
  if (podSeen !== undefined) await to.sightings.sandbox(podSeen);
  for (const container of containers) await to.sightings.container(container);
  if (podEnd !== undefined) await to.sightings.sandbox(podEnd);
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
  expect(await tellsOf(to, seen)).toEqual(told);
});

test('an exit carries code, reason and times of the event, and nobody is asked', async () => {
  const to = new ObserverFixture(everything);
  await tellsOf(
    to,
    event(containerId, CONTAINER_STOPPED_EVENT, { podSandboxStatus, containersStatuses: [exit] }),
  );
  expect(to.events[0]?.data).toMatchObject({ exitCode: 3, reason: 'Error', requested: false });
  expect(to.facts.asked).toEqual([]);
});
