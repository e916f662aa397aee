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
])('publishes $sentence', async ({ exit, data }) => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  fixture.facts.exited(containerId, exit);
  await fixture.observe(stop);
  expect(fixture.events).toEqual([
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
    const fixture = new ObserverFixture({ containers: [knownContainer({ phase })] });
    fixture.facts.exited(containerId);
    await fixture.observe(stop);
    expect([fixture.events, fixture.facts.asked]).toEqual([[], []]);
  },
);

test('stopping twice publishes one stop', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  fixture.facts.exited(containerId);
  await Promise.all([fixture.observe(stop), fixture.observe(stop)]);
  expect(fixture.published).toEqual(['ContainerStopped cccc call']);
});

test('a container that was created and never started did not stop', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer({ phase: 'created' })] });
  fixture.facts.exited(containerId, { state: ContainerState.CONTAINER_CREATED });
  await fixture.observe(stop);
  expect(fixture.events).toEqual([]);
});

test('a container that was removed right after has no exit code', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  await fixture.observe(stop);
  expect(fixture.events[0]?.data).toEqual({
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

  test('is published with the exit that the event stream shows a little later', async () => {
    const fixture = new ObserverFixture({ containers: [knownContainer()] });
    const published = fixture.observe(stop);
    await eventuallyPasses(() => {
      expect(fixture.facts.asked).toEqual(['ContainerStatus cccc']);
    });
    await pause(20);
    fixture.changes.exitObserved(seen);
    await published;
    expect(fixture.events.map(({ data }) => data)).toEqual([stopped]);
  });

  test('is published with the exit that the event stream showed while the stop was in flight', async () => {
    const fixture = new ObserverFixture({
      containers: [knownContainer()],
      attributionWaitMs: 60_000,
    });
    fixture.calls.started(stop.method);
    const observation = fixture.changes.container(seen);
    fixture.calls.ended(stop);
    await Promise.all([fixture.calls.settled(), observation]);
    expect(fixture.events.map(({ data }) => data)).toEqual([stopped]);
  });

  test('is published with the exit that a listing found while the stop was in flight', async () => {
    const fixture = new ObserverFixture({
      containers: [knownContainer()],
      attributionWaitMs: 60_000,
    });
    fixture.facts.exited(containerId);
    fixture.calls.started(stop.method);
    const observation = fixture.changes.container({
      id: containerId,
      phase: 'exited',
      observedBy: 'listing',
    });
    await eventuallyPasses(() =>
      expect(fixture.objects.container(containerId)?.exit).toBeDefined(),
    );
    fixture.facts.statuses.clear();
    fixture.calls.ended(stop);
    await Promise.all([fixture.calls.settled(), observation]);
    expect(fixture.events.map(({ data }) => data)).toEqual([stopped]);
  });

  test('is asked for although its lane is busy', async () => {
    const fixture = new ObserverFixture({ containers: [knownContainer()] });
    fixture.facts.exited(containerId);
    let free = (): void => undefined;
    const busy = fixture.queue.run(containerId, () => new Promise<void>((end) => (free = end)));
    fixture.calls.started(stop.method);
    fixture.calls.ended(stop);
    await eventuallyPasses(() => expect(fixture.facts.asked).toEqual(['ContainerStatus cccc']));
    fixture.facts.statuses.clear();
    free();
    await Promise.all([busy, fixture.calls.settled()]);
    expect(fixture.events.map(({ data }) => data)).toEqual([stopped]);
  });
});

test('without an answer the exit is left to the next listing, which then knows that it was asked for', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  fixture.facts.failure = new CriError('ContainerStatus', 'UNAVAILABLE', 'connection lost');
  await fixture.observe(stop);
  expect(fixture.events).toEqual([]);
  expect(fixture.failures).toEqual(['lookup: connection lost']);
  expect(fixture.relistsScheduled).toBe(1);

  fixture.facts.failure = undefined;
  fixture.facts.exited(containerId);
  await fixture.changes.container({ id: containerId, phase: 'exited', observedBy: 'listing' });
  expect(fixture.events.map(({ data }) => data)).toEqual([{ ...stopped, observedBy: 'listing' }]);
});

test('a stop that failed counts as asked for when the container ends later', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  await fixture.observe({ ...stop, grpcStatus: 4, response: undefined });
  expect(fixture.events).toEqual([]);
  fixture.facts.exited(containerId);
  await fixture.changes.container({ id: containerId, phase: 'exited', observedBy: 'listing' });
  expect(fixture.events[0]?.data).toMatchObject({ requested: true });
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

  test('is published with what was missed, when it came while observing', async () => {
    const fixture = new ObserverFixture();
    fixture.facts.exited(containerId);
    fixture.facts.containers.push(listed);
    await fixture.observe(stop);
    expect(fixture.published).toEqual([
      'ContainerCreated cccc listing',
      'ContainerStarted cccc listing',
      'ContainerStopped cccc call',
    ]);
  });

  test('is published as stopped only, when it came before', async () => {
    const fixture = new ObserverFixture({ observingSinceMs: nowMs - 1000 });
    fixture.facts.exited(containerId);
    fixture.facts.containers.push(listed);
    await fixture.observe(stop);
    expect(fixture.published).toEqual(['ContainerStopped cccc call']);
  });

  test('is not published when it had ended before the observing', async () => {
    const fixture = new ObserverFixture({ observingSinceMs: nowMs - 5000 });
    fixture.facts.exited(containerId, { finishedAt: nanoseconds(nowMs - 10_000) });
    fixture.facts.containers.push(listed);
    await fixture.observe(stop);
    expect(fixture.events).toEqual([]);
  });

  test('is found by the beginning of its id', async () => {
    const fixture = new ObserverFixture({ containers: [knownContainer()] });
    fixture.facts.exited(containerId);
    await fixture.observe(observedCall('StopContainer', { containerId: containerId.slice(0, 10) }));
    expect(fixture.published).toEqual(['ContainerStopped cccc call']);
  });
});
