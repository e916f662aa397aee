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

test('publishes the start with the time that the runtime reports', async () => {
  const fixture = new ObserverFixture({ containers: [created] });
  fixture.facts.running(containerId);
  await fixture.observe(start);
  expect(fixture.events).toEqual([
    {
      name: 'ContainerStarted',
      subject: containerId,
      data: started,
      time: new Date(nowMs - 50_000),
    },
  ]);
});

test('publishes it without the time when the runtime does not answer', async () => {
  const fixture = new ObserverFixture({ containers: [created] });
  fixture.facts.failure = new Error('runtime away');
  await fixture.observe(start);
  const { startedAt, ...rest } = started;
  expect(fixture.events[0]?.data).toEqual(rest);
  expect(startedAt).toBeDefined();
  expect(fixture.failures).toEqual(['lookup: runtime away']);
});

test('asks for a listing when the container is over already', async () => {
  const fixture = new ObserverFixture({ containers: [created] });
  fixture.facts.exited(containerId, { exitCode: 0 });
  await fixture.observe(start);
  expect(fixture.published).toEqual(['ContainerStarted cccc call']);
  expect(fixture.relistsScheduled).toBe(1);
  expect(fixture.failures).toEqual([]);
});

test('asks the runtime for names that nobody knows yet, and publishes the creation that was missed', async () => {
  const fixture = new ObserverFixture();
  fixture.facts.running(containerId);
  fixture.facts.containers.push(
    Container.fromPartial({
      id: containerId,
      podSandboxId: sandboxId,
      metadata: { name: 'main', attempt: 0 },
      image: { image: imageId },
      imageRef: imageId,
      createdAt: nanoseconds(nowMs - 60_000),
    }),
  );
  fixture.facts.sandboxes.push(PodSandbox.fromPartial({ id: sandboxId, metadata: pod }));
  await fixture.observe(start);
  expect(fixture.published).toEqual([
    'ContainerCreated cccc listing',
    'ContainerStarted cccc call',
  ]);
  expect(fixture.events[1]?.data).toEqual(started);
});

test('publishes the start only, when the creation was before the observing', async () => {
  const fixture = new ObserverFixture({ observingSinceMs: nowMs - 1000 });
  fixture.facts.running(containerId);
  fixture.facts.containers.push(
    Container.fromPartial({
      id: containerId,
      podSandboxId: sandboxId,
      createdAt: nanoseconds(nowMs - 60_000),
    }),
  );
  await fixture.observe(start);
  expect(fixture.published).toEqual(['ContainerStarted cccc call']);
});

test('a container that a listing saw running is not published again', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  fixture.facts.running(containerId);
  await fixture.observe(start);
  expect(fixture.events).toEqual([]);
});
