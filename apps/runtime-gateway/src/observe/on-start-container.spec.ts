import { Container, PodSandbox } from '@stowage/cri-proto';
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

const start = observedCall('StartContainer', { containerId });
const created = knownContainer({ phase: 'created' });
const started = {
  containerId,
  podSandboxId: sandboxId,
  pod,
  name: 'main',
  attempt: 0,
  image: { reference: imageId, imageId },
  startedAt: isoTime(nowMs - 50_000),
  observedBy: 'call',
};

test('tells the start with the time that the runtime reports', async () => {
  const to = new ObserverFixture({ containers: [created] });
  to.facts.running(containerId);
  await to.observe(start);
  expect(to.events).toEqual([
    {
      name: 'ContainerStarted',
      subject: containerId,
      data: started,
      time: new Date(nowMs - 50_000),
    },
  ]);
});

test('tells it without the time when the runtime does not answer', async () => {
  const to = new ObserverFixture({ containers: [created] });
  to.facts.failure = new Error('runtime away');
  await to.observe(start);
  const { startedAt, ...rest } = started;
  expect(to.events[0]?.data).toEqual(rest);
  expect(startedAt).toBeDefined();
  expect(to.failures).toEqual(['lookup: runtime away']);
});

test('asks for a listing when the container is over already', async () => {
  const to = new ObserverFixture({ containers: [created] });
  to.facts.exited(containerId, { exitCode: 0 });
  await to.observe(start);
  expect(to.told).toEqual(['ContainerStarted cccc call']);
  expect(to.relistsScheduled).toBe(1);
  expect(to.failures).toEqual([]);
});

test('asks the runtime for names that nobody knows yet, and tells the creation that was missed', async () => {
  const to = new ObserverFixture();
  to.facts.running(containerId);
  to.facts.containers.push(
    Container.fromPartial({
      id: containerId,
      podSandboxId: sandboxId,
      metadata: { name: 'main', attempt: 0 },
      image: { image: imageId },
      imageRef: imageId,
      createdAt: nanoseconds(nowMs - 60_000),
    }),
  );
  to.facts.sandboxes.push(PodSandbox.fromPartial({ id: sandboxId, metadata: pod }));
  await to.observe(start);
  expect(to.told).toEqual(['ContainerCreated cccc listing', 'ContainerStarted cccc call']);
  expect(to.events[1]?.data).toEqual(started);
});

test('tells the start only, when the creation was before the observing', async () => {
  const to = new ObserverFixture({ observingSinceMs: nowMs - 1000 });
  to.facts.running(containerId);
  to.facts.containers.push(
    Container.fromPartial({
      id: containerId,
      podSandboxId: sandboxId,
      createdAt: nanoseconds(nowMs - 60_000),
    }),
  );
  await to.observe(start);
  expect(to.told).toEqual(['ContainerStarted cccc call']);
});

test('a container that a listing saw running is not told again', async () => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  to.facts.running(containerId);
  await to.observe(start);
  expect(to.events).toEqual([]);
});
