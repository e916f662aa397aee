import { eventCatalog } from '@stowage/events';
import { openSqlite } from '@stowage/sqlite';
import { eventually, TestNatsServer } from '@stowage/testing';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  checkEventBus,
  checkStateDir,
  openEventBusWhenFree,
  StateDirUnusableError,
  type EventBus,
} from './index';
import {
  recordingLog,
  streamEvents,
  temporaryFolder,
  testBus,
  testBusOptions,
} from './testing/test-bus';

const { data } = eventCatalog.RuntimeUnavailable.example;
const publish = (bus: EventBus, subject: string) =>
  bus.publish('RuntimeUnavailable', { subject, data });

describe('a bus whose outbox is handed over', () => {
  let server: TestNatsServer;
  let stateDir: string;
  const buses: EventBus[] = [];

  beforeEach(async () => {
    stateDir = temporaryFolder();
    server = await TestNatsServer.start();
  });

  afterEach(async () => {
    for (const bus of buses.splice(0)) await bus.close({ drainMs: 0 });
    await server.remove();
    rmSync(stateDir, { recursive: true });
  });

  const open = () => {
    const bus = testBus({ stateDir, url: server.url });
    buses.push(bus);
    return bus;
  };
  const seen = async () =>
    (await streamEvents(server.url)).map(({ event }) => `${event.sequence} ${event.subject}`);
  /** The stream is made by the first bus that connects. */
  const published = (count: number) =>
    eventually(async () => (await streamEvents(server.url).catch(() => [])).length === count);
  const openWhenFree = async (signal = AbortSignal.timeout(60_000)) => {
    const bus = await openEventBusWhenFree(testBusOptions({ stateDir, url: server.url }), {
      signal,
    });
    buses.push(bus);
    return bus;
  };

  it('publishes through the one that has the outbox: each event once, one sequence', async () => {
    const old = open();
    publish(old, 'before');
    const opening = openWhenFree();
    await old.release();
    const next = await opening;
    publish(next, 'of the next');
    const ids = [publish(old, 'after 1'), publish(old, 'after 2')];
    await published(4);
    expect(await seen()).toEqual(['1 before', '2 of the next', '3 after 1', '4 after 2']);
    expect((await streamEvents(server.url)).slice(2).map(({ msgId }) => msgId)).toEqual(ids);
    expect(readdirSync(path.join(stateDir, 'handed-over'))).toEqual([]);
    // The connection of the old one is there for replies.
    expect(old.natsConnection()?.isClosed()).toBe(false);
    await old.close();
    expect(old.natsConnection()?.isClosed() ?? true).toBe(true);
  });

  it('keeps what it publishes while nobody has the outbox for whoever has it next', async () => {
    const old = open();
    await old.release();
    publish(old, 'alone');
    await old.close();
    open();
    await published(1);
    expect(await seen()).toEqual(['1 alone']);
  });

  it('keeps events in memory while the folder takes none', async () => {
    const old = open();
    await old.release();
    writeFileSync(path.join(stateDir, 'handed-over'), '');
    publish(old, 'first');
    publish(old, 'second');
    rmSync(path.join(stateDir, 'handed-over'));
    open();
    await published(2);
    expect(await seen()).toEqual(['1 first', '2 second']);
  });

  it('keeps them in memory, and hangs at nothing, where the system makes no folder', async () => {
    const old = testBus({ stateDir: '/proc/stowage/state', url: server.url });
    buses.push(old);
    await old.release();
    publish(old, 'first');
    expect(old.lines.some(({ fields }) => /ENOENT.*mkdir/.test(String(fields.reason)))).toBe(true);
  });

  it('is not held up by a file that is no event', async () => {
    const folder = path.join(stateDir, 'handed-over');
    mkdirSync(folder);
    writeFileSync(path.join(folder, '0.json'), '{"name":');
    writeFileSync(path.join(folder, '1.json'), '{"id":"1","name":"Nothing","event":{}}');
    const bus = open();
    expect(bus.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
    expect(readdirSync(folder)).toEqual([]);
    publish(bus, 'own');
    await published(1);
    expect(await seen()).toEqual(['1 own']);
  });

  it('is waited for until the signal aborts', async () => {
    open();
    const stop = new AbortController();
    const waiting = openWhenFree(stop.signal);
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow();
  });

  it('goes to one of those that wait, and from that one to the next', async () => {
    const old = open();
    const opening = [openWhenFree(), openWhenFree()];
    await old.release();
    const first = await Promise.race(opening);
    publish(first, 'of the first');
    await published(1);
    await first.release();
    const [second] = (await Promise.all(opening)).filter((bus) => bus !== first);
    if (second === undefined) throw new Error('both are one');
    publish(second, 'of the second');
    await published(2);
    expect(await seen()).toEqual(['1 of the first', '2 of the second']);
  });

  it('is waited for where another process is faster', async () => {
    await open().close();
    // Whoever is about to open it: its lock lets others read, and not open it.
    const other = openSqlite(path.join(stateDir, 'outbox.db'));
    other.exec('BEGIN; SELECT * FROM event');
    let isOpen = false;
    const opening = openWhenFree().finally(() => (isOpen = true));
    // An attempt lasts a second.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect(isOpen).toBe(false);
    other.close();
    publish(await opening, 'late');
    await published(1);
    expect(await seen()).toEqual(['1 late']);
  });
});

it('settings and folder can be checked while another process has the outbox', () => {
  const stateDir = temporaryFolder();
  const options = {
    stateDir,
    node: 'worker-1',
    app: 'gc-worker',
    nats: { servers: ['nats://127.0.0.1:1'] },
    log: recordingLog().log,
  };
  checkEventBus(options);
  expect(readdirSync(stateDir)).toEqual([]);
  const file = path.join(stateDir, 'file');
  writeFileSync(file, '');
  checkStateDir(stateDir);
  expect(readdirSync(stateDir)).toEqual(['file']);
  expect(() => checkStateDir(file)).toThrow(StateDirUnusableError);
  expect(() => checkEventBus({ ...options, nats: { servers: ['http://x'] } })).toThrow(
    'nats.servers',
  );
  rmSync(stateDir, { recursive: true });
});
