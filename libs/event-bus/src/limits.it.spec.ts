import { eventCatalog, streamName } from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import {
  connect,
  DiscardPolicy,
  nanos,
  RetentionPolicy,
  StorageType,
  type NatsConnection,
  type StreamConfig,
} from 'nats';
import { rmSync } from 'node:fs';
import type { EventBus } from './index';
import { streamEvents, temporaryFolder, testBus } from './testing/test-bus';
import type { EventBusOptions, NatsOptions } from './types';

/**
 * Limits of servers, accounts and streams that are smaller than events, and streams that somebody
 * else made unfit for them.
 */

const cleanUps: (() => unknown)[] = [];
let server: TestNatsServer;
let stateDir: string;

beforeEach(() => {
  stateDir = temporaryFolder();
  cleanUps.push(() => rmSync(stateDir, { recursive: true, force: true }));
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function startServer(config = ''): Promise<void> {
  server = await TestNatsServer.start({ config });
  cleanUps.push(() => server.remove());
}

const login = { user: 'a', password: 'a' };

function openBus(nats: Partial<NatsOptions> = {}, options: Partial<EventBusOptions> = {}) {
  const bus = testBus({
    stateDir,
    url: server.url,
    nats: { servers: [server.url], reconnectWaitMs: 50, ...nats },
    ...options,
  });
  cleanUps.push(() => bus.close({ drainMs: 0 }));
  return bus;
}

async function manage<T>(
  use: (manager: Awaited<ReturnType<NatsConnection['jetstreamManager']>>) => Promise<T>,
  user?: string,
): Promise<T> {
  const connection = await connect({ servers: server.url, ...(user && { user, pass: user }) });
  try {
    return await use(await connection.jetstreamManager({ checkAPI: false }));
  } finally {
    await connection.close();
  }
}

const addStream = (config: Partial<StreamConfig>) =>
  manage(({ streams }) =>
    streams.add({ name: streamName, subjects: ['stowage.event.>'], ...config }),
  );

const { data } = eventCatalog.RuntimeUnavailable.example;
const publish = (bus: EventBus, length = 10) =>
  bus.publish('RuntimeUnavailable', { subject: 'x'.repeat(length), data });

const flushed = (bus: EventBus) => bus.flush({ signal: AbortSignal.timeout(60_000) });

/** Names and lengths of what is in the stream, in order of their sequences. */
const stored = async (nats = {}) =>
  (await streamEvents(server.url, nats))
    .map(({ event }) => event)
    .sort((a, b) => a.sequence - b.sequence);

const tooLarge = (lines: { message: string; level: string }[]) =>
  lines.filter(({ message, level }) => message.includes('larger than') && level !== 'debug');

describe('a limit that is smaller than some events', () => {
  const account = `accounts { A { jetstream: enabled, limits { max_payload: 2000 }, users: [{user: a, password: a}] } }`;

  it.each<[string, string, NatsOptions | Partial<NatsOptions>, Partial<StreamConfig> | undefined]>([
    ['of the server', 'max_payload: 2000', {}, undefined],
    ['of the account', account, login, undefined],
    ['of messages of the stream', '', {}, { max_msg_size: 2000 }],
    ['of the whole stream, which would take them and not keep them', '', {}, { max_bytes: 9000 }],
    [
      'of the whole stream, which refuses what is new',
      '',
      {},
      { max_bytes: 9000, discard: DiscardPolicy.New },
    ],
  ])(
    '%s: a run of large ones is reported by one event, the rest arrives',
    async (_what, config, nats, stream) => {
      await startServer(config);
      if (stream !== undefined) await addStream(stream);
      const bus = openBus(nats);
      publish(bus);
      for (let i = 0; i < 300; i += 1) publish(bus, 20_000);
      publish(bus);
      expect(await flushed(bus)).toBe(true);
      const events = await stored(nats);
      expect(events.map(({ name, sequence }) => [name, sequence])).toEqual([
        ['RuntimeUnavailable', 1],
        ['EventsDropped', 301],
        ['RuntimeUnavailable', 302],
      ]);
      expect(events[1]?.data).toMatchObject({
        reason: 'too-large',
        count: 300,
        firstSequence: 2,
        lastSequence: 301,
        countByName: { RuntimeUnavailable: 300 },
      });
      expect(bus.status()).toMatchObject({ pending: 0, dropped: 300 });
      expect(bus.status().reason).toBeUndefined();
      expect(tooLarge(bus.lines)).toHaveLength(1);
    },
  );

  it.each<[string, string, Partial<StreamConfig> | undefined]>([
    ['of the server', 'max_payload: 720', undefined],
    ['of messages of the stream', '', { max_msg_size: 570 }],
    ['of the whole stream', '', { max_bytes: 980 }],
  ])(
    '%s, and smaller than the event that reports it: logged once, without a loop, and reported when there is room',
    async (_what, config, stream) => {
      await startServer(config);
      if (stream !== undefined) await addStream(stream);
      const bus = openBus();
      publish(bus, 3000);
      // It fits (440 bytes), EventsDropped does not (504 bytes).
      publish(bus);
      publish(bus, 3000);
      publish(bus);
      const reason =
        'events were dropped, and the NATS server or the stream takes only messages so small that this cannot be reported';
      await eventually(() => bus.status().reason === reason);
      expect(bus.status()).toMatchObject({ connected: true, pending: 1, dropped: 2, published: 2 });
      // Whoever else has something to do gets to it, and the process is idle.
      const { user, system } = process.cpuUsage();
      for (let turns = 0; turns < 100; turns += 1) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const used = process.cpuUsage({ user, system });
      expect((used.user + used.system) / 1000).toBeLessThan(500);
      expect(tooLarge(bus.lines).length).toBe(1);
      // Events go on; the state is not reported again with each.
      const lines = bus.lines.filter(({ level }) => level !== 'debug').length;
      for (let i = 0; i < 5; i += 1) publish(bus);
      await eventually(() => bus.status().published === 7);
      expect(bus.lines.filter(({ level }) => level !== 'debug')).toHaveLength(lines);
      await server.kill();
      await eventually(() => !bus.status().connected);
      await server.start();
      if (stream !== undefined) {
        await manage(({ streams }) =>
          streams.update(streamName, { max_msg_size: -1, max_bytes: -1 }),
        );
        // The look at the stream may have come before.
        await server.kill();
        await eventually(() => !bus.status().connected);
        await server.start();
      }
      expect(await flushed(bus)).toBe(true);
      const events = await stored();
      const dropped = events.filter(({ name }) => name === 'EventsDropped');
      expect(dropped.map((event) => event.data)).toMatchObject([
        { reason: 'too-large', count: 2, firstSequence: 1, lastSequence: 3 },
      ]);
      expect(bus.status()).toMatchObject({ pending: 0, dropped: 2 });
      expect(bus.status().reason).toBeUndefined();
    },
  );
});

describe('a stream or an account without room', () => {
  it.each<[string, string, Partial<StreamConfig>, RegExp]>([
    [
      'by bytes',
      '',
      { max_bytes: 3000, discard: DiscardPolicy.New },
      /^JetStream did not acknowledge: maximum bytes exceeded$/,
    ],
    [
      'by messages',
      '',
      { max_msgs: 3, discard: DiscardPolicy.New },
      /^JetStream did not acknowledge: maximum messages exceeded$/,
    ],
    [
      'by messages of a subject',
      '',
      {
        max_msgs_per_subject: 3,
        discard: DiscardPolicy.New,
        discard_new_per_subject: true,
      },
      /^JetStream did not acknowledge: maximum messages per subject exceeded$/,
    ],
    [
      'of the account',
      `accounts { A { jetstream: { max_file: 4000 }, users: [{user: a, password: a}] } }
       no_auth_user: a`,
      {},
      /^JetStream did not acknowledge: (resource limits exceeded for account|insufficient storage resources available)$/,
    ],
  ])(
    '%s: the reason in words, events wait, and flow when there is',
    async (_what, config, stream, reason) => {
      await startServer(config);
      await addStream(stream);
      const bus = openBus();
      const ids = Array.from({ length: 20 }, () => publish(bus));
      await eventually(() => reason.test(bus.status().reason ?? ''));
      const { pending, dropped, published } = bus.status();
      expect({ total: pending + published, dropped }).toEqual({ total: 20, dropped: 0 });
      const seen = new Set<string>();
      const take = async () => {
        const { state } = await manage(({ streams }) => streams.info(streamName));
        for (const { event } of await streamEvents(server.url)) seen.add(event.id);
        await manage(({ streams }) => streams.purge(streamName, { seq: state.last_seq + 1 }));
      };
      await eventually(
        async () => {
          await take();
          return bus.status().pending === 0;
        },
        { timeoutMs: 120_000 },
      );
      await take();
      expect([...seen]).toEqual(ids);
    },
    150_000,
  );
});

describe('a stream that is unfit', () => {
  const messages = async (name: string = streamName) =>
    manage(async ({ streams }) => (await streams.info(name)).state.messages);

  it.each<[string, Partial<StreamConfig>, string]>([
    [
      'no acknowledgements',
      { no_ack: true },
      'stream STOWAGE_EVENTS has its acknowledgements off (no_ack), so nobody knows whether an event was stored: set no_ack to false',
    ],
    [
      'no acknowledgements, under another name',
      { name: 'PLATFORM', no_ack: true },
      'stream PLATFORM has its acknowledgements off (no_ack), so nobody knows whether an event was stored: set no_ack to false',
    ],
    [
      'a mirror',
      { subjects: undefined, mirror: { name: 'ORIGIN' } },
      'stream STOWAGE_EVENTS is a mirror of "ORIGIN" and takes no events: it has to be made anew',
    ],
    [
      'other subjects',
      { subjects: ['stowage.event.worker-2.>', 'stowage.event.worker-3.>'] },
      'JetStream did not acknowledge: 503; stream STOWAGE_EVENTS holds ["stowage.event.worker-2.>","stowage.event.worker-3.>"], which leaves out stowage.event.worker-1_example_net.>',
    ],
    [
      'a part of the subjects, under another name',
      { name: 'PLATFORM', subjects: ['stowage.event.worker-2.>'] },
      'JetStream did not acknowledge: 503; another stream holds a part of stowage.event.>, and which one holds the events of this node is not known: no stream matches subject',
    ],
  ])('%s: the reason in words, and nothing is sent', async (_what, config, reason) => {
    await startServer();
    await manage(({ streams }) => streams.add({ name: 'ORIGIN', subjects: ['origin'] }));
    const { name = streamName } = config;
    await addStream(config);
    const bus = openBus();
    const ids = [publish(bus), publish(bus)];
    await eventually(() => bus.status().reason === reason);
    expect(bus.status()).toMatchObject({ connected: true, pending: 2, dropped: 0 });
    expect(await messages(name)).toBe(0);
    await manage(({ streams }) => streams.delete(name));
    expect(await flushed(bus)).toBe(true);
    expect((await stored()).map(({ id }) => id)).toEqual(ids);
    expect(bus.status().reason).toBeUndefined();
  });

  it('sealed: the same', async () => {
    await startServer();
    await addStream({});
    await manage(({ streams }) => streams.update(streamName, { sealed: true } as object));
    const bus = openBus();
    publish(bus);
    const reason = 'stream STOWAGE_EVENTS is sealed and takes no events: it has to be made anew';
    await eventually(() => bus.status().reason === reason);
    expect(await messages()).toBe(0);
  });

  it('its acknowledgements turned off while events flow: each one is stored once, and more than that is not sent', async () => {
    await startServer();
    const bus = openBus();
    publish(bus);
    expect(await flushed(bus)).toBe(true);
    await manage(({ streams }) => streams.update(streamName, { no_ack: true }));
    publish(bus);
    await eventually(() => bus.status().reason?.includes('(no_ack)') === true);
    publish(bus);
    const { failures } = bus.status();
    expect(failures).toBe(1);
    expect(await messages()).toBe(2);
    await manage(({ streams }) => streams.update(streamName, { no_ack: false }));
    expect(await flushed(bus)).toBe(true);
    expect(await messages()).toBe(3);
  });

  it.each<[string, Partial<StreamConfig>, string[]]>([
    ['in memory', { storage: StorageType.Memory }, ['storage is "memory"']],
    [
      'that keeps an event until it was read',
      { retention: RetentionPolicy.Interest },
      ['retention is "interest"'],
    ],
    ['that knows sent ids for a moment', { duplicate_window: nanos(100) }, ['duplicate_window is']],
  ])('%s: used, with a warning that says what differs', async (_what, config, texts) => {
    await startServer();
    await addStream({ max_age: nanos(7 * 24 * 3600 * 1000), max_bytes: 1024 ** 3, ...config });
    const bus = openBus();
    publish(bus);
    expect(await flushed(bus)).toBe(true);
    const warnings = bus.lines.filter(({ level }) => level === 'warn');
    expect(warnings).toHaveLength(1);
    const differences = warnings[0]?.fields.differences as string[];
    expect(differences).toEqual(texts.map((text) => expect.stringContaining(text) as string));
  });

  it('a login that cannot get acknowledgements: the reason in words, and nothing is stored again and again', async () => {
    await startServer(
      `authorization { users: [
         { user: a, password: a, permissions: { subscribe: { deny: "_INBOX.>" } } }
         { user: b, password: b } ] }`,
    );
    await manage(
      ({ streams }) => streams.add({ name: streamName, subjects: ['stowage.event.>'] }),
      'b',
    );
    const bus = openBus(login);
    publish(bus);
    await eventually(() => bus.status().reason?.startsWith('acknowledgements cannot be') === true);
    expect(bus.status().reason).toMatch(/Permissions Violation for Subscription to "_INBOX\./);
    const { messages: count } = await manage(
      async ({ streams }) => (await streams.info(streamName)).state,
      'b',
    );
    expect(count).toBe(0);
  });
});
