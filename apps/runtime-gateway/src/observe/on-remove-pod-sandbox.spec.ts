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

test('publishes the removal of the containers still in it, then its own', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox({ phase: 'stopped' })],
    containers: [
      knownContainer({ phase: 'exited' }),
      knownContainer({ id: 'd'.repeat(64), phase: 'removed' }),
      knownContainer({ id: 'e'.repeat(64), podSandboxId: 'another' }),
    ],
  });
  await fixture.observe(remove);
  expect(fixture.published).toEqual(['ContainerRemoved cccc call', 'PodSandboxRemoved aaaa call']);
  expect(fixture.events[1]).toEqual({
    name: 'PodSandboxRemoved',
    subject: sandboxId,
    data: { podSandboxId: sandboxId, pod, observedBy: 'call' },
    time: new Date(nowMs),
  });
});

test('of a sandbox that was ready publishes the stops too', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox()],
    containers: [knownContainer()],
  });
  await fixture.observe(remove);
  expect(fixture.published).toEqual([
    'ContainerStopped cccc call',
    'ContainerRemoved cccc call',
    'PodSandboxStopped aaaa call',
    'PodSandboxRemoved aaaa call',
  ]);
  expect(fixture.objects.container(containerId)?.phase).toBe('removed');
});

test.each([
  ['removed', [knownSandbox({ phase: 'removed' })]],
  ['unknown', []],
] as const)('removing a sandbox that is %s is no news', async (_what, sandboxes) => {
  const fixture = new ObserverFixture({ sandboxes });
  await fixture.observe(remove);
  expect(fixture.events).toEqual([]);
});
