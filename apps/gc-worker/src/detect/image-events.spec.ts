import { createEvent, type EventData, type EventName } from '@stowage/events';
import { ImageEvents } from './image-events';
import { FakeWorker, listed } from '../testing/fake-worker';
import { minutes, now } from '../testing/plan-fixtures';

const { signal } = new AbortController();
let worker: FakeWorker;
let events: ImageEvents;

/** Images of which the worker has not told yet that it removed them. */
let removed: string[];
let containersRemoved: string[];

beforeEach(() => {
  worker = new FakeWorker();
  removed = [];
  containersRemoved = [];
  events = new ImageEvents({
    nodeName: 'node-a.example',
    hints: worker.hints,
    store: worker.store,
    settleRemovals: (imageId) => {
      if (!removed.includes(imageId)) return;
      removed = removed.filter((id) => id !== imageId);
      worker.store.forget([imageId]);
    },
    containerRemoved: (containerId) => containersRemoved.push(containerId),
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
    expect(worker.hints.takeRemoval(hex, 0)).toBe(worker.clock);
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
      'stowage.event.node-a_example.container.creation-started',
      'stowage.event.node-a_example.container.created',
      'stowage.event.node-a_example.container.removed',
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

  const removedByOther = (repoTags: string[] = []) => ({
    imageId: 'sha256:n',
    repoTags,
    repoDigests: [],
    removedBy: 'image-service',
    reason: 'request' as const,
  });

  it('does not tell an image as vanished that another service said it removed', async () => {
    await detect();
    worker.takeEvents();
    expect(events.received(message('ImageRemoved', removedByOther()))).toBe(true);
    worker.runtime.images = [];
    await worker.detector().detect({ signal });
    expect(worker.takeEvents()).toEqual([]);
    expect(worker.store.images().size).toBe(0);
  });

  it('keeps the ages of an image that the runtime lists, however often others say they removed it', async () => {
    await detect();
    worker.takeEvents();
    for (let second = 1; second <= 60; second += 1) {
      worker.clock += 1000;
      events.received(message('ImageRemoved', removedByOther(['docker.io/library/nginx:latest'])));
      await detect();
    }
    expect(worker.takeEvents()).toEqual([]);
    expect(worker.store.images().get('sha256:n')?.firstDetected).toBe(now);
    // Should it vanish without anybody saying so later, that is told.
    worker.clock += minutes(5);
    events.received(message('ImageEnsured', { ...names, imageId: 'sha256:n' }));
    worker.runtime.images = [];
    await worker.detector().detect({ signal });
    expect(worker.takeEvents()).toEqual(['ImageRemoved sha256:n']);
  });

  it('takes holds as far as they are allowed, each in one write of its own', async () => {
    const written: number[] = [];
    jest
      .spyOn(worker.store, 'setHolds')
      .mockImplementation((holds) => void written.push(holds.size));
    for (let at = 0; at < 3000; at += 1) {
      const holdUntil = new Date(now + minutes(at + 1)).toISOString();
      events.received(
        message('ImageEnsured', {
          ...names,
          reference: `r.example/${at}:1`,
          imageId: 'x',
          holdUntil,
        }),
      );
    }
    // The name of its own and the id, whose hold is prolonged.
    expect(new Set(written)).toEqual(new Set([2]));
    expect(worker.refused).toEqual([]);
    const holdUntil = '9999-12-31T23:59:59Z';
    events.received(message('ImageEnsured', { ...names, imageId: 'sha256:n', holdUntil }));
    expect((await detect())?.protections).toBeUndefined();
    expect(worker.refused).toEqual([{ kind: 'hold', reason: 'too-long' }]);
  });

  it('keeps the images of a container from when it is asked for, until it is there', async () => {
    await detect();
    const container = { podSandboxId: 's1', name: 'web', attempt: 0, observedBy: 'call' as const };
    const asked = { ...container, image: { reference: 'nginx' } };
    events.received(message('ContainerCreationStarted', asked, 'runtime-gateway'));
    expect((await detect())?.protections).toMatchObject([{ rule: 'container-creating' }]);
    const created = { ...container, containerId: 'c1', image: { reference: 'nginx' } };
    events.received(message('ContainerCreated', created, 'runtime-gateway'));
    expect((await detect())?.protections).toBeUndefined();
    const mounting = { ...asked, image: { reference: 'other' }, volumeImages: [asked.image] };
    events.received(message('ContainerCreationStarted', mounting, 'runtime-gateway'));
    expect((await detect())?.protections).toMatchObject([{ rule: 'container-creating' }]);
  });

  it('hears of removed containers from whoever saw the removal, not from a listing', () => {
    for (const observedBy of ['call', 'runtime-event', 'listing'] as const) {
      const data = { containerId: observedBy, podSandboxId: 's1', observedBy };
      events.received(message('ContainerRemoved', data, 'runtime-gateway'));
    }
    expect(containersRemoved).toEqual(['call', 'runtime-event']);
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
    const elsewhere = message('ImagePulled', pulled).toString().replace('node-a', 'node-b');
    expect(events.received(Buffer.from(elsewhere))).toBe(false);
    expect(worker.store.images().get('sha256:n')?.lastUsed).toBeNull();
  });
});
