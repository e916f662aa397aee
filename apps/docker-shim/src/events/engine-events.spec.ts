import { answerJson, eventually, FakeEngine } from '@stowage/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EngineConnection } from '../engine/engine-connection';
import { EngineEvents } from './engine-events';
import type { ContainerChange, ListedForEvents, Phase } from './known-containers';

describe('EngineEvents', () => {
  let folder: string;
  let fake: FakeEngine;
  let connection: EngineConnection;
  let events: EngineEvents;
  let streams: ServerResponse[];
  let containers: ListedForEvents[];
  let changes: ContainerChange[];
  let lists: number;
  let differed: string[];
  let received: string[];
  /** What the list of containers was notified of. */
  let followed: string[];
  /** Held by a test that wants the list to come late. */
  let beforeList: Promise<void>;

  const now = () => BigInt(Date.now()) * 1_000_000n;
  const send = (Action: string, ID: string, attributes: object = {}, at = now()) => {
    const text = JSON.stringify({
      Type: 'container',
      Action,
      Actor: {
        ID,
        Attributes: {
          'io.kubernetes.docker.type': 'container',
          'io.kubernetes.sandbox.id': 'p',
          ...attributes,
        },
      },
      timeNano: 'AT',
    });
    streams.at(-1)?.write(`${text.replace('"AT"', String(at))}\n`);
  };
  const is = (id: string, phase: Phase): ListedForEvents => ({ id, sandboxId: 'p', phase });
  const seen = () => changes.map(({ kind, id, source }) => `${source} ${kind} ${id}`);
  const listedOnce = () => eventually(() => streams.length > 0 && lists > 0);

  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'engine-events-'));
    fake = new FakeEngine(path.join(folder, 'docker.sock'));
    streams = [];
    containers = [];
    changes = [];
    lists = 0;
    differed = [];
    received = [];
    followed = [];
    beforeList = Promise.resolve();
    fake.answer = ({ path: asked }, response) => {
      if (asked !== '/events') return false;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      streams.push(response);
      return true;
    };
    await fake.start();
    connection = new EngineConnection({ socketPath: fake.socketPath, timeoutMs: 5000 });
    events = new EngineEvents({
      connection,
      list: async () => {
        await beforeList;
        lists += 1;
        return containers;
      },
      containers: {
        follow: () => followed.push('follow'),
        changed: ({ Action }) => followed.push(Action ?? ''),
        unfollow: () => followed.push('unfollow'),
      },
      listener: {
        received: (kind) => received.push(kind),
        differed: (kind) => differed.push(kind),
      },
      log: { debug: () => undefined },
      compareIntervalMs: 200,
      graceMs: 20,
    });
    events.onContainerEvent((change) => changes.push(change));
  });
  afterEach(async () => {
    await events.close();
    await connection.close();
    await fake.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('asks for what happens to containers of ours, and for no exec', async () => {
    events.start();
    await listedOnce();
    const request = fake.requests.find(({ path: asked }) => asked === '/events');
    expect(JSON.parse(request?.query.get('filters') ?? '')).toEqual({
      type: ['container'],
      label: ['io.kubernetes.docker.type'],
      event: ['create', 'start', 'die', 'oom', 'destroy', 'rename'],
    });
  });

  it('has the list of containers follow each connection and every event of it', async () => {
    events.start();
    await listedOnce();
    expect(followed).toEqual(['follow']);
    send('start', 'c');
    send('rename', 'c');
    await eventually(() => followed.length === 3);
    streams.at(-1)?.destroy();
    await eventually(() => streams.length === 2 && followed.length === 5);
    expect(followed).toEqual(['follow', 'start', 'rename', 'unfollow', 'follow']);
  });

  it('reports events in their order, with their times and exit codes, and passes over others', async () => {
    events.start();
    await listedOnce();
    const at = now() + 1_000_000_000n;
    send('create', 'c', {}, at);
    send('start', 'c', {}, at + 1n);
    send('exec_start: sh -c secret', 'c', {}, at + 2n);
    send('start', 'other', { 'io.kubernetes.sandbox.id': '' }, at + 2n);
    send('die', 'c', { exitCode: '137' }, at + 3n);
    send('create', 'p', { 'io.kubernetes.docker.type': 'podsandbox' }, at + 4n);
    await eventually(() => changes.length === 4);
    expect(changes).toMatchObject([
      { kind: 'create', id: 'c', sandboxId: 'p', atNs: at },
      { kind: 'start', id: 'c', atNs: at + 1n },
      { kind: 'die', id: 'c', atNs: at + 3n, exitCode: 137 },
      { kind: 'create', id: 'p', sandboxId: 'p' },
    ]);
    expect(received).toEqual(['create', 'start', 'die', 'create']);
  });

  it('the first list makes no changes; what was missed while the engine was away does', async () => {
    containers = [is('p', 'running'), is('a', 'running'), is('b', 'exited'), is('d', 'running')];
    events.start();
    await listedOnce();
    expect(changes).toEqual([]);
    await fake.stop();
    await eventually(() => !connection.availability().available);
    containers = [is('p', 'running'), is('a', 'exited'), is('c', 'running'), is('d', 'running')];
    await fake.start();
    await eventually(() => changes.length >= 4);
    expect(seen().sort()).toEqual([
      'comparison create c',
      'comparison destroy b',
      'comparison die a',
      'comparison start c',
    ]);
    expect(differed.sort()).toEqual(['create', 'destroy', 'die', 'start']);
    // The events go on.
    await eventually(() => streams.length === 2);
    send('die', 'd', {}, now() + 1_000_000_000n);
    await eventually(() => seen().includes('event die d'));
  });

  it('what happens while the first list is on its way is reported once', async () => {
    let release = () => {};
    beforeList = new Promise((resolve) => (release = resolve));
    events.start();
    await eventually(() => streams.length === 1);
    const at = now() + 1_000_000_000n;
    send('create', 'c', {}, at);
    send('start', 'c', {}, at + 1n);
    send('die', 'gone', {}, at + 2n);
    await eventually(() => received.length === 3);
    containers = [is('c', 'created')];
    release();
    await eventually(() => changes.length > 0);
    expect(seen()).toEqual(['event start c']);
  });

  it('finds what an event was dropped of by the next list, and counts it', async () => {
    events.start();
    await listedOnce();
    containers = [is('c', 'running')];
    await eventually(() => changes.length === 2);
    expect(seen()).toEqual(['comparison create c', 'comparison start c']);
    expect(differed).toEqual(['create', 'start']);
    const before = lists;
    await eventually(() => lists > before + 1);
    expect(changes).toHaveLength(2);
  });

  it('believes an event that comes after the list was asked for, not the list', async () => {
    containers = [is('c', 'running')];
    events.start();
    await listedOnce();
    let release = () => {};
    beforeList = new Promise((resolve) => (release = resolve));
    const asked = lists;
    // The next comparison waits for its list, which was made before the end of the container.
    await new Promise((resolve) => setTimeout(resolve, 300));
    send('destroy', 'c', {}, now() + 1_000_000_000n);
    await eventually(() => changes.length === 2);
    release();
    await eventually(() => lists > asked);
    containers = [];
    await eventually(() => lists > asked + 1);
    expect(seen()).toEqual(['event die c', 'event destroy c']);
    expect(differed).toEqual([]);
  });

  it('opens the events anew when the engine ends them, and when a list fails', async () => {
    events.start();
    await listedOnce();
    streams[0]?.end();
    await eventually(() => streams.length === 2);
    beforeList = Promise.reject(new Error('no list'));
    beforeList.catch(() => undefined);
    await eventually(() => streams.length === 3);
    beforeList = Promise.resolve();
    containers = [is('c', 'running')];
    await eventually(() => changes.length === 2);
  });

  it('a listener that throws keeps nothing from the others', async () => {
    const others: string[] = [];
    events.onContainerEvent(() => {
      throw new Error('mine');
    });
    const end = events.onContainerEvent(({ kind }) => others.push(kind));
    events.start();
    await listedOnce();
    send('create', 'c', {}, now() + 1_000_000_000n);
    await eventually(() => others.length === 1);
    end();
    send('start', 'c', {}, now() + 2_000_000_000n);
    await eventually(() => changes.length === 2);
    expect(others).toEqual(['create']);
  });

  it('an engine that does not know events is tried again, and the end does not wait for it', async () => {
    fake.answer = ({ path: asked }, response) =>
      asked === '/events' && answerJson(response, 500, { message: 'no events' });
    events.start();
    const tries = () => fake.requests.filter(({ path: asked }) => asked === '/events').length;
    await eventually(() => tries() > 1);
    await events.close();
  });
});
