import { eventCatalog, streamName, type StowageEvent } from '@stowage/events';
import { eventually, TestNatsServer } from '@stowage/testing';
import { connect, type NatsConnection } from 'nats';
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { consumeEvents, type EventBus, type EventGap } from './index';
import { TestNatsCluster } from './testing/nats-cluster';
import { SlowProxy } from './testing/slow-proxy';
import { recordingLog, streamEvents, temporaryFolder, testBus } from './testing/test-bus';
import type { EventBusOptions } from './types';

/**
 * What a consumer gets of a publisher under load while something goes wrong with real NATS servers
 * or the disk.
 */

const perSecond = 1000;
const cleanUps: (() => unknown)[] = [];
let stateDir: string;

beforeEach(() => {
  stateDir = temporaryFolder();
  cleanUps.push(() => rmSync(stateDir, { recursive: true, force: true }));
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function startServer(...args: Parameters<typeof TestNatsServer.start>) {
  const server = await TestNatsServer.start(...args);
  cleanUps.push(() => server.remove());
  return server;
}

function openBus(servers: readonly string[], options: Partial<EventBusOptions> = {}) {
  const url = servers[0]!;
  const bus = testBus({ stateDir, url, nats: { servers, reconnectWaitMs: 50 }, ...options });
  cleanUps.push(() => bus.close({ drainMs: 0 }));
  return bus;
}

const { data } = eventCatalog.RuntimeUnavailable.example;
const publish = (bus: EventBus) => bus.publish('RuntimeUnavailable', { subject: 'x.sock', data });
const flushed = (bus: EventBus) => bus.flush({ signal: AbortSignal.timeout(90_000) });

/** Publishes at a held rate until it is stopped; then the ids in order. */
function load(bus: EventBus, rate = perSecond) {
  const ids: string[] = [];
  const begin = performance.now();
  const timer = setInterval(() => {
    const due = ((performance.now() - begin) / 1000) * rate;
    while (ids.length < due) ids.push(publish(bus));
  }, 5);
  cleanUps.push(() => clearInterval(timer));
  return {
    ids,
    stop: () => {
      clearInterval(timer);
      return ids;
    },
    /** Goes on until so many more were published. */
    more: (count: number) => {
      const target = ids.length + count;
      return eventually(() => ids.length >= target);
    },
  };
}

async function connectTo(servers: readonly string[]): Promise<NatsConnection> {
  const connection = await connect({
    servers: [...servers],
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    reconnectJitter: 0,
  });
  cleanUps.push(() => connection.close());
  return connection;
}

/** Another service that consumes durably from the beginning, each event once by its id. */
async function consumer(servers: readonly string[]) {
  const connection = await connectTo(servers);
  const stop = new AbortController();
  const events: StowageEvent[] = [];
  const gaps: EventGap[] = [];
  const done = consumeEvents({
    connection,
    durable: 'platform',
    log: recordingLog().log,
    signal: stop.signal,
    handler: (event) => void events.push(event),
    onGap: (gap) => gaps.push(gap),
  });
  cleanUps.push(async () => {
    stop.abort();
    await done;
  });
  return {
    events,
    gaps,
    ids: () => events.map(({ id }) => id),
    sequences: () => events.map(({ sequence }) => sequence),
    has: (count: number) => eventually(() => events.length >= count, { timeoutMs: 90_000 }),
  };
}

const inStream = async (url: string) =>
  (await streamEvents(url)).map(({ event: { id, sequence } }) => ({ id, sequence }));

const inOrder = (ids: readonly string[]) => ids.map((id, index) => ({ id, sequence: index + 1 }));

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

const sorted = (ids: readonly string[]) => [...ids].sort();

describe('a cluster of three servers', () => {
  it('the leader of the stream is killed twice under load: all arrive, in order, none twice', async () => {
    const cluster = await TestNatsCluster.start();
    cleanUps.push(() => cluster.remove());
    const bus = openBus(cluster.urls, { stream: { replicas: 3 } });
    const watcher = await connectTo(cluster.urls);
    const stream = async () => {
      const { streams } = await watcher.jetstreamManager({ checkAPI: false, timeout: 1000 });
      return streams.info(streamName).catch(() => undefined);
    };
    const leader = async () => (await stream())?.cluster?.leader ?? '';
    const platform = await consumer(cluster.urls);
    const running = load(bus);
    await platform.has(1000);
    expect((await stream())?.config.num_replicas).toBe(3);
    for (let round = 0; round < 2; round += 1) {
      await eventually(async () => (await leader()) !== '');
      const killed = await leader();
      await cluster.server(killed).kill();
      await running.more(1000);
      const { published } = bus.status();
      await eventually(() => bus.status().published > published + 1000, { timeoutMs: 60_000 });
      expect(await leader()).not.toBe(killed);
      await cluster.startServer(killed);
      await eventually(
        async () => {
          const replicas = (await stream())?.cluster?.replicas;
          return replicas?.length === 2 && replicas.every(({ current }) => current);
        },
        { timeoutMs: 60_000 },
      );
    }
    const ids = running.stop();
    expect(await flushed(bus)).toBe(true);
    await platform.has(ids.length);
    expect(await inStream(cluster.urls[0]!)).toEqual(inOrder(ids));
    // A consumer whose own leader was killed may get again later what was on its way.
    expect(sorted(platform.ids())).toEqual(sorted(ids));
    expect(bus.status()).toMatchObject({ pending: 0, dropped: 0 });
  }, 300_000);
});

describe(`at ${String(perSecond)} events a second`, () => {
  it.each<[string, (server: TestNatsServer) => Promise<void>]>([
    ['stopped', (server) => server.stop()],
    ['killed', (server) => server.kill()],
  ])('the server is %s for a while: all arrive, in order, none twice', async (_how, end) => {
    const server = await startServer();
    const bus = openBus([server.url]);
    const platform = await consumer([server.url]);
    const running = load(bus);
    await platform.has(1000);
    await end(server);
    await running.more(3000);
    expect(bus.status().pending).toBeGreaterThanOrEqual(2500);
    await server.start();
    await running.more(1000);
    const ids = running.stop();
    expect(await flushed(bus)).toBe(true);
    await platform.has(ids.length);
    expect(await inStream(server.url)).toEqual(inOrder(ids));
    expect(sorted(platform.ids())).toEqual(sorted(ids));
    expect(bus.status()).toMatchObject({ pending: 0, dropped: 0 });
  });

  it('the server is absent at the start: all arrive, in order, none twice', async () => {
    const server = await TestNatsServer.absent();
    cleanUps.push(() => server.remove());
    const bus = openBus([server.url]);
    const running = load(bus);
    await running.more(2000);
    await server.start();
    const platform = await consumer([server.url]);
    await running.more(500);
    const ids = running.stop();
    await platform.has(ids.length);
    expect(platform.ids()).toEqual(ids);
    expect(platform.gaps).toEqual([]);
  });

  it('the way to the server is slow, then stalls: all arrive, in order, none twice', async () => {
    const server = await startServer();
    const proxy = await SlowProxy.start(server.port);
    cleanUps.push(() => proxy.close());
    proxy.delayMs = 150;
    const bus = openBus([proxy.url]);
    const platform = await consumer([server.url]);
    const running = load(bus);
    await platform.has(1000);
    proxy.stall();
    await eventually(() => bus.status().reason !== undefined);
    expect(bus.status()).toMatchObject({
      connected: true,
      reason: 'JetStream did not acknowledge: TIMEOUT',
    });
    await running.more(500);
    proxy.resume();
    await running.more(500);
    const ids = running.stop();
    await platform.has(ids.length);
    expect(await flushed(bus)).toBe(true);
    expect(platform.ids()).toEqual(ids);
    expect(platform.gaps).toEqual([]);
    expect(await inStream(server.url)).toEqual(inOrder(ids));
  });

  it('the server is frozen for longer than an acknowledgement may take: the same', async () => {
    const server = await startServer();
    const bus = openBus([server.url]);
    const platform = await consumer([server.url]);
    const running = load(bus);
    await platform.has(500);
    server.pause();
    await eventually(() => bus.status().reason !== undefined);
    await running.more(500);
    server.resume();
    await running.more(500);
    const ids = running.stop();
    await platform.has(ids.length);
    expect(await flushed(bus)).toBe(true);
    expect(platform.ids()).toEqual(ids);
    expect(await inStream(server.url)).toEqual(inOrder(ids));
  });

  it('the stream is deleted: what it held and nobody had read is reported as one gap, the rest arrives', async () => {
    const server = await startServer();
    const bus = openBus([server.url]);
    const platform = await consumer([server.url]);
    const running = load(bus);
    await platform.has(1000);
    const watcher = await connectTo([server.url]);
    await (await watcher.jetstreamManager()).streams.delete(streamName);
    const before = running.ids.length;
    await running.more(1500);
    const ids = running.stop();
    expect(await flushed(bus)).toBe(true);
    await eventually(() => platform.ids().includes(ids.at(-1)!));
    const missing = platform.gaps.flatMap(({ first, last }) => range(first, last));
    expect(platform.gaps.length).toBeLessThanOrEqual(1);
    // Only what was in the stream when it was deleted can be gone.
    expect(missing.every((sequence) => sequence <= before)).toBe(true);
    expect([...platform.sequences(), ...missing].sort((a, b) => a - b)).toEqual(
      range(1, ids.length),
    );
    expect(bus.status()).toMatchObject({ pending: 0, dropped: 0 });
  });

  it('the account has no JetStream until somebody gives it: all arrive, in order, none twice', async () => {
    const accounts = (jetStream: string) => `accounts {
      EVENTS { ${jetStream} users: [{ user: a, password: a }] }
      OTHER { jetstream: enabled, users: [{ user: b, password: b }] } }`;
    const server = await startServer({ config: accounts('') });
    const login = server.url.replace('//', '//a:a@');
    const bus = openBus([login]);
    const running = load(bus);
    await eventually(() => bus.status().reason?.startsWith('JetStream is not enabled') === true);
    await running.more(1000);
    const ids = running.stop();
    expect(bus.status()).toMatchObject({ connected: true, pending: ids.length, dropped: 0 });
    await server.kill();
    await server.start({ config: accounts('jetstream: enabled,') });
    expect(await flushed(bus)).toBe(true);
    const stored = await streamEvents(server.url, { user: 'a', password: 'a' });
    expect(stored.map(({ event }) => event.id)).toEqual(ids);
  });
});

describe('the file system of the outbox is full', () => {
  /** An ext4 file system of its own, as small as it can be. */
  function smallFileSystem(): { mount: string; fill: () => void; makeRoom: () => void } {
    const image = path.join(stateDir, 'image');
    const mount = path.join(stateDir, 'small');
    writeFileSync(image, '');
    truncateSync(image, 8 * 1024 * 1024);
    mkdirSync(mount);
    execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-m', '0', image]);
    execFileSync('mount', ['-o', 'loop', image, mount]);
    cleanUps.push(() => execFileSync('umount', [mount]));
    const filler = path.join(mount, 'filler');
    return {
      mount,
      fill: () => {
        execFileSync('sh', ['-c', `cat /dev/zero >> ${filler} 2>/dev/null || true; sync`]);
      },
      makeRoom: () => {
        rmSync(filler);
      },
    };
  }

  it('publishing goes on in memory, the oldest are given up, and a consumer learns of it when there is room', async () => {
    const disk = smallFileSystem();
    const server = await startServer();
    const bus = openBus([server.url], { stateDir: path.join(disk.mount, 'state') });
    const platform = await consumer([server.url]);
    publish(bus);
    await platform.has(1);
    await server.kill();
    await eventually(() => !bus.status().connected);
    disk.fill();
    const ids = Array.from({ length: 4000 }, () => publish(bus));
    const { reason, dropped, pending } = bus.status();
    expect(reason).toMatch(/outbox file cannot be written: .*(full|disk)/);
    expect(dropped).toBeGreaterThan(0);
    // All that are not dropped wait, and one event that will report what was dropped.
    expect(pending).toBe(4000 - dropped + 1);
    disk.makeRoom();
    await eventually(() => bus.status().reason?.includes('cannot be written') === false);
    await server.start();
    ids.push(publish(bus));
    expect(await flushed(bus)).toBe(true);
    await eventually(() => platform.ids().includes(ids.at(-1)!));
    const reports = platform.events.filter(({ name }) => name === 'EventsDropped');
    expect(reports.map((event) => event.data)).toMatchObject([
      { reason: 'outbox-full', count: dropped, countByName: { RuntimeUnavailable: dropped } },
    ]);
    // The first was there before; what was on disk or in memory and not dropped follows in order.
    const others = platform.events.filter(({ name }) => name !== 'EventsDropped').slice(1);
    expect(others.map(({ id }) => id)).toHaveLength(ids.length - dropped);
    expect(others.map(({ id }) => id)).toEqual(
      ids.filter((id) => others.some((event) => event.id === id)),
    );
    expect(platform.sequences()).toEqual([...platform.sequences()].sort((a, b) => a - b));
    expect(new Set(platform.ids()).size).toBe(platform.events.length);
  });
});
