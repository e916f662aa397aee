import { assertEventData, eventCatalog, streamName } from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import { connect, nanos, StorageType, StringCodec, type NatsConnection } from 'nats';
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { EventTooLargeError, maxEventBytes, StateDirInUseError, type EventBus } from './index';
import { streamEvents, temporaryFolder, testBus } from './testing/test-bus';
import type { EventBusOptions } from './types';

const root = path.join(__dirname, '../../..');
const unavailable = eventCatalog.RuntimeUnavailable.example;

let server: TestNatsServer;
let stateDir: string;
const cleanUps: (() => unknown)[] = [];

beforeEach(() => {
  stateDir = temporaryFolder();
  cleanUps.push(() => rmSync(stateDir, { recursive: true, force: true }));
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function startServer(...args: Parameters<typeof TestNatsServer.start>): Promise<void> {
  server = await TestNatsServer.start(...args);
  cleanUps.push(() => server.remove());
}

function openBus(options: Partial<EventBusOptions> = {}) {
  const bus = testBus({ stateDir, url: server.url, ...options });
  cleanUps.push(() => bus.close({ drainMs: 0 }));
  return bus;
}

const publish = (bus: EventBus, count: number, subject = 'unix:///x.sock') =>
  Array.from({ length: count }, () =>
    bus.publish('RuntimeUnavailable', { subject, data: unavailable.data }),
  );

const flushed = (bus: EventBus) => bus.flush({ signal: AbortSignal.timeout(60_000) });

async function stream(): Promise<{ ids: string[]; sequences: number[] }> {
  const events = await streamEvents(server.url);
  return {
    ids: events.map(({ event }) => event.id),
    sequences: events.map(({ event }) => event.sequence),
  };
}

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function onServer<T>(use: (connection: NatsConnection) => Promise<T>): Promise<T> {
  const connection = await connect({ servers: server.url });
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}

describe('delivery', () => {
  it('reaches the stream as CloudEvents, in order, with the id as Nats-Msg-Id', async () => {
    await startServer();
    const bus = openBus();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const time = new Date('2026-11-20T22:12:00.000Z');
    const first = bus.publish('RuntimeUnavailable', { ...unavailable, traceparent, time });
    const second = bus.publish('ContainerCreated', {
      subject: 'c0ffee',
      data: eventCatalog.ContainerCreated.example.data,
      traceparent: 'not a traceparent',
    });
    expect(await flushed(bus)).toBe(true);
    expect(await streamEvents(server.url)).toEqual([
      {
        subject: 'stowage.event.worker-1_example_net.runtime.unavailable',
        msgId: first,
        contentType: 'application/cloudevents+json',
        event: {
          name: 'RuntimeUnavailable',
          id: first,
          source: '/nodes/worker-1.example.net/gc-worker',
          node: 'worker-1.example.net',
          app: 'gc-worker',
          subject: unavailable.subject,
          time,
          sequence: 1,
          traceparent,
          data: unavailable.data,
        },
      },
      {
        subject: 'stowage.event.worker-1_example_net.container.created',
        msgId: second,
        contentType: 'application/cloudevents+json',
        event: expect.objectContaining({ id: second, subject: 'c0ffee', sequence: 2 }) as unknown,
      },
    ]);
    const { connected, reason, pending, published, dropped } = bus.status();
    expect({ connected, reason, pending, published, dropped }).toEqual({
      connected: true,
      reason: undefined,
      pending: 0,
      published: 2,
      dropped: 0,
    });
    const { config } = await onServer(async (nc) =>
      (await nc.jetstreamManager()).streams.info(streamName),
    );
    expect(config).toMatchObject({
      storage: StorageType.File,
      subjects: ['stowage.event.>'],
      max_age: nanos(7 * 24 * 3600 * 1000),
      max_bytes: 1024 ** 3,
      duplicate_window: nanos(120_000),
    });
  });

  it('goes on with the sequence after a restart', async () => {
    await startServer();
    for (const expected of [3, 6]) {
      const bus = openBus();
      publish(bus, 3);
      await flushed(bus);
      await bus.close();
      expect((await stream()).sequences).toEqual(range(1, expected));
    }
  });

  it('close delivers what is there, within its time, and later events are lost without a throw', async () => {
    await startServer();
    const bus = openBus();
    await eventually(() => bus.status().connected);
    const ids = publish(bus, 1000);
    await bus.close({ drainMs: 20_000 });
    expect((await stream()).ids).toEqual(ids);
    expect(publish(bus, 1)).toHaveLength(1);
    expect(bus.status()).toMatchObject({ connected: false, pending: 0, dropped: 1 });
    expect(await bus.flush()).toBe(true);
    await bus.close();
  });

  it('data that break the schema are refused before anything is written', async () => {
    server = await TestNatsServer.absent();
    cleanUps.push(() => server.remove());
    const bus = openBus();
    const bad = { endpoint: 'x', unavailableSince: 'yesterday', reason: '' };
    expect(() => bus.publish('RuntimeUnavailable', { subject: 'x', data: bad })).toThrow(
      'data of RuntimeUnavailable: unavailableSince: must be an RFC 3339 time with zone',
    );
    expect(() => bus.publish('RuntimeUnavailable', { ...unavailable, subject: '' })).toThrow(
      'event RuntimeUnavailable: subject: required',
    );
    expect(() =>
      bus.publish('RuntimeUnavailable', { ...unavailable, time: new Date(Number.NaN) }),
    ).toThrow('event RuntimeUnavailable: time: not a valid time');
    expect(() =>
      bus.publish('ImageDetected', {
        subject: 'x',
        data: {
          ...eventCatalog.ImageDetected.example.data,
          repoTags: Array.from({ length: 12_000 }, (_, i) => `registry/${'x'.repeat(80)}:${i}`),
        },
      }),
    ).toThrow(EventTooLargeError);
    expect(maxEventBytes).toBe(1047552);
    expect(bus.status().pending).toBe(0);
  });
});

describe('NATS away', () => {
  it('absent at start: says so, keeps events, and delivers them when it comes', async () => {
    server = await TestNatsServer.absent();
    cleanUps.push(() => server.remove());
    const bus = openBus();
    const seen: NatsConnection[] = [];
    bus.onConnected((connection) => seen.push(connection));
    const ids = publish(bus, 50);
    await eventually(() => bus.status().reason?.includes('not available') === true);
    expect(bus.status()).toMatchObject({
      connected: false,
      pending: 50,
      oldestPendingAt: expect.any(Date) as Date,
      reason: `NATS at ${server.url} is not available: connect ECONNREFUSED 127.0.0.1:${String(server.port)}`,
    });
    expect(bus.natsConnection()).toBeUndefined();
    await server.start();
    expect(await flushed(bus)).toBe(true);
    expect((await stream()).ids).toEqual(ids);
    expect(bus.status()).toMatchObject({ connected: true, published: 50, failures: 0 });
    expect(seen).toEqual([bus.natsConnection()]);
  });

  it('down for a while with 2 000 events: all arrive, in order, none twice', async () => {
    await startServer();
    const bus = openBus();
    const states: boolean[] = [];
    bus.onStatus(({ reason }) => states.push(reason === undefined));
    const ids = publish(bus, 10);
    await flushed(bus);
    await server.kill();
    await eventually(() => !bus.status().connected);
    expect(bus.status().reason).toBe(`NATS at ${server.url} is not available: connection lost`);
    ids.push(...publish(bus, 2000));
    expect(bus.status()).toMatchObject({ pending: 2000, dropped: 0 });
    await server.start();
    expect(await flushed(bus)).toBe(true);
    expect(await stream()).toEqual({ ids, sequences: range(1, 2010) });
    expect(states).toEqual([true, false, true]);
  });

  it('killed and restarted several times under load: all arrive, in order, none twice', async () => {
    await startServer();
    const bus = openBus();
    const ids: string[] = [];
    let stop = false;
    const load = (async () => {
      while (!stop) {
        ids.push(...publish(bus, 20));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    for (let round = 1; round <= 3; round += 1) {
      const before = bus.status().published;
      await eventually(() => bus.status().published > before + 200);
      await server.kill();
      await eventually(() => !bus.status().connected);
      await server.start();
    }
    stop = true;
    await load;
    expect(await flushed(bus)).toBe(true);
    const { ids: stored, sequences } = await stream();
    expect(stored).toEqual(ids);
    expect(sequences).toEqual(range(1, ids.length));
  });

  it('slow: an answer that does not come leaves publish fast and the events kept', async () => {
    await startServer();
    const bus = openBus();
    publish(bus, 1);
    await flushed(bus);
    server.pause();
    const begin = performance.now();
    publish(bus, 200);
    expect(performance.now() - begin).toBeLessThan(10_000);
    await eventually(() => bus.status().reason !== undefined);
    expect(bus.status()).toMatchObject({
      connected: true,
      reason: 'JetStream did not acknowledge: TIMEOUT',
      pending: 200,
    });
    server.resume();
    expect(await flushed(bus)).toBe(true);
    expect((await stream()).sequences).toEqual(range(1, 201));
    expect(bus.status().reason).toBeUndefined();
  });

  it('closing while NATS is away keeps the events for the next run', async () => {
    server = await TestNatsServer.absent();
    cleanUps.push(() => server.remove());
    const first = openBus();
    const ids = publish(first, 5);
    await first.close();
    await server.start();
    const second = openBus();
    expect(await flushed(second)).toBe(true);
    expect((await stream()).ids).toEqual(ids);
  });
});

describe('the process is killed', () => {
  function publisher(count: number) {
    const child = spawn(
      process.execPath,
      [
        '--import',
        'tsx',
        path.join(__dirname, 'testing/publisher-process.ts'),
        stateDir,
        server.url,
        String(count),
      ],
      { env: { ...process.env, TSX_TSCONFIG_PATH: path.join(root, 'tsconfig.json') }, cwd: root },
    );
    const exited = new Promise((resolve) => child.once('exit', resolve));
    cleanUps.push(() => kill(child, exited));
    const lines: string[] = [];
    createInterface(child.stdout).on('line', (line) => lines.push(line));
    child.stderr.on('data', (text: Buffer) => process.stderr.write(text));
    const line = async (start: string) => {
      await eventually(() => lines.some((text) => text.startsWith(start)), { timeoutMs: 60_000 });
      return lines.find((text) => text.startsWith(start))!;
    };
    return { child, line, kill: () => kill(child, exited), write: () => child.stdin.write('go\n') };
  }

  async function kill(child: ChildProcessWithoutNullStreams, exited: Promise<unknown>) {
    child.kill('SIGKILL');
    await exited;
  }

  it('before anything was sent: another run delivers everything under the same ids', async () => {
    server = await TestNatsServer.absent();
    cleanUps.push(() => server.remove());
    const { line, kill: killNow, write } = publisher(500);
    await line('open');
    write();
    const ids = (await line('written')).split(' ').slice(1);
    await killNow();
    await server.start();
    const bus = openBus();
    expect(bus.status().pending).toBe(500);
    expect(await flushed(bus)).toBe(true);
    expect(await stream()).toEqual({ ids, sequences: range(1, 500) });
  });

  it('between sending and acknowledgement: sent again under the same ids, stored once', async () => {
    await startServer();
    const first = openBus();
    publish(first, 1);
    await flushed(first);
    await first.close();
    const { line, kill: killNow, write } = publisher(100);
    await line('open');
    await eventually(() =>
      onServer(async (nc) => (await nc.request('$JS.API.INFO')).data.length > 0),
    );
    server.pause();
    write();
    const ids = (await line('written')).split(' ').slice(1);
    await killNow();
    server.resume();
    const bus = openBus();
    expect(bus.status().pending).toBe(100);
    publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
    const stored = await stream();
    expect(stored.ids.slice(1, 101)).toEqual(ids);
    expect(stored.sequences).toEqual(range(1, 102));
  });

  it('a second process on the same state directory is refused', async () => {
    server = await TestNatsServer.absent();
    cleanUps.push(() => server.remove());
    const bus = openBus();
    publish(bus, 1);
    const { line } = publisher(1);
    expect(await line('STATE')).toBe(
      `STATE_DIR_IN_USE state directory ${stateDir} is in use by another process: each service needs one of its own`,
    );
    expect(() => openBus()).toThrow(StateDirInUseError);
    expect(bus.status().pending).toBe(1);
  });
});

describe('the outbox is full', () => {
  it('the oldest go, and a consumer sees where the gap is', async () => {
    server = await TestNatsServer.absent();
    cleanUps.push(() => server.remove());
    const bus = openBus({ outbox: { maxEvents: 100 } });
    publish(bus, 250);
    expect(bus.status()).toMatchObject({ pending: 101, dropped: 150 });
    await server.start();
    expect(await flushed(bus)).toBe(true);
    const events = await streamEvents(server.url);
    expect(events.map(({ event }) => event.sequence)).toEqual(range(150, 250));
    const [first] = events;
    expect(first?.subject).toBe('stowage.event.worker-1_example_net.events.dropped');
    if (first?.event.name !== 'EventsDropped') throw new Error('the first is not EventsDropped');
    expect(first.event.subject).toBe('/nodes/worker-1.example.net/gc-worker');
    expect(first.event.data).toMatchObject({
      reason: 'outbox-full',
      count: 150,
      firstSequence: 1,
      lastSequence: 150,
      countByName: { RuntimeUnavailable: 150 },
    });
    assertEventData('EventsDropped', first.event.data);
  });

  it('an event larger than the server takes does not hold up the others', async () => {
    await startServer({ config: 'max_payload: 4096' });
    const bus = openBus();
    publish(bus, 2);
    bus.publish('RuntimeUnavailable', {
      subject: 'x'.repeat(5000),
      data: unavailable.data,
    });
    publish(bus, 2);
    expect(await flushed(bus)).toBe(true);
    const events = await streamEvents(server.url);
    expect(events.map(({ event }) => [event.sequence, event.name])).toEqual([
      [1, 'RuntimeUnavailable'],
      [2, 'RuntimeUnavailable'],
      [3, 'EventsDropped'],
      [4, 'RuntimeUnavailable'],
      [5, 'RuntimeUnavailable'],
    ]);
    expect(events[2]?.event.data).toMatchObject({ reason: 'too-large', count: 1 });
    expect(bus.status().dropped).toBe(1);
  });

  it('an outbox file that cannot be read costs its events and nothing else', async () => {
    await startServer();
    const before = openBus();
    publish(before, 3);
    await flushed(before);
    await before.close();
    writeFileSync(path.join(stateDir, 'outbox.db'), 'x'.repeat(10_000));
    const bus = openBus();
    expect(bus.lines.map(({ message }) => message)).toContain(
      'outbox file could not be read: it was set aside and a new one begun; the events in it are not delivered',
    );
    publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
    const events = await streamEvents(server.url);
    expect(events.slice(3).map(({ event }) => event.name)).toEqual([
      'EventsDropped',
      'RuntimeUnavailable',
    ]);
    expect(events[3]?.event.data).toEqual({ reason: 'outbox-corrupt' });
    const sequences = events.map(({ event }) => event.sequence);
    expect([...sequences].sort((a, b) => a - b)).toEqual(sequences);
  });
});

describe('the disk of the outbox is full', () => {
  it('events go through memory, and back to the disk when there is room', async () => {
    await startServer();
    const mount = path.join(stateDir, 'small');
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'stowage-test', mount]);
    cleanUps.push(() => execFileSync('umount', [mount]));
    const bus = openBus({ stateDir: path.join(mount, 'state') });
    publish(bus, 1);
    await flushed(bus);
    await server.kill();
    await eventually(() => !bus.status().connected);
    const filler = path.join(mount, 'filler');
    execFileSync('sh', ['-c', `cat /dev/zero > ${filler} 2>/dev/null || true`]);
    const ids = publish(bus, 300);
    expect(bus.status().reason).toMatch(/outbox file cannot be written: .*(full|disk)/);
    expect(bus.status().pending).toBe(300);
    await server.start();
    expect(await flushed(bus)).toBe(true);
    expect((await stream()).ids.slice(1)).toEqual(ids);
    rmSync(filler);
    await eventually(() => bus.status().reason === undefined);
    ids.push(...publish(bus, 1));
    expect(await flushed(bus)).toBe(true);
    const stored = await stream();
    expect(stored.ids.slice(1)).toEqual(ids);
    expect(stored.sequences).toEqual(range(1, 302));
  });
});

describe('the file system of the outbox is read-only at the start', () => {
  /** A folder that can be made read-only, with what a killed process left in it. */
  const readOnlyAfter = (prepare: (bus: EventBus) => void) => {
    const mount = path.join(stateDir, 'mount');
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', 'stowage-test', mount]);
    cleanUps.push(() => execFileSync('umount', [mount]));
    const live = path.join(stateDir, 'live');
    const before = openBus({ stateDir: live });
    prepare(before);
    // As SIGKILL leaves it: the last commits stand in the log only.
    cpSync(live, path.join(mount, 'state'), { recursive: true });
    execFileSync('mount', ['-o', 'remount,ro', mount]);
    return {
      before,
      state: path.join(mount, 'state'),
      fresh: path.join(mount, 'fresh'),
      writable: () => execFileSync('mount', ['-o', 'remount,rw', mount]),
    };
  };

  it('what waits in the file is delivered, the sequence goes on, and the file catches up', async () => {
    await startServer();
    await server.kill();
    const ids: string[] = [];
    const disk = readOnlyAfter((bus) => ids.push(...publish(bus, 5)));
    await disk.before.close();
    let bus = openBus({ stateDir: disk.state });
    expect(bus.status()).toMatchObject({ pending: 5, isOnDisk: false });
    expect(bus.status().reason).toMatch(
      /outbox file cannot be written: EROFS: read-only file system/,
    );
    expect(bus.nextSequence()).toBe(6);
    ids.push(...publish(bus, 3));
    await server.start();
    expect(await flushed(bus)).toBe(true);
    expect(await stream()).toMatchObject({ ids, sequences: range(1, 8) });
    disk.writable();
    ids.push(...publish(bus, 1));
    await eventually(() => bus.status().isOnDisk);
    expect(await flushed(bus)).toBe(true);
    await bus.close();
    bus = openBus({ stateDir: disk.state });
    expect(bus.status()).toMatchObject({ pending: 0, isOnDisk: true });
    ids.push(...publish(bus, 1));
    expect(await flushed(bus)).toBe(true);
    expect(await stream()).toMatchObject({ ids, sequences: range(1, 10) });
  });

  it('a folder that cannot even be made is begun with once it can', async () => {
    await startServer();
    const disk = readOnlyAfter(() => undefined);
    const bus = openBus({ stateDir: disk.fresh });
    const ids = publish(bus, 2);
    expect(bus.status().isOnDisk).toBe(false);
    expect(await flushed(bus)).toBe(true);
    disk.writable();
    ids.push(...publish(bus, 1));
    await eventually(() => bus.status().isOnDisk);
    expect(await flushed(bus)).toBe(true);
    expect(await stream()).toMatchObject({ ids, sequences: range(1, 3) });
  });
});

describe('JetStream and the stream', () => {
  const disabled =
    'JetStream is not enabled for this account on the NATS server: events are kept here';

  it('a server without JetStream: a clear reason, events kept until it has it', async () => {
    await startServer({ jetStream: false });
    const bus = openBus();
    const ids = publish(bus, 3);
    await eventually(() => bus.status().reason === disabled);
    expect(bus.status()).toMatchObject({ connected: true, pending: 3, dropped: 0 });
    await server.kill();
    await server.start();
    expect(await flushed(bus)).toBe(true);
    expect((await stream()).ids).toEqual(ids);
  });

  it('an account without JetStream: the same', async () => {
    await startServer({
      config: `accounts { WITH { jetstream: enabled, users: [{user: a, password: a}] }
                 WITHOUT { users: [{user: b, password: b}] } }`,
    });
    const bus = openBus({ nats: { servers: [server.url], user: 'b', password: 'b' } });
    publish(bus, 3);
    await eventually(() => bus.status().reason === disabled);
    expect(bus.status()).toMatchObject({ connected: true, pending: 3, dropped: 0 });
  });

  it('a stream deleted under us is created again and nothing after it is lost', async () => {
    await startServer();
    const bus = openBus();
    publish(bus, 3);
    await flushed(bus);
    await onServer(async (nc) => (await nc.jetstreamManager()).streams.delete(streamName));
    const ids = publish(bus, 3);
    expect(await flushed(bus)).toBe(true);
    expect((await stream()).ids).toEqual(ids);
  });

  it('a stream with other limits is left alone with one warning', async () => {
    await startServer();
    const add = { name: streamName, subjects: ['stowage.event.>'], max_bytes: 5_000_000 };
    await onServer(async (nc) => (await nc.jetstreamManager()).streams.add(add));
    const bus = openBus();
    publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
    await server.kill();
    await eventually(() => !bus.status().connected);
    await server.start();
    publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
    const warnings = bus.lines.filter(({ message }) => message.includes('other settings'));
    expect(warnings).toEqual([
      {
        level: 'warn',
        message: 'stream exists with other settings and is left as it is',
        fields: {
          stream: streamName,
          differences: [
            'max_age is 0, configured is 604800000000000',
            'max_bytes is 5000000, configured is 1073741824',
          ],
        },
      },
    ]);
    const info = await onServer(async (nc) =>
      (await nc.jetstreamManager()).streams.info(streamName),
    );
    expect(info.config.max_bytes).toBe(5_000_000);
  });

  it('when it may not manage the stream, it waits until somebody creates it', async () => {
    await startServer();
    const bus = openBus({ stream: { manage: false } });
    const ids = publish(bus, 2);
    await eventually(() => bus.status().reason === 'JetStream did not acknowledge: 503');
    const add = { name: streamName, subjects: ['stowage.event.>'] };
    await onServer(async (nc) => (await nc.jetstreamManager()).streams.add(add));
    expect(await flushed(bus)).toBe(true);
    expect((await stream()).ids).toEqual(ids);
  });

  it('a stream of another name that holds the subjects is used as it is', async () => {
    await startServer();
    const add = { name: 'PLATFORM', subjects: ['stowage.>'] };
    await onServer(async (nc) => (await nc.jetstreamManager()).streams.add(add));
    const bus = openBus();
    publish(bus, 2);
    expect(await flushed(bus)).toBe(true);
    const { state } = await onServer(async (nc) =>
      (await nc.jetstreamManager()).streams.info('PLATFORM'),
    );
    expect(state.messages).toBe(2);
  });

  it('a stream that takes only small messages: the large one is dropped, the rest arrive', async () => {
    await startServer();
    const add = { name: streamName, subjects: ['stowage.event.>'], max_msg_size: 2000 };
    await onServer(async (nc) => (await nc.jetstreamManager()).streams.add(add));
    const bus = openBus();
    publish(bus, 1);
    publish(bus, 1, 'x'.repeat(3000));
    publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
    const events = await streamEvents(server.url);
    expect(events.map(({ event }) => event.name).sort()).toEqual([
      'EventsDropped',
      'RuntimeUnavailable',
      'RuntimeUnavailable',
    ]);
  });

  it('permissions that forbid publishing: the reason names them, events are kept', async () => {
    await startServer({
      config: `authorization { users: [{ user: a, password: a,
                 permissions: { publish: { deny: "stowage.event.>" } } }] }`,
    });
    const bus = openBus({ nats: { servers: [server.url], user: 'a', password: 'a' } });
    publish(bus, 1);
    await eventually(
      () => bus.status().reason?.startsWith('JetStream did not acknowledge') === true,
    );
    expect(bus.status().reason).toMatch(/Permissions Violation for Publish to "stowage\.event\./);
    expect(bus.status().pending).toBe(1);
  });
});

describe('logging in', () => {
  const login = async (config: string, nats: Omit<EventBusOptions['nats'], 'servers'>) => {
    await startServer({ config });
    return openBus({ nats: { servers: [server.url], reconnectWaitMs: 50, ...nats } });
  };

  it('user and password', async () => {
    const config = 'authorization { user: u, password: "p%w" }';
    const bus = await login(config, { user: 'u', password: 'p%w' });
    publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
  });

  it('token', async () => {
    const bus = await login('authorization { token: "s3cret" }', { token: 's3cret' });
    publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
  });

  it('credentials file, as nsc writes it', async () => {
    const { config, creds } = decentralisedLogin();
    const file = path.join(stateDir, 'user.creds');
    writeFileSync(file, creds);
    const bus = await login(config, { credsFile: file });
    const ids = publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
    const [stored] = await streamEvents(server.url, { credsFile: file });
    expect(stored?.event.id).toBe(ids[0]);
  });

  it('nkey from a file', async () => {
    const user = nkeys.createUser();
    const file = path.join(stateDir, 'seed');
    writeFileSync(file, `${StringCodec().decode(user.getSeed())}\n`);
    const config = `authorization { users: [{ nkey: ${user.getPublicKey()} }] }`;
    const bus = await login(config, { nkeySeedFile: file });
    publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
  });

  it('wrong password: keeps trying, reveals no secret, and recovers when the server takes it', async () => {
    const config = 'authorization { user: u, password: right }';
    const bus = await login(config, { user: 'u', password: 'wrong-secret' });
    const ids = publish(bus, 1);
    await eventually(() => bus.status().reason?.includes('Authorization Violation') === true);
    expect(JSON.stringify([bus.status(), bus.lines])).not.toContain('wrong-secret');
    await server.kill();
    await server.start({ config: 'authorization { user: u, password: wrong-secret }' });
    expect(await flushed(bus)).toBe(true);
    const [stored] = await streamEvents(server.url, {
      user: 'u',
      password: 'wrong-secret',
    });
    expect(stored?.event.id).toBe(ids[0]);
  });

  it.each([
    ['credsFile', { credsFile: '/nonexistent/creds' }],
    ['nkeySeedFile', { nkeySeedFile: '/nonexistent/seed' }],
  ])('a %s that is not there is named, and the service goes on', async (_case, nats) => {
    const bus = await login('authorization { user: u, password: p }', nats);
    publish(bus, 1);
    await eventually(() => bus.status().reason?.includes('/nonexistent/') === true);
    expect(bus.status()).toMatchObject({ connected: false, pending: 1 });
  });

  it('TLS with an own CA and a client certificate', async () => {
    const tls = path.join(stateDir, 'tls');
    mkdirSync(tls);
    makeCertificates(tls);
    const file = (name: string) => path.join(tls, name);
    const config = `tls { cert_file: "${file('server.pem')}", key_file: "${file('server.key')}",
                          ca_file: "${file('ca.pem')}", verify: true }`;
    const certificates = {
      caFile: file('ca.pem'),
      certFile: file('client.pem'),
      keyFile: file('client.key'),
    };
    const bus = await login(config, { tls: certificates });
    const ids = publish(bus, 1);
    expect(await flushed(bus)).toBe(true);
    const [stored] = await streamEvents(server.url, { tls: certificates });
    expect(stored?.event.id).toBe(ids[0]);
    const stranger = testBus({
      stateDir: path.join(stateDir, 'stranger'),
      url: server.url,
      nats: { servers: [server.url.replace('nats:', 'tls:')] },
    });
    cleanUps.push(() => stranger.close({ drainMs: 0 }));
    await eventually(() => stranger.status().reason?.includes('certificate') === true);
  });
});

interface KeyPair {
  getPublicKey(): string;
  getSeed(): Uint8Array;
  sign(data: Uint8Array): Uint8Array;
}

/** The key pairs of the client library, which it does not export. */
const { nkeys } = jest.requireActual<{
  nkeys: Record<'createOperator' | 'createAccount' | 'createUser', () => KeyPair>;
}>('nats/lib/nats-base-client/nkeys');

/**
 * A server configuration with operator, system account and an account for events, and a user's
 * creds file.
 */
function decentralisedLogin(): { config: string; creds: string } {
  const base64 = (value: string | Uint8Array) => Buffer.from(value).toString('base64url');
  const jwt = (issuer: KeyPair, subject: KeyPair, name: string, nats: object) => {
    const claims = {
      jti: name,
      iat: Math.floor(Date.now() / 1000),
      iss: issuer.getPublicKey(),
      sub: subject.getPublicKey(),
      name,
      nats: { version: 2, ...nats },
    };
    const head = base64(JSON.stringify({ typ: 'JWT', alg: 'ed25519-nkey' }));
    const text = `${head}.${base64(JSON.stringify(claims))}`;
    return `${text}.${base64(issuer.sign(Buffer.from(text)))}`;
  };
  const [operator, system, account, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ];
  const unlimited = {
    subs: -1,
    data: -1,
    payload: -1,
    imports: -1,
    exports: -1,
    wildcards: true,
    conn: -1,
    leaf: -1,
  };
  const jetStream = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const operatorJwt = jwt(operator, operator, 'operator', {
    type: 'operator',
    system_account: system.getPublicKey(),
  });
  const systemJwt = jwt(operator, system, 'SYS', { type: 'account', limits: unlimited });
  const accountJwt = jwt(operator, account, 'EVENTS', {
    type: 'account',
    limits: { ...unlimited, ...jetStream },
  });
  const userJwt = jwt(account, user, 'service', { type: 'user', subs: -1, data: -1, payload: -1 });
  return {
    config: `operator: ${operatorJwt}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload: { ${system.getPublicKey()}: ${systemJwt}, ${account.getPublicKey()}: ${accountJwt} }`,
    creds: `-----BEGIN NATS USER JWT-----
${userJwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${StringCodec().decode(user.getSeed())}
------END USER NKEY SEED------
`,
  };
}

function makeCertificates(folder: string): void {
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=test CA',
    '-days',
    '2',
  );
  writeFileSync(path.join(folder, 'san'), 'subjectAltName=IP:127.0.0.1');
  for (const name of ['server', 'client']) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key'],
      ...['-CAcreateserial', '-out', `${name}.pem`, '-days', '2', '-extfile', 'san'],
    );
  }
  for (const name of readdirSync(folder)) chmodSync(path.join(folder, name), 0o600);
}
