import { gcWorker } from '@stowage/commands';
import { openEventBus, type EventBus } from '@stowage/event-bus';
import { commandSubject, eventCatalog, streamName } from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import { connect, type NatsConnection, type StreamConfig } from 'nats';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/**
 * The reporter as a process of its own on a real nats-server; gc-worker's side of the command is
 * played here.
 */

const root = path.join(__dirname, '../..');
const node = 'worker-1.example.net';
const cleanUps: (() => unknown)[] = [];
let url: string;
let bus: EventBus;
let connection: NatsConnection;

const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> => {
  const { exitCode, signalCode } = child;
  if (exitCode != null || signalCode != null) return exitCode;
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  child.kill(signal);
  return exited;
};

beforeEach(async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-reporter-'));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  const nats = await TestNatsServer.start();
  cleanUps.push(() => nats.remove());
  ({ url } = nats);
  connection = await connect({ servers: url });
  cleanUps.push(() => connection.close());
  const quiet = () => undefined;
  bus = openEventBus({
    stateDir: path.join(folder, 'state'),
    node,
    app: 'gc-worker',
    nats: { servers: [url], reconnectWaitMs: 50 },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  cleanUps.push(() => bus.close({ drainMs: 0 }));
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const exceeded = () => bus.publish('ThresholdExceeded', eventCatalog.ThresholdExceeded.example);

/** Answers `gc-worker.plan` as gc-worker does; the requests it got. */
async function playGcWorker(reply: object): Promise<unknown[]> {
  const requests: unknown[] = [];
  connection.subscribe(commandSubject(node, 'gc-worker', 'plan'), {
    callback: (_error, message) => {
      requests.push(message.json());
      message.respond(JSON.stringify(reply));
    },
  });
  await connection.flush();
  return requests;
}

const { reply } = gcWorker.plan.example;
const [removed, kept] = reply.images;
const plan = {
  ...reply,
  planId: '5f0c2a41',
  expectedBytes: 52428800,
  images: [
    {
      ...removed,
      repoTags: ['registry.example:5000/team/app:1.4'],
      expectedBytes: 52428800,
      why: 'not used for 5 days',
    },
    kept,
  ],
};

const summary = (...planLines: string[]) => [
  'worker-1.example.net: /var/lib/containerd is 88 % full, high mark 85 %',
  '  72.0 MiB of 600.0 MiB available, 48.0 MiB to free, full in 1 min at this rate',
  ...planLines,
];

const withPlan = summary(
  '  plan 5f0c2a41: 1 of 2 images would go, about 50.0 MiB',
  '    1. registry.example:5000/team/app:1.4 (50.0 MiB): not used for 5 days',
  '  kept: 1 in-use',
);

/**
 * A command of the README (the first by default), with this test's server. What `run-ts.mjs` does
 * is done here, so that signals reach the reporter itself.
 */
function reporter(more: string[] = [], { block = 0, at = url } = {}) {
  const readme = readFileSync(path.join(__dirname, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/```sh\n(.*)\n```/g)].map(([, command = '']) => command);
  const words = (blocks[block] ?? '').replace('nats://127.0.0.1:4222', at).split(' ');
  const variables = words.splice(0, words.indexOf('node')).map((word) => word.split('='));
  const [, runner, ...args] = words;
  expect(runner).toBe('tools/run-ts.mjs');
  const child = spawn(process.execPath, ['--import', 'tsx', ...args, ...more], {
    cwd: root,
    env: {
      ...process.env,
      ...(Object.fromEntries(variables) as Record<string, string>),
      TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json'),
    },
  });
  cleanUps.push(() => end(child, 'SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  const until = (what: string, condition: () => boolean) =>
    eventually(condition, { timeoutMs: 60_000, what }).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${stdout}\n${stderr}`);
    });
  return { child, lines: () => stdout.trimEnd().split('\n'), notes: () => stderr, until };
}

it('asks gc-worker of the node for its plan and prints a summary', async () => {
  const requests = await playGcWorker({ ok: true, result: plan });
  exceeded();
  bus.publish('ThresholdRecovered', eventCatalog.ThresholdRecovered.example);
  const { child, lines, until } = reporter();
  await until('the summary', () => lines().length === 5);
  expect(lines()).toEqual(withPlan);
  expect(requests).toEqual([{ limit: 50 }]);
  expect(await end(child, 'SIGTERM')).toBe(0);
});

it('says why there is no plan: nobody there, a refusal', async () => {
  exceeded();
  const { lines, until } = reporter();
  await until('the first summary', () => lines().length === 3);
  await playGcWorker({ ok: false, error: { code: 'UNAVAILABLE', message: 'runtime is away' } });
  exceeded();
  await until('the second summary', () => lines().length === 6);
  expect(lines()).toEqual([
    ...summary('  no plan from gc-worker: nobody answers commands there'),
    ...summary('  no plan from gc-worker: UNAVAILABLE: runtime is away'),
  ]);
});

it('an event that is stored twice is reported once', async () => {
  const requests = await playGcWorker({ ok: true, result: plan });
  exceeded();
  await bus.flush();
  const manager = await connection.jetstreamManager();
  const { subject, data } = await manager.streams.getMessage(streamName, { seq: 1 });
  await connection.jetstream().publish(subject, data); // without the id by which JetStream would know it
  exceeded();
  await bus.flush();
  const { lines, until } = reporter();
  await until('two summaries', () => lines().length === 10);
  const { state } = await manager.streams.info(streamName);
  expect([state.messages, requests.length]).toEqual([3, 2]);
  expect(lines()).toEqual([...withPlan, ...withPlan]);
});

it('logs in as the README says where NATS has the permissions of deploy/nats', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'stowage-login-'));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  const script = path.join(root, 'deploy/nats/permissions.mjs');
  const roles = ['--node', node, '--operator', 'sre'];
  const config = execFileSync(process.execPath, [script, ...roles]).toString();
  const user = 'service-worker-1_example_net';
  const env = {
    STOWAGE_PASSWORD_SERVICE_WORKER_1_EXAMPLE_NET: 'of-node',
    STOWAGE_PASSWORD_OPERATOR_SRE: 'secret',
  };
  const nats = await TestNatsServer.start({ config, env });
  cleanUps.push(() => nats.remove());
  const operator = await connect({
    servers: nats.url,
    user: 'operator-sre',
    pass: 'secret',
    inboxPrefix: '_INBOX_sre',
  });
  cleanUps.push(() => operator.close());
  const stream = execFileSync(process.execPath, [script, '--format', 'stream']).toString();
  await (await operator.jetstreamManager()).streams.add(JSON.parse(stream) as StreamConfig);
  const quiet = () => undefined;
  const worker = openEventBus({
    stateDir: path.join(folder, 'state'),
    node,
    app: 'gc-worker',
    nats: {
      servers: [nats.url],
      user,
      password: 'of-node',
      reconnectWaitMs: 50,
    },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  cleanUps.push(() => worker.close({ drainMs: 0 }));
  worker.onConnected((service) => {
    service.subscribe(commandSubject(node, 'gc-worker', 'plan'), {
      callback: (_error, message) =>
        void message.respond(JSON.stringify({ ok: true, result: plan })),
    });
  });
  worker.publish('ThresholdExceeded', eventCatalog.ThresholdExceeded.example);
  const { lines, until } = reporter([], { block: 1, at: nats.url });
  await until('the summary', () => lines().length === 5);
  expect(lines()).toEqual(withPlan);
});

it('posts to a webhook, again when that fails', async () => {
  await playGcWorker({ ok: true, result: plan });
  const posts: string[] = [];
  const webhook = createServer((request, response) => {
    let body = '';
    request.on('data', (text: Buffer) => (body += text.toString()));
    request.on('end', () => {
      posts.push(body);
      response.writeHead(posts.length === 1 ? 500 : 200).end();
    });
  });
  await new Promise<void>((resolve) => webhook.listen(0, '127.0.0.1', resolve));
  cleanUps.push(() => webhook.close());
  const { port } = webhook.address() as AddressInfo;
  exceeded();
  const { notes, until } = reporter(['--post', `http://127.0.0.1:${port}/hook/s3cret`]);
  await until('two posts', () => posts.length === 2);
  expect(posts.map((body) => JSON.parse(body) as unknown)).toEqual(
    Array(2).fill({ text: withPlan.join('\n') }),
  );
  expect(notes()).toContain('post was answered with 500');
  expect(notes()).not.toContain('s3cret');
});

it.each([
  [['--from', 'yesterday'], '--from: yesterday is not allowed; allowed: all, new'],
  [['--post', 'file:///x'], '--post: not an http or https URL'],
])('%j is refused with the usage', async (args, message) => {
  const { child, notes } = reporter(args);
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(64);
  expect(notes().split('\n')[0]).toBe(message);
});
