import { newUlid, openEventBus, type EventBus } from '@stowage/event-bus';
import { createEvent, eventCatalog, streamName } from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import { connect, type ConsumerConfig, type StreamConfig } from 'nats';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

const root = path.join(__dirname, '../..');
const cleanUps: (() => unknown)[] = [];
const passwords = {
  STOWAGE_PASSWORD_CONSUMER_CAPACITY: 'secret',
  STOWAGE_PASSWORD_OPERATOR_SRE: 'of-operator',
};
let nats: TestNatsServer;
/** Without its scheme. */
let address: string;
let bus: EventBus;

beforeEach(async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-subscriber-'));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  nats = await TestNatsServer.absent({ env: passwords });
  cleanUps.push(() => nats.remove());
  address = `127.0.0.1:${nats.port}`;
  const quiet = () => undefined;
  bus = openEventBus({
    stateDir: path.join(folder, 'state'),
    node: 'worker-1.example.net',
    app: 'image-service',
    nats: { servers: [nats.url], reconnectWaitMs: 50 },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  cleanUps.push(() => bus.close({ drainMs: 0 }));
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> => {
  const { exitCode, signalCode } = child;
  if (exitCode != null || signalCode != null) return exitCode;
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  child.kill(signal);
  return exited;
};

function subscriber(...args: string[]) {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', path.join(__dirname, 'main.ts'), '--nats', address, ...args],
    {
      cwd: root,
      env: {
        ...process.env,
        TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json'),
        STOWAGE_NATS_PASSWORD: 'secret',
      },
    },
  );
  cleanUps.push(() => end(child, 'SIGKILL'));
  const lines: string[] = [];
  const notes: string[] = [];
  createInterface(child.stdout).on('line', (line) => lines.push(line));
  createInterface(child.stderr).on('line', (line) => notes.push(line));
  const until = (what: string, condition: () => boolean) =>
    eventually(condition, { timeoutMs: 60_000, what }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${[...lines, ...notes].join('\n')}`);
    });
  return { child, lines, notes, until };
}

/** What the README gives the program under a durable name, but for the address of NATS. */
function shownArguments(durable: string): string[] {
  const readme = readFileSync(path.join(__dirname, 'README.md'), 'utf8');
  const lines = [...readme.matchAll(/^.*run-ts\.mjs \S+main\.ts --nats \S+ (.*)$/gm)];
  const shown = lines.map(([, words = '']) => words.split(' '));
  return shown.find((words) => words.includes(durable)) ?? ['--unknown'];
}

const pulled = () => bus.publish('ImagePulled', eventCatalog.ImagePulled.example);
const delivered = () => bus.flush({ signal: AbortSignal.timeout(60_000) });

it('waits for NATS and for the stream, then prints readable lines', async () => {
  const reader = subscriber(...shownArguments('my-team'));
  await reader.until('the note', () => reader.notes.includes(`waiting for NATS at ${address}`));
  await nats.start();
  pulled();
  bus.publish('RuntimeUnavailable', eventCatalog.RuntimeUnavailable.example);
  await reader.until('two lines', () => reader.lines.length === 2);
  expect(reader.lines[0]).toMatch(
    /^20\S+Z worker-1\.example\.net image-service #1 ImagePulled: pulled registry\.example:5000\/team\/app:1\.4: 50\.0 MiB in 2\.14 s, credential docker-config$/,
  );
  expect(reader.lines[1]).toContain('#2 RuntimeUnavailable: runtime unix:///run/containerd/');
  expect(await end(reader.child, 'SIGTERM')).toBe(0);
});

it('goes on where it was under its durable name, also when it or NATS was killed', async () => {
  await nats.start();
  pulled();
  await delivered();
  const first = subscriber('--durable', 'platform', '--json');
  await first.until('event 1', () => first.lines.length === 1);
  await end(first.child, 'SIGKILL');
  pulled();
  await delivered();
  const second = subscriber('--durable', 'platform', '--json');
  await second.until('event 2', () => second.lines.some((line) => line.includes('"sequence":2')));
  await nats.kill();
  pulled();
  await nats.start();
  await delivered();
  await second.until('event 3', () => second.lines.some((line) => line.includes('"sequence":3')));
  const events = second.lines.map((line) => JSON.parse(line) as { sequence: number; id: string });
  // The first reader was killed: its acknowledgement may have been lost, then event 1 comes again.
  expect(events.map(({ sequence }) => sequence).filter((sequence) => sequence > 1)).toEqual([2, 3]);
});

it('begins anew when its consumer or the stream is deleted, and skips what is no event', async () => {
  await nats.start();
  pulled();
  await delivered();
  const reader = subscriber('--durable', 'platform');
  await reader.until('event 1', () => reader.lines.length === 1);
  const connection = await connect({ servers: nats.url });
  cleanUps.push(() => connection.close());
  connection.publish('stowage.event.worker-1.image.pulled', '{"hello":1}');
  await reader.until('the skip', () => reader.notes.some((note) => note.startsWith('skipped: ')));
  const manager = await connection.jetstreamManager();
  await manager.consumers.delete(streamName, 'platform');
  pulled();
  await reader.until('event 2', () => reader.lines.some((line) => line.includes('#2 ')));
  await manager.streams.delete(streamName);
  pulled();
  await reader.until('event 3', () => reader.lines.some((line) => line.includes('#3 ')));
  expect(reader.lines.map((line) => /#\d+/.exec(line)?.[0])).toEqual(['#1', '#2', '#3']);
});

it('logs in as the README says where NATS has the accounts of deploy/nats', async () => {
  const script = path.join(root, 'deploy/nats/permissions.mjs');
  const print = (...args: string[]) => execFileSync(process.execPath, [script, ...args]).toString();
  await nats.start({ config: print('--consumer', 'capacity', '--operator', 'sre') });
  const operator = await connect({
    servers: nats.url,
    user: 'operator-sre',
    pass: 'of-operator',
    inboxPrefix: '_INBOX_sre',
  });
  cleanUps.push(() => operator.close());
  const { streams, consumers } = await operator.jetstreamManager();
  await streams.add({
    ...(JSON.parse(print('--format', 'stream')) as StreamConfig),
    // So that this operator may play a service.
    subjects: ['stowage.cmd.>'],
  });
  const consumer = print('--format', 'consumer', '--consumer', 'capacity');
  await consumers.add(streamName, {
    ...(JSON.parse(consumer) as ConsumerConfig),
    filter_subject: 'stowage.cmd.>',
  });
  const { example } = eventCatalog.ImagePulled;
  const attributes = {
    id: newUlid(),
    node: 'worker-1.example.net',
    app: 'image-service',
    sequence: 1,
    subject: example.subject,
    time: new Date(),
  };
  const message = JSON.stringify(createEvent('ImagePulled', attributes, example.data));
  await operator.jetstream().publish('stowage.cmd.n.a.v', message);
  const reader = subscriber(...shownArguments('capacity'));
  await reader.until('event 1', () => reader.lines.length === 1);
  expect(reader.lines[0]).toContain('#1 ImagePulled');
  expect(await end(reader.child, 'SIGTERM')).toBe(0);
  expect((await consumers.info(streamName, 'capacity')).ack_floor.stream_seq).toBe(1);
});

it('prints no password of a server', async () => {
  const secret = 'nats://svc:pa/ss,word@x';
  const child = spawn(process.execPath, ['--import', 'tsx', path.join(__dirname, 'main.ts')], {
    cwd: root,
    env: {
      ...process.env,
      TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json'),
      STOWAGE_NATS_SERVERS: `${secret}@${address}`,
    },
  });
  cleanUps.push(() => end(child, 'SIGKILL'));
  const [line] = (await once(createInterface(child.stderr), 'line')) as [string];
  expect(line).toBe(`waiting for NATS at ${address}`);
});

it.each([
  [['--from', 'yesterday'], '--from: yesterday is not allowed; allowed: all, new'],
  [['--what'], "Unknown option '--what'"],
])('%j is refused with the usage', async (args, message) => {
  const { child, notes } = subscriber(...args);
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect(code).toBe(64);
  expect(notes[0]).toContain(message);
  expect(notes[1]).toMatch(/^usage: event-subscriber /);
});
