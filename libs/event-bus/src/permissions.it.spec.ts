import { commandSubject, eventCatalog, eventSubject } from '@stowage/events';
import { connect, type NatsConnection } from 'nats';
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

it('a service cannot publish as another node, send commands, or hear those of another node', async () => {
  const service = await login('service-worker-2');
  const asOther = eventSubject('worker-1.example.net', 'ContainerStarted');
  expect(await refusal(service, () => service.publish(asOther, '{}'))).toBe(
    `error publish ${asOther}`,
  );
  const command = commandSubject('worker-1.example.net', 'gc-worker', 'run');
  expect(await refusal(service, () => service.publish(command, '{}'))).toBe(
    `error publish ${command}`,
  );
  const others = 'stowage.cmd.worker-1_example_net.>';
  expect(
    await refusal(service, () => service.subscribe(others, { callback: () => undefined })),
  ).toBe(`error subscription ${others}`);
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

it('an operator cannot publish events', async () => {
  const operator = await login('operator-sre', '_INBOX_sre');
  const subject = eventSubject('worker-2', 'ContainerStarted');
  expect(await refusal(operator, () => operator.publish(subject, '{}'))).toBe(
    `error publish ${subject}`,
  );
});

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
  ["write another's dead letters", 'stowage.dead-letter.other.n.image.pulled'],
  ['delete the stream', '$JS.API.STREAM.DELETE.STOWAGE_EVENTS'],
  ['purge the stream', '$JS.API.STREAM.PURGE.STOWAGE_EVENTS'],
  ["take another's messages", '$JS.API.CONSUMER.MSG.NEXT.STOWAGE_EVENTS.other'],
  ["acknowledge another's messages", '$JS.ACK.STOWAGE_EVENTS.other.1.1.1.1.1'],
])('a consumer cannot %s', async (_what, subject) => {
  const consumer = await login('consumer-capacity', '_INBOX_capacity');
  expect(await refusal(consumer, () => consumer.publish(subject, '{}'))).toBe(
    `error publish ${subject}`,
  );
});

it.each(['stowage.cmd.>', '_INBOX.>', '_INBOX_sre.>'])(
  'a consumer cannot listen to %s',
  async (subject) => {
    const consumer = await login('consumer-capacity', '_INBOX_capacity');
    expect(
      await refusal(consumer, () => consumer.subscribe(subject, { callback: () => undefined })),
    ).toBe(`error subscription ${subject}`);
  },
);

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
