import {
  containerId,
  imageId,
  knownContainer,
  knownSandbox,
  observedCall,
  ObserverFixture,
  sandboxConfig,
  sandboxId,
} from '../testing/observer-fixture';

/** A promise and what resolves it. */
function gate(): { opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

const config = { metadata: { name: 'main' }, image: { image: 'team/app:1' } };
const create = observedCall(
  'CreateContainer',
  { podSandboxId: sandboxId, config, sandboxConfig },
  { containerId },
);
const start = observedCall('StartContainer', { containerId });
const stop = observedCall('StopContainer', { containerId });
const remove = observedCall('RemoveContainer', { containerId });

test('events of a container keep the order of its calls while lookups take their time', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()] });
  const { opened, open } = gate();
  to.facts.gate = opened;
  to.facts.exited(containerId);
  for (const call of [create, start, stop, remove]) to.calls.ended(call);
  expect(to.events).toEqual([]);
  open();
  await to.calls.settled();
  expect(to.told).toEqual([
    'ContainerCreated cccc call',
    'ContainerStarted cccc call',
    'ContainerStopped cccc call',
    'ContainerRemoved cccc call',
  ]);
});

test('a container does not wait for the lookups of another', async () => {
  const otherId = 'd'.repeat(64);
  const to = new ObserverFixture({
    containers: [knownContainer(), knownContainer({ id: otherId, phase: 'exited' })],
  });
  const { opened, open } = gate();
  to.facts.gate = opened;
  to.calls.ended(stop);
  to.calls.ended(observedCall('RemoveContainer', { containerId: otherId }));
  await to.queue.run(otherId, () => undefined);
  expect(to.told).toEqual(['ContainerRemoved dddd call']);
  open();
  await to.calls.settled();
});

test('a removal of the sandbox comes after the exits that its stop still looks up', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()], containers: [knownContainer()] });
  const { opened, open } = gate();
  to.facts.gate = opened;
  to.facts.exited(containerId);
  to.calls.ended(observedCall('StopPodSandbox', { podSandboxId: sandboxId }));
  to.calls.ended(observedCall('RemovePodSandbox', { podSandboxId: sandboxId }));
  open();
  await to.calls.settled();
  expect(to.told).toEqual([
    'ContainerStopped cccc call',
    'PodSandboxStopped aaaa call',
    'ContainerRemoved cccc call',
    'PodSandboxRemoved aaaa call',
  ]);
  expect(to.events[0]?.data).toMatchObject({ exitCode: 137 });
});

describe('a change seen otherwise', () => {
  const seenExited = { id: containerId, phase: 'exited', observedBy: 'listing' } as const;

  test('waits for a call in flight that may be its cause, and is then told by the call', async () => {
    const to = new ObserverFixture({
      containers: [knownContainer()],
      attributionWaitMs: 10_000,
    });
    to.facts.exited(containerId);
    to.calls.started(stop.method);
    const seen = to.changes.container(seenExited);
    to.calls.ended(stop);
    await seen;
    expect(to.told).toEqual(['ContainerStopped cccc call']);
  });

  test('does not wait for calls that cannot be its cause', async () => {
    const to = new ObserverFixture({
      containers: [knownContainer()],
      attributionWaitMs: 3_600_000,
    });
    to.facts.exited(containerId);
    to.calls.started('/runtime.v1.RuntimeService/RunPodSandbox');
    await to.changes.container(seenExited);
    expect(to.events[0]?.data).toMatchObject({ requested: false, observedBy: 'listing' });
  });

  test('waits for a limited time, and is then told without saying who asked', async () => {
    const to = new ObserverFixture({ containers: [knownContainer()], attributionWaitMs: 5 });
    to.facts.exited(containerId);
    to.calls.started(stop.method);
    await to.changes.container(seenExited);
    expect(to.told).toEqual(['ContainerStopped cccc listing']);
    expect(to.events[0]?.data).not.toHaveProperty('requested');
  });

  test('is not told when a call told it while it waited for its lookup', async () => {
    const to = new ObserverFixture({ containers: [knownContainer()] });
    to.facts.exited(containerId);
    const { opened, open } = gate();
    to.facts.gate = opened;
    to.calls.started(stop.method);
    to.calls.ended(stop);
    const seen = to.changes.container(seenExited);
    open();
    await Promise.all([seen, to.calls.settled()]);
    expect(to.told).toEqual(['ContainerStopped cccc call']);
  });
});

test('calls beyond the bound are dropped as failures, and a listing is asked for', async () => {
  const to = new ObserverFixture({
    containers: [knownContainer({ image: { reference: imageId } })],
  });
  const { opened, open } = gate();
  to.facts.gate = opened;
  for (let number = 0; number < 10_001; number++) to.calls.ended(stop);
  open();
  await to.calls.settled();
  expect(to.failures).toEqual(['StopContainer: queue of observed calls is full: limit 10000']);
  expect(to.relistsScheduled).toBe(1);
});
