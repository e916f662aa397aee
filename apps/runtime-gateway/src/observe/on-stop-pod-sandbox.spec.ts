import { PodSandbox, PodSandboxState } from '@stowage/cri-proto';
import {
  containerId,
  knownContainer,
  knownSandbox,
  nanoseconds,
  nowMs,
  observedCall,
  ObserverFixture,
  pod,
  sandboxId,
} from '../testing/observer-fixture';

const stop = observedCall('StopPodSandbox', { podSandboxId: sandboxId });
const otherId = 'd'.repeat(64);

test('publishes the exits of its containers, then its own stop', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox()],
    containers: [
      knownContainer(),
      knownContainer({ id: otherId, name: 'sidecar' }),
      knownContainer({ id: 'e'.repeat(64), phase: 'exited' }),
      knownContainer({ id: 'f'.repeat(64), podSandboxId: 'another' }),
    ],
  });
  for (const id of [containerId, otherId]) fixture.facts.exited(id);
  await fixture.observe(stop);
  expect(fixture.published).toEqual([
    'ContainerStopped cccc call',
    'ContainerStopped dddd call',
    'PodSandboxStopped aaaa call',
  ]);
  expect(fixture.events[1]?.data).toMatchObject({
    name: 'sidecar',
    exitCode: 137,
    requested: true,
  });
  expect(fixture.events[2]).toEqual({
    name: 'PodSandboxStopped',
    subject: sandboxId,
    data: { podSandboxId: sandboxId, pod, observedBy: 'call' },
    time: new Date(nowMs),
  });
});

test.each([
  ['stopped', knownSandbox({ phase: 'stopped' })],
  ['removed', knownSandbox({ phase: 'removed' })],
  ['not there, and never was', undefined],
] as const)('stopping a sandbox that is %s is no news', async (_what, known) => {
  const fixture = new ObserverFixture({ sandboxes: known === undefined ? [] : [known] });
  await fixture.observe(stop);
  expect(fixture.events).toEqual([]);
});

test('is published although the exits of its containers cannot be looked up', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox()],
    containers: [knownContainer()],
  });
  fixture.facts.failure = new Error('runtime away');
  await fixture.observe(stop);
  expect(fixture.published).toEqual(['PodSandboxStopped aaaa call']);
  expect(fixture.objects.container(containerId)).toMatchObject({
    phase: 'running',
    stopAskedAtMs: nowMs - 400,
  });
});

test('a sandbox that nobody knows is asked for', async () => {
  const fixture = new ObserverFixture({ observingSinceMs: nowMs - 1000 });
  fixture.facts.sandboxes.push(
    PodSandbox.fromPartial({
      id: sandboxId,
      metadata: pod,
      state: PodSandboxState.SANDBOX_NOTREADY,
      createdAt: nanoseconds(nowMs - 60_000),
    }),
  );
  await fixture.observe(stop);
  expect(fixture.events.map(({ data }) => data)).toEqual([
    { podSandboxId: sandboxId, pod, observedBy: 'call' },
  ]);
});

test('one whose end another process will see notes for it that its running containers were asked to stop', async () => {
  const fixture = new ObserverFixture({
    sandboxes: [knownSandbox()],
    containers: [
      knownContainer(),
      knownContainer({ id: otherId, phase: 'exited' }),
      knownContainer({ id: 'f'.repeat(64), podSandboxId: 'another' }),
    ],
  });
  await fixture.observe({
    ...stop,
    outcome: 'unobserved',
    response: undefined,
    grpcStatus: undefined,
  });
  expect(fixture.events).toEqual([]);
  expect(fixture.objects.container(containerId)).toMatchObject({ stopAskedAtMs: stop.startedAt });
  for (const id of [otherId, 'f'.repeat(64)]) {
    expect(fixture.objects.container(id)?.stopAskedAtMs).toBeUndefined();
  }
});
