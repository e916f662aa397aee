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
  const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
  const { opened, open } = gate();
  fixture.facts.gate = opened;
  fixture.facts.exited(containerId);
  for (const call of [create, start, stop, remove]) fixture.calls.ended(call);
  expect(fixture.events).toEqual([]);
  open();
  await fixture.calls.settled();
  expect(fixture.published).toEqual([
    'ContainerCreated cccc call',
    'ContainerStarted cccc call',
    'ContainerStopped cccc call',
    'ContainerRemoved cccc call',
  ]);
});

test('a container does not wait for the lookups of another', async () => {
  const otherId = 'd'.repeat(64);
  const fixture = new ObserverFixture({
    containers: [knownContainer(), knownContainer({ id: otherId, phase: 'exited' })],
  });
  const { opened, open } = gate();
  fixture.facts.gate = opened;
  fixture.calls.ended(stop);
  fixture.calls.ended(observedCall('RemoveContainer', { containerId: otherId }));
  await fixture.queue.run(otherId, () => undefined);
  expect(fixture.published).toEqual(['ContainerRemoved dddd call']);
  open();
  await fixture.calls.settled();
});

test('a removal of the sandbox comes after the exits that its stop still looks up', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox()],
    containers: [knownContainer()],
  });
  const { opened, open } = gate();
  fixture.facts.gate = opened;
  fixture.facts.exited(containerId);
  fixture.calls.ended(observedCall('StopPodSandbox', { podSandboxId: sandboxId }));
  fixture.calls.ended(observedCall('RemovePodSandbox', { podSandboxId: sandboxId }));
  open();
  await fixture.calls.settled();
  expect(fixture.published).toEqual([
    'ContainerStopped cccc call',
    'PodSandboxStopped aaaa call',
    'ContainerRemoved cccc call',
    'PodSandboxRemoved aaaa call',
  ]);
  expect(fixture.events[0]?.data).toMatchObject({ exitCode: 137 });
});

describe('a change seen otherwise', () => {
  const seenExited = { id: containerId, phase: 'exited', observedBy: 'listing' } as const;

  test('waits for a call in flight that may be its cause, and is then published by the call', async () => {
    const fixture = new ObserverFixture({
      containers: [knownContainer()],
      attributionWaitMs: 10_000,
    });
    fixture.facts.exited(containerId);
    fixture.calls.started(stop.method);
    const seen = fixture.changes.container(seenExited);
    fixture.calls.ended(stop);
    await seen;
    expect(fixture.published).toEqual(['ContainerStopped cccc call']);
  });

  test('does not wait for calls that cannot be its cause', async () => {
    const fixture = new ObserverFixture({
      containers: [knownContainer()],
      attributionWaitMs: 3_600_000,
    });
    fixture.facts.exited(containerId);
    fixture.calls.started('/runtime.v1.RuntimeService/RunPodSandbox');
    await fixture.changes.container(seenExited);
    expect(fixture.events[0]?.data).toMatchObject({ requested: false, observedBy: 'listing' });
  });

  test('waits for a limited time, and is then published without saying who asked', async () => {
    const fixture = new ObserverFixture({ containers: [knownContainer()], attributionWaitMs: 5 });
    fixture.facts.exited(containerId);
    fixture.calls.started(stop.method);
    await fixture.changes.container(seenExited);
    expect(fixture.published).toEqual(['ContainerStopped cccc listing']);
    expect(fixture.events[0]?.data).not.toHaveProperty('requested');
  });

  test('is not published when a call published it while it waited for its lookup', async () => {
    const fixture = new ObserverFixture({ containers: [knownContainer()] });
    fixture.facts.exited(containerId);
    const { opened, open } = gate();
    fixture.facts.gate = opened;
    fixture.calls.started(stop.method);
    fixture.calls.ended(stop);
    const seen = fixture.changes.container(seenExited);
    open();
    await Promise.all([seen, fixture.calls.settled()]);
    expect(fixture.published).toEqual(['ContainerStopped cccc call']);
  });
});

test('calls beyond the bound are dropped as failures, and a listing is asked for', async () => {
  const fixture = new ObserverFixture({
    containers: [knownContainer({ image: { reference: imageId } })],
  });
  const { opened, open } = gate();
  fixture.facts.gate = opened;
  for (let number = 0; number < 10_001; number++) fixture.calls.ended(stop);
  open();
  await fixture.calls.settled();
  expect(fixture.failures).toEqual(['StopContainer: queue of observed calls is full: limit 10000']);
  expect(fixture.relistsScheduled).toBe(1);
});
