import { commandSubject, eventCatalog, eventSubject } from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import {
  AckPolicy,
  connect,
  headers,
  type ConsumerConfig,
  type NatsConnection,
  type StreamConfig,
} from 'nats';
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { consumeEvents, type EventBus } from './index';
import { streamConfig } from './stream';
import { recordingLog, temporaryFolder, testBus } from './testing/test-bus';

/**
 * Each role can do its part and nothing else, by the server's own judgement and by what comes of
 * it.
 */

const script = path.join(__dirname, '../../../deploy/nats/permissions.mjs');
const cleanUps: (() => unknown)[] = [];
const { log } = recordingLog();
let server: TestNatsServer;
let node1: EventBus;

const print = (...args: string[]) => execFileSync(process.execPath, [script, ...args]).toString();

/** A server with the roles that `args` ask for. */
async function startServer(...args: string[]): Promise<TestNatsServer> {
  // The server takes passwords from its environment; here each is the user's name.
  const config = print(...args).replace(
    /user: "(.*)"\n(\s*)password: \$\w+/g,
    'user: "$1"\n$2password: "$1"',
  );
  const started = await TestNatsServer.start({ config });
  cleanUps.push(() => started.remove());
  return started;
}

function serviceBus(url: string): EventBus {
  const stateDir = temporaryFolder();
  cleanUps.push(() => rmSync(stateDir, { recursive: true, force: true }));
  const user = 'service-worker-1_example_net';
  const bus = testBus({ stateDir, url, nats: { servers: [url], user, password: user } });
  cleanUps.push(() => bus.close({ drainMs: 0 }));
  return bus;
}

/** What an operator does once, with what the script prints for it. */
async function makeStream(operator: NatsConnection): Promise<void> {
  const { streams, consumers } = await operator.jetstreamManager();
  await streams.add(JSON.parse(print('--format', 'stream')) as StreamConfig);
  for (const name of ['capacity', 'other']) {
    const config = print('--format', 'consumer', '--consumer', name);
    await consumers.add('STOWAGE_EVENTS', JSON.parse(config) as ConsumerConfig);
  }
}

beforeAll(async () => {
  server = await startServer(
    ...['--node', 'worker-1.example.net', '--node', 'worker-2', '--consumer', 'capacity'],
    ...['--consumer', 'other', '--operator', 'sre'],
  );
  await makeStream(await login('operator-sre', '_INBOX_sre'));
  node1 = serviceBus(server.url);
});

afterAll(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function login(
  user: string,
  inboxPrefix?: string,
  { url } = server,
): Promise<NatsConnection> {
  const connection = await connect({
    servers: url,
    user,
    pass: user,
    ...(inboxPrefix && { inboxPrefix }),
  });
  cleanUps.push(() => connection.close());
  return connection;
}

const publish = () => node1.publish('ContainerStarted', eventCatalog.ContainerStarted.example);
const delivered = () => node1.flush({ signal: AbortSignal.timeout(60_000) });

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
  await eventually(() => complaints.length > 0, { timeoutMs: 5000 });
  return complaints[0] ?? '';
}

it('a service publishes the events of its node, with the defaults of its configuration', async () => {
  publish();
  expect(await delivered()).toBe(true);
  expect(node1.status().reason).toBeUndefined();
});

it('a service waits with a reason until an operator has made the stream', async () => {
  const fresh = await startServer('--node', 'worker-1.example.net', '--operator', 'sre');
  const bus = serviceBus(fresh.url);
  bus.publish('ContainerStarted', eventCatalog.ContainerStarted.example);
  await eventually(() => bus.status().reason?.startsWith('JetStream did not') === true);
  // Servers before 2.10 do not report that nobody listens in another account.
  expect(bus.status().reason).toMatch(
    /^JetStream did not acknowledge: (503|TIMEOUT); stream STOWAGE_EVENTS does not exist, and this login may not create it$/,
  );
  await makeStream(await login('operator-sre', '_INBOX_sre', fresh));
  expect(await bus.flush({ signal: AbortSignal.timeout(60_000) })).toBe(true);
  expect(bus.status().reason).toBeUndefined();
});

it('the stream that the script prints is the one that services make, and closed to roll-ups', () => {
  const printed = JSON.parse(print('--format', 'stream')) as Partial<StreamConfig>;
  expect(printed).toMatchObject(streamConfig({}));
  expect(printed.allow_rollup_hdrs).toBe(false);
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
    ['make the stream', '$JS.API.STREAM.CREATE.STOWAGE_EVENTS'],
    ['make the stream in the account of the streams', 'stowage.api.STREAM.CREATE.STOWAGE_EVENTS'],
    ['make other streams', '$JS.API.STREAM.CREATE.OTHER'],
    ['look for services', '$SRV.PING'],
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
    await expect(operator.request(subject, '{}')).rejects.toThrow(/503|TIMEOUT/);
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

it('an operator finds the services of a node, each instance, and no other node is asked', async () => {
  const asked: string[] = [];
  for (const [user, name] of [
    ['service-worker-2', 'a'],
    ['service-worker-2', 'b'],
    ['service-worker-1_example_net', 'c'],
  ] as const) {
    const service = await login(user);
    service.subscribe('$SRV.*', {
      callback: (_error, message) => {
        asked.push(name);
        message.respond(JSON.stringify({ name, subject: message.subject }));
      },
    });
    await service.flush();
  }
  const operator = await login('operator-sre', '_INBOX_sre');
  const replies = await operator.requestMany('stowage.srv.worker-2.PING', '', { maxWait: 1000 });
  const found: { name: string; subject: string }[] = [];
  for await (const reply of replies) found.push(reply.json());
  expect(found.map(({ name }) => name).sort()).toEqual(['a', 'b']);
  expect(new Set(found.map(({ subject }) => subject))).toEqual(new Set(['$SRV.PING']));
  expect(asked).not.toContain('c');
});

it('--discovery has an operator ask all nodes at once', () => {
  const config = print(
    '--node',
    'worker-1',
    '--node',
    'worker-2',
    '--operator',
    'o',
    '--discovery',
  );
  const imports = config.split('\n').filter((line) => /account: .*NODE_.*SRV/.test(line));
  expect(imports.filter((line) => !line.includes('to:'))).toHaveLength(2);
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
  await eventually(() => seen.length > 0);
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
  await eventually(() => seen.length >= 2);
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
  await eventually(() => seen.length > 0);
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
  ['make its consumer', '$JS.API.CONSUMER.CREATE.STOWAGE_EVENTS.capacity.x'],
  ['make its durable consumer', 'stowage.api.CONSUMER.DURABLE.CREATE.STOWAGE_EVENTS.capacity'],
  ["make a consumer of another's name", '$JS.API.CONSUMER.CREATE.STOWAGE_EVENTS.other.x'],
  ["delete another's consumer", '$JS.API.CONSUMER.DELETE.STOWAGE_EVENTS.other'],
  ["take another's messages", '$JS.API.CONSUMER.MSG.NEXT.STOWAGE_EVENTS.other'],
  [
    "take another's messages in the account of the streams",
    'stowage.api.CONSUMER.MSG.NEXT.STOWAGE_EVENTS.other',
  ],
  ["acknowledge another's messages", '$JS.ACK.STOWAGE_EVENTS.other.1.1.1.1.1'],
  ['answer in the place of a service', '_INBOX_sre.abc'],
  ['look for services', '$SRV.PING'],
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

/**
 * The server publishes answers with rights of its own, on the subject that a request names for its
 * reply. So what a role may not publish it must not get published either.
 */
describe('tricks with what the server publishes by itself', () => {
  const events = eventSubject('worker-2', 'ContainerStarted');
  const ofNode1 = eventSubject('worker-1.example.net', 'ContainerStarted');
  /** A part of the API by both ways to it. */
  const api = (request: string) => [`$JS.API.${request}`, `stowage.api.${request}`];
  const next = JSON.stringify({ batch: 5, expires: 200_000_000 });

  /** What a role may ask for, with an answer. */
  const requests: Record<string, [subject: string, body: string][]> = {
    'service-worker-2': [
      [events, 'not an event'],
      ...api('STREAM.INFO.STOWAGE_EVENTS').map((subject): [string, string] => [subject, '']),
    ],
    'consumer-capacity': [
      ...['INFO', 'STREAM.INFO.STOWAGE_EVENTS', 'CONSUMER.INFO.STOWAGE_EVENTS.capacity']
        .flatMap(api)
        .map((subject): [string, string] => [subject, '']),
      ...api('CONSUMER.MSG.NEXT.STOWAGE_EVENTS.capacity').map((subject): [string, string] => [
        subject,
        next,
      ]),
      ...['+ACK', '-NAK', '+WPI', `+NXT ${next}`].map((ack): [string, string] => [
        '$JS.ACK.STOWAGE_EVENTS.capacity.1.1.1.1.1',
        ack,
      ]),
      ['stowage.dead-letter.capacity.n.image.pulled', 'x'],
    ],
  };

  const targets = [
    ...api('STREAM.PURGE.STOWAGE_EVENTS'),
    ...api('STREAM.DELETE.STOWAGE_EVENTS'),
    ...api('CONSUMER.DELETE.STOWAGE_EVENTS.other'),
    ...api('CONSUMER.MSG.NEXT.STOWAGE_EVENTS.other'),
    '$JS.ACK.STOWAGE_EVENTS.other.1.1.1.1.1',
    commandSubject('worker-1.example.net', 'gc-worker', 'run'),
    ofNode1,
    'stowage.dead-letter.other.n.image.pulled',
    '_INBOX.abc',
    '_INBOX_sre.abc',
    '_INBOX_other.abc',
  ];

  /** All that others of the roles may hear. */
  async function listeners(): Promise<{ heard: string[]; flush: () => Promise<void> }> {
    const heard: string[] = [];
    const logins: [user: string, subjects: string[], inboxPrefix?: string][] = [
      [
        'service-worker-1_example_net',
        [
          'stowage.cmd.worker-1_example_net.>',
          'stowage.event.worker-1_example_net.>',
          '_INBOX.abc',
        ],
      ],
      ['operator-sre', ['_INBOX_sre.abc', 'stowage.dead-letter.>'], '_INBOX_sre'],
      ['consumer-other', ['_INBOX_other.abc'], '_INBOX_other'],
    ];
    const connections = await Promise.all(
      logins.map(async ([user, subjects, inboxPrefix]) => {
        const connection = await login(user, inboxPrefix);
        for (const subject of subjects) {
          connection.subscribe(subject, {
            callback: (_error, message) => heard.push(`${user} ${message.subject}`),
          });
        }
        await connection.flush();
        return connection;
      }),
    );
    return {
      heard,
      flush: async () => {
        await Promise.all(connections.map((connection) => connection.flush()));
      },
    };
  }

  /** The stream and its consumers, as far as the roles may not change them. */
  async function standing(operator: NatsConnection) {
    const { streams, consumers } = await operator.jetstreamManager();
    const { state } = await streams.info('STOWAGE_EVENTS', { subjects_filter: ofNode1 });
    const other = await consumers.info('STOWAGE_EVENTS', 'other');
    return {
      first: state.first_seq,
      deleted: state.num_deleted,
      ofNode1: state.subjects?.[ofNode1],
      consumers: state.consumer_count,
      delivered: other.delivered.consumer_seq,
      acknowledged: other.ack_floor.consumer_seq,
    };
  }

  it.each(Object.keys(requests))(
    '%s has no answer published where it may not publish itself',
    async (user) => {
      publish();
      await delivered();
      const operator = await login('operator-sre', '_INBOX_sre');
      const before = await standing(operator);
      const { heard, flush } = await listeners();
      const role = await login(user, user === 'consumer-capacity' ? '_INBOX_capacity' : undefined);
      for (const [subject, body] of requests[user] ?? []) {
        for (const reply of targets) role.publish(subject, body, { reply });
      }
      await role.flush();
      // What waits for messages has ended by the time that the server answers this one.
      await eventually(async () => {
        const { num_waiting: waiting } = await (
          await operator.jetstreamManager()
        ).consumers.info('STOWAGE_EVENTS', 'capacity');
        return waiting === 0;
      });
      await flush();
      // Dead letters of its own are its part.
      const own = 'operator-sre stowage.dead-letter.capacity.n.image.pulled';
      expect(heard.filter((line) => line !== own)).toEqual([]);
      expect(await standing(operator)).toEqual(before);
    },
  );

  it('a service that listens to all inboxes hears nothing of others', async () => {
    const heard: string[] = [];
    const other = await login('service-worker-2');
    other.subscribe('_INBOX.>', { callback: (_error, { subject }) => heard.push(subject) });
    await other.flush();
    publish();
    expect(await delivered()).toBe(true);
    await other.flush();
    expect(heard).toEqual([]);
  });

  it('a service that is first cannot make a stream that takes in commands and replies', async () => {
    const fresh = await startServer('--node', 'worker-2', '--operator', 'sre');
    const service = await login('service-worker-2', undefined, fresh);
    const config = { name: 'STOWAGE_EVENTS', subjects: ['stowage.>', '_INBOX.>'] };
    for (const subject of api('STREAM.CREATE.STOWAGE_EVENTS')) {
      service.publish(subject, JSON.stringify(config), { reply: '_INBOX.abc' });
    }
    await service.flush();
    const operator = await login('operator-sre', '_INBOX_sre', fresh);
    expect(await (await operator.jetstreamManager()).streams.names().next()).toEqual([]);
  });

  it('a consumer cannot have events delivered to a subject of its choice', async () => {
    const operator = await login('operator-sre', '_INBOX_sre');
    const before = await standing(operator);
    const { heard, flush } = await listeners();
    const consumer = await login('consumer-capacity', '_INBOX_capacity');
    for (const target of targets) {
      const config = {
        durable_name: 'capacity',
        ack_policy: 'none',
        deliver_subject: target,
        headers_only: true,
      };
      const body = JSON.stringify({ stream_name: 'STOWAGE_EVENTS', config });
      const create = ['CREATE.STOWAGE_EVENTS.capacity', 'DURABLE.CREATE.STOWAGE_EVENTS.capacity'];
      for (const subject of [...create, 'CREATE.STOWAGE_EVENTS'].flatMap((request) =>
        api(`CONSUMER.${request}`),
      )) {
        consumer.publish(subject, body, { reply: '_INBOX_capacity.x' });
      }
    }
    await consumer.flush();
    await operator.flush();
    await flush();
    expect(heard).toEqual([]);
    expect(await standing(operator)).toEqual(before);
  });

  it.each([
    ['empties the stream', 'Nats-Rollup', 'all'],
    ['has a trace of it sent to a command', 'Nats-Trace-Dest', targets[9] ?? ''],
  ])('a header of an event never %s', async (_what, name, value) => {
    publish();
    await delivered();
    const operator = await login('operator-sre', '_INBOX_sre');
    const before = await standing(operator);
    const { heard, flush } = await listeners();
    const service = await login('service-worker-2');
    const header = headers();
    header.set(name, value);
    service.publish(events, 'x', { headers: header });
    await service.flush();
    await flush();
    expect(heard).toEqual([]);
    expect(await standing(operator)).toEqual(before);
  });
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
  [['--format', 'consumer'], '--format consumer needs one --consumer'],
  [['--format', 'yaml'], '--format: yaml is not allowed; allowed: conf, nsc, stream, consumer'],
])('the script refuses %j', (args, message) => {
  let stderr = '';
  try {
    execFileSync(process.execPath, [script, ...args], { stdio: 'pipe' });
  } catch (error) {
    stderr = String((error as { stderr: Buffer }).stderr);
  }
  expect(stderr.split('\n')[0]).toBe(message);
});
