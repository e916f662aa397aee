import { CriError } from '@stowage/cri-client';
import {
  containerId,
  isoTime,
  knownContainer,
  knownSandbox,
  nanoseconds,
  nowMs,
  ObserverFixture,
  pod,
  sandboxId,
} from '../testing/observer-fixture';

const listing = { observedBy: 'listing' } as const;
const exited = { id: containerId, phase: 'exited', ...listing } as const;

describe('whether an exit was asked for', () => {
  test.each([
    {
      sentence: 'no, when it ended while calls were followed',
      known: knownContainer(),
      requested: false,
    },
    {
      sentence: 'not known, when it ended before calls were followed',
      known: knownContainer(),
      followingSinceMs: nowMs + 1,
      requested: undefined,
    },
    {
      sentence: 'yes, when a stop before it had no outcome that could be looked up',
      known: knownContainer({ stopAskedAtMs: nowMs - 3000 }),
      requested: true,
    },
    {
      sentence: 'no, when such a stop came after it',
      known: knownContainer({ stopAskedAtMs: nowMs + 3000 }),
      requested: false,
    },
    { sentence: 'not known of a container that nobody saw before', requested: undefined },
  ])('$sentence', async ({ known, followingSinceMs, requested }) => {
    const fixture = new ObserverFixture({
      containers: known === undefined ? [] : [known],
      followingSinceMs,
    });
    fixture.facts.exited(containerId);
    await fixture.changes.container({ ...exited, createdAtMs: nowMs - 60_000 });
    const stops = fixture.events.filter(({ name }) => name === 'ContainerStopped');
    expect(stops.map(({ data }) => (data as { requested?: boolean }).requested)).toEqual([
      requested,
    ]);
  });
});

test('an exit is published with what the status says', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer()] });
  fixture.facts.exited(containerId, { exitCode: 3 });
  await fixture.changes.container(exited);
  expect(fixture.events[0]).toMatchObject({
    data: {
      exitCode: 3,
      reason: 'Error',
      startedAt: isoTime(nowMs - 50_000),
      finishedAt: isoTime(nowMs),
    },
    time: new Date(nowMs),
  });
});

test('an exit that the runtime has shown already is not asked for again', async () => {
  const exit = { exitCode: 3, finishedAtMs: nowMs };
  const fixture = new ObserverFixture({ containers: [knownContainer({ exit })] });
  await fixture.changes.container(exited);
  expect(fixture.events[0]?.data).toMatchObject({ exitCode: 3, finishedAt: isoTime(nowMs) });
  expect(fixture.facts.asked).toEqual([]);
});

test('a container that ended since the list was made is published to its end', async () => {
  const fixture = new ObserverFixture({ containers: [knownContainer({ phase: 'created' })] });
  fixture.facts.exited(containerId);
  await fixture.changes.container({ id: containerId, phase: 'running', ...listing });
  expect(fixture.published).toEqual([
    'ContainerStarted cccc listing',
    'ContainerStopped cccc listing',
  ]);
});

test.each([
  {
    sentence: 'a container that never ran',
    facts: { startedAt: 0n, exitCode: 128, reason: 'StartError' },
    published: ['ContainerStopped cccc listing'],
  },
  {
    sentence: 'a container that started before the observing',
    facts: { startedAt: nanoseconds(nowMs - 7_200_000) },
    published: ['ContainerStopped cccc listing'],
  },
])('no start is published of $sentence', async ({ facts, published }) => {
  const fixture = new ObserverFixture({ containers: [knownContainer({ phase: 'created' })] });
  fixture.facts.exited(containerId, facts);
  await fixture.changes.container(exited);
  expect(fixture.published).toEqual(published);
});

describe('what is older than the observing', () => {
  const old = { createdAtMs: nowMs - 60_000, podSandboxId: sandboxId, pod };
  const options = { observingSinceMs: nowMs - 1000 };

  test('is remembered and not published, and the runtime is not asked about it', async () => {
    const fixture = new ObserverFixture(options);
    await fixture.changes.sandbox({ id: sandboxId, phase: 'ready', ...old, ...listing });
    await fixture.changes.container({ ...exited, ...old });
    await fixture.changes.container({ ...exited, id: 'd'.repeat(64), phase: 'running', ...old });
    expect([fixture.events, fixture.facts.asked]).toEqual([[], []]);
    expect(fixture.objects.counts).toEqual({ sandbox: 1, container: 2 });
  });

  test('is published from then on', async () => {
    const fixture = new ObserverFixture(options);
    await fixture.changes.container({ ...exited, phase: 'running', ...old });
    fixture.facts.exited(containerId);
    await fixture.changes.container({ ...exited, ...old });
    await fixture.changes.container({ id: containerId, phase: 'removed', ...listing });
    expect(fixture.published).toEqual([
      'ContainerStopped cccc listing',
      'ContainerRemoved cccc listing',
    ]);
  });
});

describe('when the status cannot be had', () => {
  test('the exit is not published while the runtime is away, however often it is seen', async () => {
    const fixture = new ObserverFixture({ containers: [knownContainer()] });
    fixture.facts.failure = new CriError('ContainerStatus', 'UNAVAILABLE', 'connection lost');
    for (let attempt = 0; attempt < 5; attempt++) {
      await expect(fixture.changes.container(exited)).rejects.toThrow('connection lost');
    }
    expect(fixture.events).toEqual([]);
  });

  test('it is published without code after three failures of the status itself', async () => {
    const fixture = new ObserverFixture({ containers: [knownContainer()] });
    fixture.facts.failure = new CriError('ContainerStatus', 'UNKNOWN', 'broken record');
    await expect(fixture.changes.container(exited)).rejects.toThrow('broken record');
    await expect(fixture.changes.container(exited)).rejects.toThrow('broken record');
    await fixture.changes.container(exited);
    expect(fixture.published).toEqual(['ContainerStopped cccc listing']);
    expect(fixture.events[0]?.data).not.toHaveProperty('exitCode');
  });
});

test('a sandbox that stopped by itself, and is gone later', async () => {
  const fixture = new ObserverFixture({ sandboxes: [knownSandbox()] });
  await fixture.changes.sandbox({ id: sandboxId, phase: 'stopped', ...listing });
  await fixture.changes.sandbox({ id: sandboxId, phase: 'stopped', ...listing });
  await fixture.changes.sandbox({ id: sandboxId, phase: 'ready', ...listing });
  await fixture.changes.sandbox({ id: sandboxId, phase: 'removed', ...listing });
  expect(fixture.published).toEqual([
    'PodSandboxStopped aaaa listing',
    'PodSandboxRemoved aaaa listing',
  ]);
});

test('events that break their schema are failures, once', async () => {
  const fixture = new ObserverFixture();
  const seen = { id: sandboxId, phase: 'ready', pod, createdAtMs: nowMs, ...listing } as const;
  await fixture.changes.sandbox({ ...seen, attempt: -1 });
  await fixture.changes.sandbox({ ...seen, attempt: -1 });
  expect(fixture.failures).toEqual([expect.stringMatching(/^PodSandboxStarted: .*attempt/)]);
});
