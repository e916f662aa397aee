import {
  containerId,
  imageId,
  isoTime,
  knownContainer,
  nowMs,
  observedCall,
  ObserverFixture,
  pod,
  sandboxId,
} from '../testing/observer-fixture';

const remove = observedCall('RemoveContainer', { containerId });
const removed = {
  containerId,
  podSandboxId: sandboxId,
  pod,
  name: 'main',
  attempt: 0,
  image: { reference: imageId, imageId },
  observedBy: 'call',
};

test('publishes the removal with the names that are known', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer({ phase: 'exited' })] });
  await fixture.observe(remove);
  expect(fixture.events).toEqual([
    { name: 'ContainerRemoved', subject: containerId, data: removed, time: new Date(nowMs) },
  ]);
});

test.each([
  { phase: 'created', published: ['ContainerRemoved cccc call'] },
  { phase: 'running', published: ['ContainerStopped cccc call', 'ContainerRemoved cccc call'] },
  { phase: 'exited', published: ['ContainerRemoved cccc call'] },
  { phase: 'removed', published: [] },
] as const)('of a container that was $phase publishes $published', async ({ phase, published }) => {
  const fixture = new ObserverFixture({ containers: [knownContainer({ phase })] });
  await fixture.observe(remove);
  expect(fixture.published).toEqual(published);
});

test('says neither code nor request of a container that was removed while it ran', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  await fixture.observe(remove);
  expect(fixture.events[0]?.data).toEqual(removed);
});

test('of a container that was killed with it has the exit that the runtime showed before', async () => {
  const exit = { exitCode: 137, reason: 'Error', finishedAtMs: nowMs };
  const fixture = new ObserverFixture({ containers: [knownContainer({ exit })] });
  await fixture.observe(remove);
  expect(fixture.events.map(({ data }) => data)).toEqual([
    { ...removed, exitCode: 137, reason: 'Error', finishedAt: isoTime(nowMs) },
    removed,
  ]);
});

test('removing what nobody knew is no news', async () => {
  const fixture = new ObserverFixture();
  await fixture.observe(remove);
  expect(fixture.events).toEqual([]);
});

test('removing twice publishes one removal', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer({ phase: 'exited' })] });
  await fixture.observe(remove);
  await fixture.observe(remove);
  expect(fixture.published).toEqual(['ContainerRemoved cccc call']);
});
