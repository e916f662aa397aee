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
    const to = new ObserverFixture({
      containers: known === undefined ? [] : [known],
      followingSinceMs,
    });
    to.facts.exited(containerId);
    await to.changes.container({ ...exited, createdAtMs: nowMs - 60_000 });
    const stops = to.events.filter(({ name }) => name === 'ContainerStopped');
    expect(stops.map(({ data }) => (data as { requested?: boolean }).requested)).toEqual([
      requested,
    ]);
  });
});

test('an exit is told with what the status says', async () => {
  const to = new ObserverFixture({ containers: [knownContainer()] });
  to.facts.exited(containerId, { exitCode: 3 });
  await to.changes.container(exited);
  expect(to.events[0]).toMatchObject({
    data: {
      exitCode: 3,
      reason: 'Error',
      startedAt: isoTime(nowMs - 50_000),
      finishedAt: isoTime(nowMs),
    },
    time: new Date(nowMs),
  });
});

test('an exit that the runtime has told already is not asked for again', async () => {
  const exit = { exitCode: 3, finishedAtMs: nowMs };
  const to = new ObserverFixture({ containers: [knownContainer({ exit })] });
  await to.changes.container(exited);
  expect(to.events[0]?.data).toMatchObject({ exitCode: 3, finishedAt: isoTime(nowMs) });
  expect(to.facts.asked).toEqual([]);
});

test('a container that ended since the list was made is told to its end', async () => {
  const to = new ObserverFixture({ containers: [knownContainer({ phase: 'created' })] });
  to.facts.exited(containerId);
  await to.changes.container({ id: containerId, phase: 'running', ...listing });
  expect(to.told).toEqual(['ContainerStarted cccc listing', 'ContainerStopped cccc listing']);
});

test.each([
  {
    sentence: 'a container that never ran',
    facts: { startedAt: 0n, exitCode: 128, reason: 'StartError' },
    told: ['ContainerStopped cccc listing'],
  },
  {
    sentence: 'a container that started before the observing',
    facts: { startedAt: nanoseconds(nowMs - 7_200_000) },
    told: ['ContainerStopped cccc listing'],
  },
])('no start is told of $sentence', async ({ facts, told }) => {
  const to = new ObserverFixture({ containers: [knownContainer({ phase: 'created' })] });
  to.facts.exited(containerId, facts);
  await to.changes.container(exited);
  expect(to.told).toEqual(told);
});

describe('what is older than the observing', () => {
  const old = { createdAtMs: nowMs - 60_000, podSandboxId: sandboxId, pod };
  const options = { observingSinceMs: nowMs - 1000 };

  test('is remembered and not told, and the runtime is not asked about it', async () => {
    const to = new ObserverFixture(options);
    await to.changes.sandbox({ id: sandboxId, phase: 'ready', ...old, ...listing });
    await to.changes.container({ ...exited, ...old });
    await to.changes.container({ ...exited, id: 'd'.repeat(64), phase: 'running', ...old });
    expect([to.events, to.facts.asked]).toEqual([[], []]);
    expect(to.objects.counts).toEqual({ sandbox: 1, container: 2 });
  });

  test('is told from then on', async () => {
    const to = new ObserverFixture(options);
    await to.changes.container({ ...exited, phase: 'running', ...old });
    to.facts.exited(containerId);
    await to.changes.container({ ...exited, ...old });
    await to.changes.container({ id: containerId, phase: 'removed', ...listing });
    expect(to.told).toEqual(['ContainerStopped cccc listing', 'ContainerRemoved cccc listing']);
  });
});

describe('when the status cannot be had', () => {
  test('the exit is not told while the runtime is away, however often it is seen', async () => {
    const to = new ObserverFixture({ containers: [knownContainer()] });
    to.facts.failure = new CriError('ContainerStatus', 'UNAVAILABLE', 'connection lost');
    for (let attempt = 0; attempt < 5; attempt++) {
      await expect(to.changes.container(exited)).rejects.toThrow('connection lost');
    }
    expect(to.events).toEqual([]);
  });

  test('it is told without code after three failures of the status itself', async () => {
    const to = new ObserverFixture({ containers: [knownContainer()] });
    to.facts.failure = new CriError('ContainerStatus', 'UNKNOWN', 'broken record');
    await expect(to.changes.container(exited)).rejects.toThrow('broken record');
    await expect(to.changes.container(exited)).rejects.toThrow('broken record');
    await to.changes.container(exited);
    expect(to.told).toEqual(['ContainerStopped cccc listing']);
    expect(to.events[0]?.data).not.toHaveProperty('exitCode');
  });
});

test('a sandbox that stopped by itself, and is gone later', async () => {
  const to = new ObserverFixture({ sandboxes: [knownSandbox()] });
  await to.changes.sandbox({ id: sandboxId, phase: 'stopped', ...listing });
  await to.changes.sandbox({ id: sandboxId, phase: 'stopped', ...listing });
  await to.changes.sandbox({ id: sandboxId, phase: 'ready', ...listing });
  await to.changes.sandbox({ id: sandboxId, phase: 'removed', ...listing });
  expect(to.told).toEqual(['PodSandboxStopped aaaa listing', 'PodSandboxRemoved aaaa listing']);
});

test('events that break their schema are failures, once', async () => {
  const to = new ObserverFixture();
  const seen = { id: sandboxId, phase: 'ready', pod, createdAtMs: nowMs, ...listing } as const;
  await to.changes.sandbox({ ...seen, attempt: -1 });
  await to.changes.sandbox({ ...seen, attempt: -1 });
  expect(to.failures).toEqual([expect.stringMatching(/^PodSandboxStarted: .*attempt/)]);
});
