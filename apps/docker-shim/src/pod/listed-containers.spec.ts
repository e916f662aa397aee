import type { ListedContainer } from '../engine/engine-client';
import { ListedContainers } from './listed-containers';

const { signal } = new AbortController();
const sandboxId = 'a'.repeat(64);

/** An engine with a list, which counts how often that is asked for. */
class Engine {
  readonly filters: { readonly label?: readonly string[] }[] = [];
  containers: ListedContainer[] = [];
  /** Held by a test that wants the answer to come late. */
  before: Promise<unknown> = Promise.resolve();

  readonly listContainers = async (filters: { readonly label?: readonly string[] } = {}) => {
    this.filters.push(filters);
    const wanted = (filters.label ?? []).map((label) => label.split('='));
    const answer = this.containers
      .filter(({ Labels }) =>
        wanted.every(([key = '', value]) => (value ?? Labels?.[key]) === Labels?.[key]),
      )
      .map((one) => ({ ...one }));
    await this.before;
    return answer;
  };

  /** What the app container is from now on. */
  is(State: NonNullable<ListedContainer['State']>): void {
    this.containers = this.containers.map((one) => (one.Id === 'app-id' ? { ...one, State } : one));
  }

  has(name: string, of: Partial<ListedContainer> = {}): void {
    const isSandbox = name === 'POD';
    this.containers.push({
      Id: isSandbox ? sandboxId : `${name}-id`,
      Names: [`/k8s_${name}_pod_ns_uid_0`],
      State: 'running',
      Labels: isSandbox
        ? { 'io.kubernetes.docker.type': 'podsandbox' }
        : {
            'io.kubernetes.docker.type': 'container',
            'io.kubernetes.sandbox.id': sandboxId,
          },
      ...of,
    });
  }
}

describe('ListedContainers', () => {
  let engine: Engine;
  let listed: ListedContainers;
  beforeEach(() => {
    engine = new Engine();
    listed = new ListedContainers();
    engine.has('POD');
    engine.has('app');
  });
  const containers = async (of?: { sandboxId: string }) =>
    (await listed.list(engine, 'container', { signal }, of)).map(
      ({ id, listed: { State } }) => `${id} ${State}`,
    );
  const sandboxes = async () =>
    (await listed.list(engine, 'sandbox', { signal })).map(({ id }) => id);
  const event = (Action: string, ID = 'app-id') => listed.changed({ Action, Actor: { ID } });
  const asked = () => engine.filters.length;

  it('asks for each list while no events come', async () => {
    await containers();
    await containers();
    await containers({ sandboxId });
    await sandboxes();
    const type = 'io.kubernetes.docker.type';
    expect(engine.filters).toEqual([
      { label: [`${type}=container`] },
      { label: [`${type}=container`] },
      { label: [`${type}=container`, `io.kubernetes.sandbox.id=${sandboxId}`] },
      { label: [`${type}=podsandbox`] },
    ]);
  });

  it('while events come one answer is for all lists, and what is in one sandbox', async () => {
    engine.has('other', {
      Labels: {
        'io.kubernetes.docker.type': 'container',
        'io.kubernetes.sandbox.id': 'b'.repeat(64),
      },
    });
    listed.follow(engine);
    expect(await containers()).toEqual(['app-id running', 'other-id running']);
    expect(await sandboxes()).toEqual([sandboxId]);
    expect(await containers({ sandboxId })).toEqual(['app-id running']);
    expect(engine.filters).toEqual([{ label: ['io.kubernetes.docker.type'] }]);
  });

  it.each(['create', 'start', 'die', 'destroy', 'oom', 'rename'])(
    'after an event (%s) it is asked again, once',
    async (action) => {
      listed.follow(engine);
      await containers();
      engine.containers = [];
      event(action);
      expect(await containers()).toEqual([]);
      await containers();
      expect(asked()).toBe(2);
    },
  );

  it.each([
    'create container',
    'start container',
    'stop container',
    'kill container',
    'remove container',
  ])('after a call of its own (%s) it is asked again', async (operation) => {
    listed.follow(engine);
    await containers();
    engine.containers = [];
    listed.called({ operation });
    expect(await containers()).toEqual([]);
  });

  it('calls that only look change nothing', async () => {
    listed.follow(engine);
    await containers();
    for (const operation of ['inspect container', 'list containers', 'ping', 'start exec']) {
      listed.called({ operation });
    }
    await containers();
    expect(asked()).toBe(1);
  });

  it.each([
    ['an event', () => event('start')],
    ['a call', () => listed.called({ operation: 'start container' })],
    ['a gap in the events', () => listed.unfollow()],
  ])('an answer that %s overtakes is not kept, and not shared', async (_what, overtake) => {
    listed.follow(engine);
    let go = () => {};
    engine.before = new Promise<void>((resolve) => (go = resolve));
    const early = containers();
    overtake();
    engine.is('exited');
    const late = containers();
    go();
    expect(await early).toEqual(['app-id running']);
    expect(await late).toEqual(['app-id exited']);
    expect(await containers()).toEqual(['app-id exited']);
  });

  it('callers at the same time share an answer, and one that gives up does not end it', async () => {
    listed.follow(engine);
    let go = () => {};
    engine.before = new Promise<void>((resolve) => (go = resolve));
    const call = new AbortController();
    const given = listed.list(engine, 'container', { signal: call.signal });
    const other = sandboxes();
    call.abort(new Error('the caller is gone'));
    await expect(given).rejects.toThrow('the caller is gone');
    go();
    expect(await other).toEqual([sandboxId]);
    expect(asked()).toBe(1);
  });

  it('a failure is for those that waited, and the next asks again', async () => {
    listed.follow(engine);
    engine.before = Promise.reject(new Error('the engine fails'));
    const both = [containers(), sandboxes()];
    expect(await Promise.allSettled(both)).toMatchObject([
      { reason: new Error('the engine fails') },
      { reason: new Error('the engine fails') },
    ]);
    engine.before = Promise.resolve();
    expect(await containers()).toEqual(['app-id running']);
    expect(asked()).toBe(2);
  });

  it.each([
    ['by an event', () => event('die')],
    ['by an answer', () => listed.ended('app-id')],
  ])('an ended container that is still listed as running (%s) has ended', async (_how, end) => {
    listed.follow(engine);
    end();
    expect(await containers()).toEqual(['app-id exited']);
    expect(await containers({ sandboxId })).toEqual(['app-id exited']);
    engine.is('exited');
    expect(await containers()).toEqual(['app-id exited']);
    expect(await containers()).toEqual(['app-id exited']);
    // Two that were behind, and the one that is kept.
    expect(asked()).toBe(3);
    // Started again, and it runs.
    engine.is('running');
    event('die');
    event('start');
    expect(await containers()).toEqual(['app-id running']);
    await containers();
    expect(asked()).toBe(4);
  });

  it('an engine that goes on to list an ended container as running is believed in the end', async () => {
    let nowMs = 0;
    listed = new ListedContainers(() => nowMs);
    listed.follow(engine);
    listed.ended('app-id');
    nowMs = 29_999;
    expect(await containers()).toEqual(['app-id exited']);
    nowMs = 30_000;
    expect(await containers()).toEqual(['app-id running']);
    await containers();
    expect(asked()).toBe(2);
  });

  it('after a gap in the events it is asked again, also on another connection', async () => {
    listed.follow(engine);
    await containers();
    listed.unfollow();
    engine.containers = [];
    expect(await containers()).toEqual([]);
    const next = new Engine();
    listed.follow(next);
    expect(await listed.list(next, 'container', { signal })).toEqual([]);
    next.has('app');
    event('create');
    expect(await listed.list(next, 'container', { signal })).toHaveLength(1);
    // Whoever still has the old connection gets what that says.
    expect(await containers()).toEqual([]);
  });

  it('asking in any case asks, and its answer is kept', async () => {
    listed.follow(engine);
    await containers();
    engine.is('exited');
    expect(await listed.ask(engine, { signal })).toHaveLength(2);
    expect(await containers()).toEqual(['app-id exited']);
    expect(asked()).toBe(2);
  });

  it('passes over what is not of a pod', async () => {
    engine.has('odd', { Labels: { 'io.kubernetes.docker.type': 'other' } });
    engine.has('nameless', { Names: ['/some'] });
    listed.follow(engine);
    expect(await containers()).toEqual(['app-id running']);
  });
});
