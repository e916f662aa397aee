import { createEvent, type EventData, type EventName } from '@stowage/events';
import { ImageEvents } from './image-events';
import { FakeWorker, listed } from './testing/fake-worker';
import { minutes, now } from './testing/plan-fixtures';

const { signal } = new AbortController();
let worker: FakeWorker;
let events: ImageEvents;

/** Images of which the worker has not told yet that it removed them. */
let removed: string[];

beforeEach(() => {
  worker = new FakeWorker();
  removed = [];
  events = new ImageEvents({
    nodeName: 'node-a.example',
    hints: worker.hints,
    store: worker.store,
    settleRemovals: () => {
      worker.store.forget(removed.splice(0));
    },
    now: worker.now,
  });
});

function message<N extends EventName>(name: N, data: EventData<N>, app = 'image-service') {
  const attributes = {
    id: '01KAJB5V1B3D5F7H9K1N3Q5S7V',
    node: 'node-a.example',
    app,
    sequence: 1,
    subject: 's',
    time: new Date(worker.clock),
  };
  return Buffer.from(JSON.stringify(createEvent(name, attributes, data)));
}

const names = { requestedReference: 'nginx', reference: 'docker.io/library/nginx:latest' };
const nginx = listed('sha256:n', { repoTags: ['docker.io/library/nginx:latest'] });
const pulled = {
  ...names,
  pullId: 'p1',
  imageRef: 'sha256:n',
  imageId: 'sha256:n',
  durationMs: 1,
  attempts: 1,
  credential: { source: 'none' as const },
};

async function detect() {
  worker.runtime.images = [nginx];
  return (await worker.detector().detect({ signal }))[0];
}

describe('ImageEvents', () => {
  it('finds the record of an image whose id the runtime lists without sha256:', async () => {
    const hex = 'c'.repeat(64);
    worker.runtime.images = [listed(hex)];
    await worker.detector().detect({ signal });
    const ensured = { ...names, imageId: `sha256:${hex}`, pullPolicy: 'IfNotPresent' as const };
    events.received(message('ImageEnsured', ensured));
    expect(worker.store.images().get(hex)?.lastUsed).toBe(worker.clock);
    worker.clock += minutes(1);
    const gone = { imageId: `sha256:${hex}`, repoTags: [], repoDigests: [], reason: 'request' };
    const removal = { ...gone, removedBy: 'image-service', expectedBytes: 1 };
    events.received(message('ImageRemoved', removal as EventData<'ImageRemoved'>));
    expect(worker.store.images().has(hex)).toBe(false);
  });

  it('remembers the use of such an image until it is detected', async () => {
    const hex = 'c'.repeat(64);
    const ensured = { ...names, imageId: `sha256:${hex}`, pullPolicy: 'IfNotPresent' as const };
    events.received(message('ImageEnsured', ensured));
    worker.runtime.images = [listed(hex)];
    const [image] = await worker.detector().detect({ signal });
    expect(image?.lastUsed).toBe(worker.clock);
  });

  it('subscribes to what says something about images of this node', () => {
    const subjects: string[] = [];
    const subscribe = (subject: string) => {
      subjects.push(subject);
      return { unsubscribe: () => undefined };
    };
    events.subscribe({ subscribe }, () => undefined);
    expect(subjects).toEqual([
      'stowage.event.node-a_example.image.pull-started',
      'stowage.event.node-a_example.image.pulled',
      'stowage.event.node-a_example.image.pull-failed',
      'stowage.event.node-a_example.image.ensured',
      'stowage.event.node-a_example.image.removed',
      'stowage.event.node-a_example.container.created',
    ]);
  });

  it('takes a pull of an image just removed for news of the new image', async () => {
    await detect();
    removed = ['sha256:n'];
    events.received(message('ImagePulled', pulled));
    expect(worker.store.images().size).toBe(0);
    expect(await detect()).toMatchObject({ lastUsed: worker.clock, pulled: { durationMs: 1 } });
  });

  it('keeps an image while it is pulled', async () => {
    events.received(message('ImagePullStarted', { ...names, pullId: 'p1' }));
    expect((await detect())?.protections).toMatchObject([{ rule: 'pull-in-progress' }]);
    const failed = {
      ...names,
      pullId: 'p1',
      error: { code: 'timeout', grpcStatus: 'UNKNOWN', message: 'x' },
      attempts: 1,
      durationMs: 1,
    } as const;
    events.received(message('ImagePullFailed', failed));
    expect((await detect())?.protections).toBeUndefined();
  });

  it('marks an image used when it was pulled, also before it is detected, and asks for a detection', async () => {
    expect(events.received(message('ImagePulled', pulled))).toBe(true);
    expect(await detect()).toMatchObject({ lastUsed: now });
  });

  it('marks an image used when it was ensured or a container of it created', async () => {
    await detect();
    worker.clock += minutes(1);
    expect(events.received(message('ImageEnsured', { ...names, imageId: 'sha256:n' }))).toBe(false);
    expect(worker.store.images().get('sha256:n')?.lastUsed).toBe(now + minutes(1));
    worker.clock += minutes(1);
    const created = {
      containerId: 'c1',
      podSandboxId: 's1',
      image: { reference: 'nginx', imageId: 'sha256:n' },
      observedBy: 'call' as const,
    };
    events.received(message('ContainerCreated', created, 'runtime-gateway'));
    expect(worker.store.images().get('sha256:n')?.lastUsed).toBe(now + minutes(2));
  });

  it('holds an image and remembers that', async () => {
    const holdUntil = new Date(now + minutes(10)).toISOString();
    events.received(message('ImagePulled', { ...pulled, holdUntil }));
    expect((await detect())?.protections).toEqual([{ rule: 'held', until: now + minutes(10) }]);
    expect([...worker.store.holds().keys()]).toEqual([
      'sha256:n',
      'docker.io/library/nginx:latest',
    ]);
  });

  it('does not tell an image as vanished that another service said it removed', async () => {
    await detect();
    worker.takeEvents();
    const removed = {
      imageId: 'sha256:n',
      repoTags: [],
      repoDigests: [],
      removedBy: 'image-service',
      reason: 'request',
    };
    expect(events.received(message('ImageRemoved', removed))).toBe(true);
    worker.runtime.images = [];
    await worker.detector().detect({ signal });
    expect(worker.takeEvents()).toEqual([]);
  });

  it('tells first what it removed itself, when another service says that it removed the same', async () => {
    await detect();
    removed = ['sha256:n'];
    const other = { imageId: 'sha256:n', repoTags: [], repoDigests: [], reason: 'request' };
    events.received(message('ImageRemoved', { ...other, removedBy: 'image-service' }));
    expect(removed).toEqual([]);
    expect(worker.store.images().size).toBe(0);
  });

  it('leaves its own events and what it does not understand alone', async () => {
    await detect();
    const own = {
      imageId: 'sha256:n',
      repoTags: [],
      repoDigests: [],
      removedBy: 'gc-worker',
      reason: 'threshold',
    };
    expect(events.received(message('ImageRemoved', own, 'gc-worker'))).toBe(false);
    expect(worker.store.images().size).toBe(1);
    expect(events.received(Buffer.from('{"type":"io.stowage.node.v9.Later"}'))).toBe(false);
    expect(events.received(Buffer.from('no json'))).toBe(false);
  });
});
