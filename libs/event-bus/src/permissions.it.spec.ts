import { commandSubject, eventCatalog, eventSubject } from '@stowage/events';
import { AckPolicy, connect, type NatsConnection } from 'nats';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { consumeEvents, type EventBus } from './index';
import { TestNatsServer } from './testing/nats-server';
import { recordingLog, temporaryFolder, testBus } from './testing/test-bus';
import { until } from './testing/until';

/** Each role can do its part and nothing else, by the server's own judgement. */

const script = path.join(__dirname, '../../../deploy/nats/permissions.mjs');
const cleanUps: (() => unknown)[] = [];
const { log } = recordingLog();
let server: TestNatsServer;
let node1: EventBus;

beforeAll(async () => {
  const config = execFileSync(process.execPath, [
    script,
    ...['--node', 'worker-1.example.net', '--node', 'worker-2', '--consumer', 'capacity'],
    ...['--consumer', 'other', '--operator', 'sre'],
  ]).toString();
  // The server takes passwords from its environment; here each is the user's name.
  const withPasswords = config.replace(
    /user: "(.*)"\n(\s*)password: \$\w+/g,
    'user: "$1"\n$2password: "$1"',
  );
  server = await TestNatsServer.start({ config: withPasswords });
  cleanUps.push(() => server.remove());
  const stateDir = temporaryFolder();
  cleanUps.push(() => rmSync(stateDir, { recursive: true, force: true }));
  const user = 'service-worker-1_example_net';
  const nats = { servers: [server.url], user, password: user };
  node1 = testBus({ stateDir, url: server.url, nats });
  cleanUps.push(() => node1.close());
});

afterAll(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function login(user: string, inboxPrefix?: string): Promise<NatsConnection> {
  const connection = await connect({
    servers: server.url,
    user,
    pass: user,
    ...(inboxPrefix && { inboxPrefix }),
  });
  cleanUps.push(() => connection.close());
  return connection;
}

const publish = () => node1.publish('ContainerStarted', eventCatalog.ContainerStarted.example);
const delivered = () => node1.flush({ signal: AbortSignal.timeout(20_000) });

/** The server's complaint when a connection publishes or subscribes. */
async function refusal(connection: NatsConnection, act: () => unknown): Promise<string> {
  const complaints: string[] = [];
  void (async () => {
    for await (const { type, permissionContext } of connection.status()) {
      if (permissionContext === undefined) continue;
      const { operation, subject } = permissionContext;
      complaints.push(`${type} ${operation} ${subject}`);
    }
  })();
  act();
  await connection.flush();
  await until(() => complaints.length > 0, 5000);
  return complaints[0] ?? '';
}

it('a service publishes the events of its node, creating the stream', async () => {
  publish();
  expect(await delivered()).toBe(true);
  expect(node1.status().reason).toBeUndefined();
});

/** Whether the server keeps a connection from publishing or subscribing. */
const cannotPublish = async (connection: NatsConnection, subject: string) => {
  expect(await refusal(connection, () => connection.publish(subject, '{}'))).toBe(
    `error publish ${subject}`,
  );
};
const cannotListen = async (connection: NatsConnection, subject: string, queue?: string) => {
  const listen = () =>
    connection.subscribe(subject, { callback: () => undefined, ...(queue && { queue }) });
  expect(await refusal(connection, listen)).toBe(`error subscription ${subject}`);
};

describe('the service of another node', () => {
  const node1 = 'worker-1.example.net';

  it.each([
    ['publish as this node', eventSubject(node1, 'ContainerStarted')],
    ['send commands to this node', commandSubject(node1, 'gc-worker', 'run')],
    ['send commands to its own node', commandSubject('worker-2', 'gc-worker', 'run')],
    ['give an operator an answer it was not asked for', '_INBOX_sre.abc'],
    ['write dead letters', 'stowage.dead-letter.capacity.n.image.pulled'],
    ['read the stream', '$JS.API.CONSUMER.CREATE.STOWAGE_EVENTS.worker-2'],
    ['read a message of the stream', '$JS.API.STREAM.MSG.GET.STOWAGE_EVENTS'],
    ['change the stream', '$JS.API.STREAM.UPDATE.STOWAGE_EVENTS'],
    ['purge the stream', '$JS.API.STREAM.PURGE.STOWAGE_EVENTS'],
    ['delete the stream', '$JS.API.STREAM.DELETE.STOWAGE_EVENTS'],
    ['delete a message', '$JS.API.STREAM.MSG.DELETE.STOWAGE_EVENTS'],
    ['make other streams', '$JS.API.STREAM.CREATE.OTHER'],
  ])('cannot %s', async (_what, subject) => {
    await cannotPublish(await login('service-worker-2'), subject);
  });

  it.each([
    ['commands to this node', 'stowage.cmd.worker-1_example_net.>'],
    ['one command to this node', commandSubject(node1, 'gc-worker', 'status')],
    ['commands to all nodes', 'stowage.cmd.>'],
    ['events of this node', 'stowage.event.worker-1_example_net.>'],
    ['events of all nodes', 'stowage.event.>'],
    ['answers to an operator', '_INBOX_sre.>'],
    ['everything', '>'],
  ])('cannot hear %s', async (_what, subject) => {
    await cannotListen(await login('service-worker-2'), subject);
  });

  it('cannot answer commands to this node, in its queue neither', async () => {
    const other = await login('service-worker-2');
    await cannotListen(other, 'stowage.cmd.worker-1_example_net.gc-worker.*', 'gc-worker');
    const operator = await login('operator-sre', '_INBOX_sre');
    const subject = commandSubject(node1, 'gc-worker', 'status');
    await expect(operator.request(subject, '{}')).rejects.toThrow('503');
  });

  it('reaches nothing of the stream by trying', async () => {
    const operator = await login('operator-sre', '_INBOX_sre');
    const { streams } = await operator.jetstreamManager();
    const before = await streams.info('STOWAGE_EVENTS');
    const other = await login('service-worker-2');
    await cannotPublish(other, eventSubject(node1, 'ContainerStarted'));
    await cannotPublish(other, '$JS.API.STREAM.PURGE.STOWAGE_EVENTS');
    const { state } = await streams.info('STOWAGE_EVENTS');
    expect(state).toEqual(before.state);
  });
});

it('an operator sends a command and a service of that node answers', async () => {
  const service = await login('service-worker-2');
  const subject = commandSubject('worker-2', 'gc-worker', 'status');
  service.subscribe(subject, {
    callback: (_error, message) => void message.respond('{"ok":true}'),
  });
  await service.flush();
  const operator = await login('operator-sre', '_INBOX_sre');
  expect((await operator.request(subject, '{}')).json()).toEqual({ ok: true });
});

it('an operator looks after streams and consumers', async () => {
  const manager = await (await login('operator-sre', '_INBOX_sre')).jetstreamManager();
  await manager.streams.add({ name: 'COPY', subjects: ['copy.>'] });
  await manager.consumers.add('COPY', { durable_name: 'audit', ack_policy: AckPolicy.Explicit });
  await manager.consumers.delete('COPY', 'audit');
  await manager.streams.purge('COPY');
  expect(await manager.streams.delete('COPY')).toBe(true);
});

it('an operator watches events as they come', async () => {
  const operator = await login('operator-sre', '_INBOX_sre');
  const seen: string[] = [];
  operator.subscribe('stowage.event.>', {
    callback: (_error, { subject }) => void seen.push(subject),
  });
  await operator.flush();
  publish();
  await until(() => seen.length > 0);
  expect(seen).toEqual([eventSubject('worker-1.example.net', 'ContainerStarted')]);
});

it.each([
  ['publish events', eventSubject('worker-2', 'ContainerStarted')],
  ['answer in the place of a service', '_INBOX_capacity.abc'],
  ['write dead letters', 'stowage.dead-letter.capacity.n.image.pulled'],
])('an operator cannot %s', async (_what, subject) => {
  await cannotPublish(await login('operator-sre', '_INBOX_sre'), subject);
});

it.each(['stowage.cmd.>', '_INBOX.>', '_INBOX_capacity.>'])(
  'an operator cannot listen to %s',
  async (subject) => {
    await cannotListen(await login('operator-sre', '_INBOX_sre'), subject);
  },
);

it('a consumer reads the stream through the durable consumer of its name', async () => {
  const consumer = await login('consumer-capacity', '_INBOX_capacity');
  const stop = new AbortController();
  const seen: string[] = [];
  const done = consumeEvents({
    connection: consumer,
    durable: 'capacity',
    log,
    signal: stop.signal,
    handler: ({ name }) => void seen.push(name),
  });
  publish();
  await until(() => seen.length >= 2);
  expect(new Set(seen)).toEqual(new Set(['ContainerStarted']));
  stop.abort();
  await done;
});

it('a consumer puts dead letters aside under its name, and an operator sees them', async () => {
  const operator = await login('operator-sre', '_INBOX_sre');
  const manager = await operator.jetstreamManager();
  await manager.streams.add({ name: 'DEAD', subjects: ['stowage.dead-letter.>'] });
  const seen: string[] = [];
  operator.subscribe('stowage.dead-letter.>', {
    callback: (_error, { subject }) => void seen.push(subject),
  });
  await operator.flush();
  const stop = new AbortController();
  const done = consumeEvents({
    connection: await login('consumer-capacity', '_INBOX_capacity'),
    durable: 'capacity',
    deadLetter: { maxTries: 1 },
    log,
    signal: stop.signal,
    handler: () => {
      throw new Error('never');
    },
  });
  publish();
  await until(() => seen.length > 0);
  expect(seen[0]).toBe('stowage.dead-letter.capacity.worker-1_example_net.container.started');
  stop.abort();
  await done;
});

it.each([
  ['publish an event', eventSubject('worker-2', 'ContainerStarted')],
  ['send a command', commandSubject('worker-2', 'gc-worker', 'run')],
  ['send a query', commandSubject('worker-2', 'gc-worker', 'status')],
  ["write another's dead letters", 'stowage.dead-letter.other.n.image.pulled'],
  ['change the stream', '$JS.API.STREAM.UPDATE.STOWAGE_EVENTS'],
  ['delete the stream', '$JS.API.STREAM.DELETE.STOWAGE_EVENTS'],
  ['purge the stream', '$JS.API.STREAM.PURGE.STOWAGE_EVENTS'],
  ['delete a message', '$JS.API.STREAM.MSG.DELETE.STOWAGE_EVENTS'],
  ['make a stream', '$JS.API.STREAM.CREATE.OTHER'],
  ["make a consumer of another's name", '$JS.API.CONSUMER.CREATE.STOWAGE_EVENTS.other.x'],
  ["delete another's consumer", '$JS.API.CONSUMER.DELETE.STOWAGE_EVENTS.other'],
  ["take another's messages", '$JS.API.CONSUMER.MSG.NEXT.STOWAGE_EVENTS.other'],
  ["acknowledge another's messages", '$JS.ACK.STOWAGE_EVENTS.other.1.1.1.1.1'],
  ['answer in the place of a service', '_INBOX_sre.abc'],
])('a consumer cannot %s', async (_what, subject) => {
  await cannotPublish(await login('consumer-capacity', '_INBOX_capacity'), subject);
});

it.each([
  'stowage.cmd.>',
  'stowage.event.>',
  'stowage.dead-letter.>',
  '_INBOX.>',
  '_INBOX_sre.>',
  '_INBOX_other.>',
  '>',
])('a consumer cannot listen to %s', async (subject) => {
  await cannotListen(await login('consumer-capacity', '_INBOX_capacity'), subject);
});

it('nobody gets in without a login', async () => {
  await expect(connect({ servers: server.url })).rejects.toThrow('Authorization Violation');
  await expect(
    connect({ servers: server.url, user: 'operator-sre', pass: 'guessed' }),
  ).rejects.toThrow('Authorization Violation');
});

it.each([
  [['--node', 'a_b'], 'node "a_b" is not a node name'],
  [['--consumer', 'a.b'], 'consumer "a.b" is not a name: lower-case letters, digits and "-"'],
  [[], 'no --node, --consumer or --operator'],
])('the script refuses %j', (args, message) => {
  let stderr = '';
  try {
    execFileSync(process.execPath, [script, ...args], { stdio: 'pipe' });
  } catch (error) {
    stderr = String((error as { stderr: Buffer }).stderr);
  }
  expect(stderr.split('\n')[0]).toBe(message);
});
