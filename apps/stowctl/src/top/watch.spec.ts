import { imageService } from '@stowage/commands';
import { CommandError, type CommandErrorCode } from '@stowage/commands/local';
import { createEvent, eventDefinition, parseEvent, type StowageEvent } from '@stowage/events';
import { Output } from '../output/output';
import type { Reach, Transport } from '../transport/reach';
import type { TopState } from './frame';
import { Watch } from './watch';

type Reply = typeof imageService.pulls.example.reply;

const { reply } = imageService.pulls.example;
const nobody = (): Promise<never> => Promise.reject(new Error('nobody answers'));

const refused = (code: CommandErrorCode, grpcStatus?: string): CommandError =>
  new CommandError(code, 'image-service.pulls', 'node-1', 'no', { grpcStatus });

/** An event as the stream has it. */
function event(name: 'ImagePullStarted' | 'ImagePullProgress', sequence: number): StowageEvent {
  const { subject, data } = eventDefinition(name).example;
  const id = `01KAJB5V1B3D5F7H9K1N3Q${String(sequence).padStart(4, '0')}`;
  const attributes = { id, node: 'node-1', app: 'image-service', subject, sequence } as const;
  return parseEvent(
    JSON.stringify(createEvent(name, { ...attributes, time: new Date() }, data as never)),
  );
}

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
  jest.useRealTimers();
});

/** A view of nodes whose image-service answers as `follow` does, once for each attempt. */
function watching(
  follow: (node: string, attempt: number) => AsyncGenerator<Reply, void>,
  { nodes = ['node-1'], events = [] as StowageEvent[] } = {},
) {
  jest.useFakeTimers();
  const attempts = new Map<string, number>();
  const transport = {
    send: nobody,
    info: () => Promise.resolve(undefined),
    discovered: () => Promise.resolve([]),
    events: async function* () {
      yield* await Promise.resolve(events);
    },
    follow: (node: string) => {
      const attempt = (attempts.get(node) ?? 0) + 1;
      attempts.set(node, attempt);
      return follow(node, attempt);
    },
  } as unknown as Transport;
  const reach: Reach = { kind: 'local', transport, nodes };
  const stream = { write: () => true };
  const out = new Output({ format: 'table', stdout: stream, stderr: stream, colors: false });
  const stop = new AbortController();
  stops.push(stop);
  const watch = new Watch({ out, flags: { has: () => false, text: () => undefined } }, reach, {
    intervalMs: 2000,
    signal: stop.signal,
  });
  const ended = watch.run();
  return {
    watch,
    /** How often pulls were asked for. */
    attempts,
    passes: (ms: number) => jest.advanceTimersByTimeAsync(ms),
    quit: () => {
      stop.abort();
      return ended;
    },
  };
}

const pullsOf = ({ pulls, pullProblems, arePullsKnown }: TopState) => ({
  pulls: pulls.map(({ node, state, bytes, bytesPerSecond }) => [
    node,
    state,
    bytes,
    bytesPerSecond,
  ]),
  problems: pullProblems.map(({ node, problem }) => `${node}: ${problem}`),
  arePullsKnown,
});

it('has pulls as image-service says them, whatever events there are', async () => {
  const steps = [10, 20].map((bytes) => ({
    pulls: reply.pulls.map((pull) => ({
      ...pull,
      progress: { approximate: false, ...pull.progress, bytes },
    })),
  }));
  const { watch, passes, quit } = watching(
    async function* () {
      for (const step of [...steps, { pulls: [] }]) {
        yield await new Promise<Reply>((resolve) => setTimeout(resolve, 100, step));
      }
      await new Promise(() => undefined);
    },
    { events: [event('ImagePullStarted', 1), event('ImagePullProgress', 2)] },
  );
  await passes(50);
  expect(pullsOf(watch.state)).toEqual({ pulls: [], problems: [], arePullsKnown: false });
  // Of a pull that goes on, only the beginning is an event of the list.
  expect(watch.state.events.map(({ name }) => name)).toEqual(['ImagePullStarted']);
  for (const bytes of [10, 20]) {
    await passes(100);
    expect(pullsOf(watch.state)).toEqual({
      pulls: [['node-1', 'running', bytes, 17_825_000]],
      problems: [],
      arePullsKnown: true,
    });
  }
  await passes(100);
  expect(pullsOf(watch.state)).toEqual({ pulls: [], problems: [], arePullsKnown: true });
  void quit();
});

it.each<[string, Error, string]>([
  ['is away', refused('COMMAND_NO_RESPONDERS'), 'image-service does not answer'],
  ['has stopped', refused('COMMAND_REPLY_LOST'), 'image-service does not answer'],
  [
    'is of an earlier release',
    refused('COMMAND_REFUSED', 'UNIMPLEMENTED'),
    'this image-service is of an earlier release, which cannot say what it pulls',
  ],
  [
    'may not answer it',
    refused('COMMAND_REFUSED', 'PERMISSION_DENIED'),
    'image-service does not answer "pulls": add it to its key commands (STOWAGE_COMMANDS)',
  ],
  ['is too slow', refused('COMMAND_TIMEOUT'), 'image-service.pulls on node-1: no'],
])('says that image-service %s, asks seldom, and goes on', async (_what, error, problem) => {
  const { watch, attempts, passes, quit } = watching(async function* (_node, attempt) {
    if (attempt === 1) yield reply;
    if (attempt <= 4) throw error;
    yield reply;
    await new Promise(() => undefined);
  });
  await passes(1900);
  const unknown = { pulls: [], problems: [`node-1: ${problem}`], arePullsKnown: true };
  expect(pullsOf(watch.state)).toEqual(unknown);
  expect(attempts.get('node-1')).toBe(1);
  await passes(6000);
  expect(pullsOf(watch.state)).toEqual(unknown);
  expect(attempts.get('node-1')).toBe(4);
  await passes(2000);
  expect(pullsOf(watch.state)).toEqual({
    pulls: [['node-1', 'running', 35_650_000, 17_825_000]],
    problems: [],
    arePullsKnown: true,
  });
  void quit();
});

it('a node whose image-service is away hides nothing of the others', async () => {
  const { watch, passes, quit } = watching(
    async function* (node) {
      if (node === 'node-2') throw refused('COMMAND_NO_RESPONDERS');
      yield reply;
      await new Promise(() => undefined);
    },
    { nodes: ['node-1', 'node-2'] },
  );
  await passes(100);
  expect(pullsOf(watch.state)).toMatchObject({
    pulls: [['node-1', 'running', 35_650_000, 17_825_000]],
    problems: ['node-2: image-service does not answer'],
  });
  void quit();
});

it('ends with the signal, also between two attempts', async () => {
  const { passes, quit, attempts } = watching(async function* () {
    yield await Promise.resolve(reply);
  });
  await passes(5000);
  // A stream that ends is opened again, not at once.
  expect(attempts.get('node-1')).toBe(3);
  const ended = quit();
  await passes(0);
  await ended;
  expect(attempts.get('node-1')).toBe(3);
});
