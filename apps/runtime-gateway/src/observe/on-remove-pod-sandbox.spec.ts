import {
  containerId,
  knownContainer,
  knownSandbox,
  nowMs,
  observedCall,
  ObserverFixture,
  pod,
  sandboxId,
} from '../testing/observer-fixture';

const remove = observedCall('RemovePodSandbox', { podSandboxId: sandboxId });

test('tells the removal of the containers still in it, then its own', async () => {
  const to = new ObserverFixture({
    sandboxes: [knownSandbox({ phase: 'stopped' })],
    containers: [
      knownContainer({ phase: 'exited' }),
      knownContainer({ id: 'd'.repeat(64), phase: 'removed' }),
      knownContainer({ id: 'e'.repeat(64), podSandboxId: 'another' }),
    ],
  });
  await to.observe(remove);
  expect(to.told).toEqual(['ContainerRemoved cccc call', 'PodSandboxRemoved aaaa call']);
  expect(to.events[1]).toEqual({
    name: 'PodSandboxRemoved',
    subject: sandboxId,
    data: { podSandboxId: sandboxId, pod, observedBy: 'call' },
    time: new Date(nowMs),
  });
});

test('of a sandbox that was ready tells the stops too', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()], containers: [knownContainer()] });
  await to.observe(remove);
  expect(to.told).toEqual([
    'ContainerStopped cccc call',
    'ContainerRemoved cccc call',
    'PodSandboxStopped aaaa call',
    'PodSandboxRemoved aaaa call',
  ]);
  expect(to.objects.container(containerId)?.phase).toBe('removed');
});

test.each([
  ['removed', [knownSandbox({ phase: 'removed' })]],
  ['unknown', []],
] as const)('removing a sandbox that is %s is no news', async (_what, sandboxes) => {
  const to = new ObserverFixture({ sandboxes });
  await to.observe(remove);
  expect(to.events).toEqual([]);
});
