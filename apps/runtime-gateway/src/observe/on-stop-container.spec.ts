import { Container, ContainerState } from '@stowage/cri-proto';
import { CriError } from '@stowage/cri-client';
import { eventuallyPasses } from '@stowage/testing';
import { setTimeout as pause } from 'node:timers/promises';
import {
  containerId,
  imageId,
  isoTime,
  knownContainer,
  nanoseconds,
  nowMs,
  observedCall,
  ObserverFixture,
  pod,
  sandboxId,
} from '../testing/observer-fixture';

const stop = observedCall('StopContainer', { containerId, timeout: 10n });
const stopped = {
  containerId,
  podSandboxId: sandboxId,
  pod,
  name: 'main',
  attempt: 0,
  image: { reference: imageId, imageId },
  exitCode: 137,
  reason: 'Error',
  requested: true,
  startedAt: isoTime(nowMs - 50_000),
  finishedAt: isoTime(nowMs),
  observedBy: 'call',
};

test.each([
  { sentence: 'code and reason', exit: {}, data: stopped },
  {
    sentence: 'a code of 0',
    exit: { exitCode: 0, reason: 'Completed' },
    data: { ...stopped, exitCode: 0, reason: 'Completed' },
  },
  {
    sentence: 'no reason where the runtime has none',
    exit: { reason: '' },
    data: { ...stopped, reason: undefined },
  },
  {
    sentence: 'an exit shortly before the stop was noted as asked for',
    exit: { finishedAt: nanoseconds(nowMs - 900) },
    data: { ...stopped, finishedAt: isoTime(nowMs - 900) },
  },
  {
    sentence: 'an exit before the stop as one that nobody asked for',
    exit: { finishedAt: nanoseconds(nowMs - 5000), exitCode: 3 },
    data: {
      ...stopped,
      exitCode: 3,
      finishedAt: isoTime(nowMs - 5000),
      requested: false,
      observedBy: 'listing',
    },
  },
])('tells $sentence', async ({ exit, data }) => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  to.facts.exited(containerId, exit);
  await to.observe(stop);
  expect(to.events).toEqual([
    {
      name: 'ContainerStopped',
      subject: containerId,
      data: Object.fromEntries(Object.entries(data).filter(([, value]) => value !== undefined)),
      time: new Date(data.finishedAt),
    },
  ]);
});

test.each(['exited', 'removed'] as const)(
  'stopping a container that is %s already is no news, and asks nobody',
  async (phase) => {
    const to = new ObserverFixture({ containers: [knownContainer({ phase })] });
    to.facts.exited(containerId);
    await to.observe(stop);
    expect([to.events, to.facts.asked]).toEqual([[], []]);
  },
);

test('stopping twice tells one stop', async () => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  to.facts.exited(containerId);
  await Promise.all([to.observe(stop), to.observe(stop)]);
  expect(to.told).toEqual(['ContainerStopped cccc call']);
});

test('a container that was created and never started did not stop', async () => {
  const to = new ObserverFixture({ containers: [knownContainer({ phase: 'created' })] });
  to.facts.exited(containerId, { state: ContainerState.CONTAINER_CREATED });
  await to.observe(stop);
  expect(to.events).toEqual([]);
});

test('a container that was removed right after has no exit code', async () => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  await to.observe(stop);
  expect(to.events[0]?.data).toEqual({
    containerId,
    podSandboxId: sandboxId,
    pod,
    name: 'main',
    attempt: 0,
    image: { reference: imageId, imageId },
    requested: true,
    observedBy: 'call',
  });
});

describe('a container that was removed right after', () => {
  const seen = {
    id: containerId,
    phase: 'exited',
    startedAtMs: nowMs - 50_000,
    finishedAtMs: nowMs,
    exitCode: 137,
    reason: 'Error',
    observedBy: 'runtime-event',
  } as const;

  test('is told with the exit that the event stream shows a little later', async () => {
    const to = new ObserverFixture({ containers: [knownContainer()] });
    const told = to.observe(stop);
    await eventuallyPasses(() => {
      expect(to.facts.asked).toEqual(['ContainerStatus cccc']);
    });
    await pause(20);
    to.changes.exitObserved(seen);
    await told;
    expect(to.events.map(({ data }) => data)).toEqual([stopped]);
  });

  test('is told with the exit that the event stream showed while the stop was in flight', async () => {
    const to = new ObserverFixture({ containers: [knownContainer()], attributionWaitMs: 60_000 });
    to.calls.started(stop.method);
    const observation = to.changes.container(seen);
    to.calls.ended(stop);
    await Promise.all([to.calls.settled(), observation]);
    expect(to.events.map(({ data }) => data)).toEqual([stopped]);
  });

  test('is told with the exit that a listing found while the stop was in flight', async () => {
    const to = new ObserverFixture({ containers: [knownContainer()], attributionWaitMs: 60_000 });
    to.facts.exited(containerId);
    to.calls.started(stop.method);
    const observation = to.changes.container({
      id: containerId,
      phase: 'exited',
      observedBy: 'listing',
    });
    await eventuallyPasses(() => expect(to.objects.container(containerId)?.exit).toBeDefined());
    to.facts.statuses.clear();
    to.calls.ended(stop);
    await Promise.all([to.calls.settled(), observation]);
    expect(to.events.map(({ data }) => data)).toEqual([stopped]);
  });

  test('is asked for although its lane is busy', async () => {
    const to = new ObserverFixture({ containers: [knownContainer()] });
    to.facts.exited(containerId);
    let free = (): void => undefined;
    const busy = to.queue.run(containerId, () => new Promise<void>((end) => (free = end)));
    to.calls.started(stop.method);
    to.calls.ended(stop);
    await eventuallyPasses(() => expect(to.facts.asked).toEqual(['ContainerStatus cccc']));
    to.facts.statuses.clear();
    free();
    await Promise.all([busy, to.calls.settled()]);
    expect(to.events.map(({ data }) => data)).toEqual([stopped]);
  });
});

test('without an answer the exit is left to the next listing, which then knows that it was asked for', async () => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  to.facts.failure = new CriError('ContainerStatus', 'UNAVAILABLE', 'connection lost');
  await to.observe(stop);
  expect(to.events).toEqual([]);
  expect(to.failures).toEqual(['lookup: connection lost']);
  expect(to.relistsScheduled).toBe(1);

  to.facts.failure = undefined;
  to.facts.exited(containerId);
  await to.changes.container({ id: containerId, phase: 'exited', observedBy: 'listing' });
  expect(to.events.map(({ data }) => data)).toEqual([{ ...stopped, observedBy: 'listing' }]);
});

test('a stop that failed counts as asked for when the container ends later', async () => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  await to.observe({ ...stop, grpcStatus: 4, response: undefined });
  expect(to.events).toEqual([]);
  to.facts.exited(containerId);
  await to.changes.container({ id: containerId, phase: 'exited', observedBy: 'listing' });
  expect(to.events[0]?.data).toMatchObject({ requested: true });
});

describe('a container that nobody knows', () => {
  const listed = Container.fromPartial({
    id: containerId,
    podSandboxId: sandboxId,
    metadata: { name: 'main' },
    image: { image: imageId },
    imageRef: imageId,
    createdAt: nanoseconds(nowMs - 60_000),
  });

  test('is told with what was missed, when it came while observing', async () => {
    const to = new ObserverFixture();
    to.facts.exited(containerId);
    to.facts.containers.push(listed);
    await to.observe(stop);
    expect(to.told).toEqual([
      'ContainerCreated cccc listing',
      'ContainerStarted cccc listing',
      'ContainerStopped cccc call',
    ]);
  });

  test('is told as stopped only, when it came before', async () => {
    const to = new ObserverFixture({ observingSinceMs: nowMs - 1000 });
    to.facts.exited(containerId);
    to.facts.containers.push(listed);
    await to.observe(stop);
    expect(to.told).toEqual(['ContainerStopped cccc call']);
  });

  test('is not told when it had ended before the observing', async () => {
    const to = new ObserverFixture({ observingSinceMs: nowMs - 5000 });
    to.facts.exited(containerId, { finishedAt: nanoseconds(nowMs - 10_000) });
    to.facts.containers.push(listed);
    await to.observe(stop);
    expect(to.events).toEqual([]);
  });

  test('is found by the beginning of its id', async () => {
    const to = new ObserverFixture({ containers: [knownContainer()] });
    to.facts.exited(containerId);
    await to.observe(observedCall('StopContainer', { containerId: containerId.slice(0, 10) }));
    expect(to.told).toEqual(['ContainerStopped cccc call']);
  });
});
