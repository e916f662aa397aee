import type { ContainerObservation } from './lifecycle';
import {
  containerId,
  imageId,
  knownContainer,
  knownSandbox,
  nowMs,
  ObserverFixture,
  pod,
  sandboxId,
} from '../testing/observer-fixture';

const seen = (more: Omit<ContainerObservation, 'id' | 'observedBy'>): ContainerObservation => ({
  id: containerId,
  podSandboxId: sandboxId,
  image: { reference: imageId, imageId },
  observedBy: 'runtime-event',
  ...more,
});
/** Names of events, and how many milliseconds ago they happened. */
const times = (fixture: ObserverFixture) =>
  fixture.events.map(({ name, time }) => [name, nowMs - Number(time)]);
const ran = {
  createdAtMs: nowMs - 9000,
  startedAtMs: nowMs - 8000,
  finishedAtMs: nowMs - 5000,
  exitCode: 0,
};

describe('the time of an event is when it happened', () => {
  test('of a container: as its status says, also of phases that nobody saw', () => {
    const fixture = new ObserverFixture();
    fixture.lifecycle.container(seen({ phase: 'exited', ...ran, atMs: nowMs - 4990 }));
    fixture.lifecycle.container(seen({ phase: 'removed', atMs: nowMs - 4000 }));
    expect(times(fixture)).toEqual([
      ['ContainerCreated', 9000],
      ['ContainerStarted', 8000],
      ['ContainerStopped', 5000],
      ['ContainerRemoved', 4000],
    ]);
  });

  test('of a sandbox: as its status or the event of the runtime says', () => {
    const fixture = new ObserverFixture();
    const sandbox = { id: sandboxId, pod, observedBy: 'runtime-event' } as const;
    fixture.lifecycle.sandbox({
      ...sandbox,
      phase: 'ready',
      createdAtMs: nowMs - 9000,
      atMs: nowMs - 8000,
    });
    fixture.lifecycle.sandbox({ ...sandbox, phase: 'removed', atMs: nowMs - 4000 });
    expect(times(fixture)).toEqual([
      ['PodSandboxStarted', 9000],
      ['PodSandboxStopped', 4000],
      ['PodSandboxRemoved', 4000],
    ]);
  });

  test('without a time of its own: when what followed happened, or now', () => {
    const fixture = new ObserverFixture({ containers: [knownContainer({ phase: 'created' })] });
    fixture.lifecycle.container(
      seen({ phase: 'exited', startedAtMs: nowMs - 8000, atMs: nowMs - 7000 }),
    );
    fixture.lifecycle.container(seen({ phase: 'removed' }));
    expect(times(fixture)).toEqual([
      ['ContainerStarted', 8000],
      ['ContainerStopped', 7000],
      ['ContainerRemoved', 0],
    ]);
  });
});

describe('the time never decreases along the life of an object', () => {
  test.each([
    {
      sentence: 'a start that the runtime dates before the answer to the creation',
      known: knownContainer({ phase: 'created', phaseAtMs: nowMs - 100 }),
      now: seen({ phase: 'running', startedAtMs: nowMs - 103 }),
      published: [['ContainerStarted', 100]],
    },
    {
      sentence: 'an end before its start',
      known: knownContainer({ phase: 'created', phaseAtMs: nowMs - 9000 }),
      now: seen({ phase: 'exited', ...ran, finishedAtMs: nowMs - 8005 }),
      published: [
        ['ContainerStarted', 8000],
        ['ContainerStopped', 8000],
      ],
    },
    {
      sentence: 'a removal that an older event shows',
      known: knownContainer({ phase: 'exited', phaseAtMs: nowMs - 10 }),
      now: seen({ phase: 'removed', atMs: nowMs - 20_000 }),
      published: [['ContainerRemoved', 10]],
    },
    {
      sentence: 'a time in the future',
      known: knownContainer({ phase: 'created', phaseAtMs: nowMs - 100 }),
      now: seen({ phase: 'running', startedAtMs: nowMs + 60_000 }),
      published: [['ContainerStarted', 0]],
    },
  ])('$sentence', ({ known, now, published }) => {
    const fixture = new ObserverFixture({ containers: [known] });
    fixture.lifecycle.container(now);
    expect(times(fixture)).toEqual(published);
  });

  test('a sandbox, over a restart', () => {
    const before = new ObserverFixture({ sandboxes: [knownSandbox()] });
    const sandbox = { id: sandboxId, observedBy: 'runtime-event' } as const;
    before.lifecycle.sandbox({ ...sandbox, phase: 'stopped', atMs: nowMs - 10 });
    const after = new ObserverFixture({ sandboxes: before.objects.sandboxes() });
    after.lifecycle.sandbox({ ...sandbox, phase: 'removed', atMs: nowMs - 15 });
    expect(times(after)).toEqual([['PodSandboxRemoved', 10]]);
  });
});
