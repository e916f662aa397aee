import { eventCatalog } from '@stowage/events';
import { eventually } from '@stowage/testing';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { EventRing, maxRecent, recentEventsFile } from './event-ring';
import type { EventBus } from './types';
import { recordingLog, temporaryFolder, testBus } from './testing/test-bus';

let stateDir: string;
const cleanUps: (() => unknown)[] = [];
beforeEach(() => {
  stateDir = temporaryFolder();
  cleanUps.push(() => rmSync(stateDir, { recursive: true, force: true }));
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const open = () => {
  const { log, lines } = recordingLog();
  const ring = new EventRing(stateDir, log, () => new Date());
  cleanUps.push(() => ring.close());
  return { ring, lines };
};
const row = (
  n: number,
  more: { sizeBytes?: number; name?: 'ImageRemoved' | 'ImagePulled' } = {},
) => ({
  id: `id-${n}`,
  name: 'ImageRemoved' as const,
  timeMs: n * 1000,
  sizeBytes: 100,
  message: JSON.stringify({ id: `id-${n}`, subject: `image-${n % 3}` }),
  ...more,
});
const rows = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => row(from + index));
const ids = (events: readonly object[]) => events.map((event) => (event as { id: string }).id);

describe('the ring', () => {
  it('has the last events, those of a kill too', () => {
    const { ring } = open();
    ring.add(rows(1, 5));
    expect(ring.find({ limit: 2 })).toMatchObject({ next: 5, more: false, kept: 5 });
    expect(ids(ring.find({ limit: 2 }).events)).toEqual(['id-4', 'id-5']);
    // As a kill leaves it: written, and not closed.
    ring.flush();
    cleanUps.splice(1, 1);
    ring.close();
    const again = open().ring;
    again.add(rows(5, 6));
    expect(ids(again.find({ limit: 10 }).events)).toEqual(ids(rows(1, 6)));
    expect(statSync(recentEventsFile(stateDir)).mode & 0o077).toBe(0);
  });

  it('opens a file of 0.1.0 with everything in it', () => {
    cpSync(path.join(__dirname, '../../sqlite/testdata/0.1.0'), stateDir, { recursive: true });
    const { ring, lines } = open();
    expect(ring.find({ limit: 10 })).toMatchObject({ next: 3, more: false, kept: 3 });
    expect(ring.find({ limit: 10 }).events).toEqual(
      [1, 2, 3].map((n) => ({ id: `01M8S9${n}`, subject: `image-${n}` })),
    );
    expect(ids(ring.find({ limit: 10, names: ['ContainerStarted'] }).events)).toEqual(['01M8S93']);
    ring.add([row(4)]);
    expect(ring.find({ limit: 1 })).toMatchObject({ next: 4 });
    expect(lines).toEqual([]);
  });

  it('is asked by time, name, subject and position', () => {
    const { ring } = open();
    ring.add([...rows(1, 6), row(7, { name: 'ImagePulled' })]);
    const found = (query: object) => ids(ring.find({ limit: 10, ...query }).events);
    expect(found({ since: new Date(6000) })).toEqual(['id-6', 'id-7']);
    expect(found({ names: ['ImagePulled', 'ImageEnsured'] })).toEqual(['id-7']);
    expect(found({ subject: 'image-1' })).toEqual(['id-1', 'id-4', 'id-7']);
    expect(found({ subject: 'image-1', names: ['ImageRemoved'] })).toEqual(['id-1', 'id-4']);
    expect(ring.find({ after: 2, limit: 3 })).toMatchObject({ next: 5, more: true });
    expect(found({ after: 2, limit: 3 })).toEqual(['id-3', 'id-4', 'id-5']);
    expect(ring.find({ after: 5, limit: 3 })).toMatchObject({ next: 7, more: false });
    // What does not match is passed over for good.
    expect(ring.find({ after: 2, limit: 3, subject: 'none' })).toMatchObject({
      events: [],
      next: 7,
    });
    expect(ring.find({ after: 7, limit: 3 })).toMatchObject({ events: [], next: 7, more: false });
  });

  it('keeps so many events and so many bytes, across restarts', () => {
    const { ring } = open();
    for (let n = 1; n <= maxRecent.events + 1500; n += 500) ring.add(rows(n, n + 499));
    const all = ring.find({ limit: 20_000 });
    expect(all).toMatchObject({ kept: maxRecent.events, next: maxRecent.events + 1500 });
    expect(all.oldest).toEqual(new Date(1501 * 1000));
    ring.close();
    const again = open().ring;
    again.add(rows(20_001, 20_010));
    expect(again.find({ limit: 1 })).toMatchObject({ kept: maxRecent.events });
    const sizeBytes = maxRecent.bytes / 4;
    again.add([30_001, 30_002, 30_003, 30_004, 30_005].map((n) => row(n, { sizeBytes })));
    expect(ids(again.find({ limit: 10 }).events)).toEqual([
      'id-30002',
      'id-30003',
      'id-30004',
      'id-30005',
    ]);
  });

  it('a damaged file is renamed, and a new one is created', () => {
    writeFileSync(
      recentEventsFile(stateDir),
      'not a database at all, but long enough to be read'.repeat(100),
    );
    const { ring, lines } = open();
    ring.add(rows(1, 1));
    expect(ids(ring.find({ limit: 5 }).events)).toEqual(['id-1']);
    expect(lines).toMatchObject([
      { level: 'warn', message: 'file of the last events could not be read: it was renamed' },
    ]);
    expect(readdirSync(stateDir).some((name) => name.startsWith('events.db.unusable-'))).toBe(true);
  });

  it('a file that cannot be had costs nothing but the looking', () => {
    writeFileSync(path.join(stateDir, 'file'), '');
    const { log, lines } = recordingLog();
    const ring = new EventRing(path.join(stateDir, 'file'), log, () => new Date());
    cleanUps.push(() => ring.close());
    for (let n = 0; n < 5; n += 1) ring.add(rows(n * 500, n * 500 + 499));
    expect(ring.flush()).toBe(false);
    expect(ring.find({ limit: 5 })).toEqual({ events: [], next: 0, more: false, kept: 0 });
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });
});

describe('a bus without NATS', () => {
  const unavailable = eventCatalog.RuntimeUnavailable.example;
  const openBus = () => {
    const bus = testBus({ stateDir, url: '', nats: { servers: [] } });
    cleanUps.push(() => bus.close());
    return bus;
  };
  const publish = (bus: EventBus, subject: string) =>
    bus.publish('RuntimeUnavailable', { subject, data: unavailable.data });

  it('keeps events in the ring and none in the outbox, and is not degraded', async () => {
    const bus = openBus();
    const published = Array.from({ length: 600 }, (_, n) => publish(bus, `s-${n}`));
    expect(await bus.flush({ signal: AbortSignal.timeout(10_000) })).toBe(true);
    const { isLocal, connected, reason, pending, dropped, published: delivered } = bus.status();
    expect({ isLocal, connected, reason, pending, dropped, delivered }).toEqual({
      isLocal: true,
      connected: false,
      reason: undefined,
      pending: 0,
      dropped: 0,
      delivered: 0,
    });
    const { events, kept } = bus.recent({ limit: 1000 });
    expect(ids(events)).toEqual(published);
    expect(kept).toBe(600);
    expect(events[599]).toMatchObject({
      type: 'io.stowage.node.v1.RuntimeUnavailable',
      source: '/nodes/worker-1.example.net/gc-worker',
      sequence: '0000000000000600',
    });
  });

  it('keeps events in the outbox while the ring takes none, and says why', async () => {
    mkdirSync(recentEventsFile(stateDir));
    const bus = openBus();
    publish(bus, 'a');
    await eventually(() => bus.status().reason !== undefined);
    expect(bus.status()).toMatchObject({
      pending: 1,
      reason: expect.stringMatching(/^file of the last events cannot be written: /),
    });
    rmdirSync(recentEventsFile(stateDir));
    await bus.close();
    const again = openBus();
    expect(await again.flush({ signal: AbortSignal.timeout(10_000) })).toBe(true);
    expect(again.recent({ limit: 5 }).events).toMatchObject([{ subject: 'a' }]);
    expect(again.status().reason).toBeUndefined();
  });

  it('goes on with the sequence after a restart, and takes what an outbox of before held', async () => {
    const before = testBus({ stateDir, url: 'nats://127.0.0.1:1' });
    publish(before, 'before');
    await before.close({ drainMs: 0 });
    const bus = openBus();
    publish(bus, 'after');
    expect(await bus.flush({ signal: AbortSignal.timeout(10_000) })).toBe(true);
    expect(bus.nextSequence()).toBe(3);
    await bus.close();
    const again = openBus();
    expect(again.nextSequence()).toBe(3);
    const { events } = again.recent({ limit: 10 });
    expect(events.map(({ subject, sequence }) => [subject, Number(sequence)])).toEqual([
      ['before', 1],
      ['after', 2],
    ]);
  });
});

it('a bus with NATS has the last events too, delivered or not', async () => {
  const bus = testBus({ stateDir, url: 'nats://127.0.0.1:1' });
  cleanUps.push(() => bus.close({ drainMs: 0 }));
  const { example } = eventCatalog.RuntimeUnavailable;
  const events = [1, 2, 3].map((n) => ({ ...example, subject: `s-${n}` }));
  const published = bus.publishAll('RuntimeUnavailable', events);
  expect(ids(bus.recent({ limit: 10 }).events)).toEqual(published);
  expect(bus.status()).toMatchObject({ isLocal: false, pending: 3 });
  await bus.close({ drainMs: 0 });
});
