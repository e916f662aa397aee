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

test('tells the removal with the names that are known', async () => {
  const to = new ObserverFixture({ containers: [knownContainer({ phase: 'exited' })] });
  await to.observe(remove);
  expect(to.events).toEqual([
    { name: 'ContainerRemoved', subject: containerId, data: removed, time: new Date(nowMs) },
  ]);
});

test.each([
  { phase: 'created', told: ['ContainerRemoved cccc call'] },
  { phase: 'running', told: ['ContainerStopped cccc call', 'ContainerRemoved cccc call'] },
  { phase: 'exited', told: ['ContainerRemoved cccc call'] },
  { phase: 'removed', told: [] },
] as const)('of a container that was $phase tells $told', async ({ phase, told }) => {
  const to = new ObserverFixture({ containers: [knownContainer({ phase })] });
  await to.observe(remove);
  expect(to.told).toEqual(told);
});

test('says neither code nor request of a container that was removed while it ran', async () => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  await to.observe(remove);
  expect(to.events[0]?.data).toEqual(removed);
});

test('of a container that was killed with it says the exit that the runtime told before', async () => {
  const exit = { exitCode: 137, reason: 'Error', finishedAtMs: nowMs };
  const to = new ObserverFixture({ containers: [knownContainer({ exit })] });
  await to.observe(remove);
  expect(to.events.map(({ data }) => data)).toEqual([
    { ...removed, exitCode: 137, reason: 'Error', finishedAt: isoTime(nowMs) },
    removed,
  ]);
});

test('removing what nobody knew is no news', async () => {
  const to = new ObserverFixture();
  await to.observe(remove);
  expect(to.events).toEqual([]);
});

test('removing twice tells one removal', async () => {
  const to = new ObserverFixture({ containers: [knownContainer({ phase: 'exited' })] });
  await to.observe(remove);
  await to.observe(remove);
  expect(to.told).toEqual(['ContainerRemoved cccc call']);
});
