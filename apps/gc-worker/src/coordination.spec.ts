import { createEvent, type EventData, type EventName } from '@stowage/events';
import type { ImageDetector } from './detect/detect-images';
import { ImageEvents } from './detect/image-events';
import { planCollection } from './collect/plan-collection';
import { container, FakeWorker, listed } from './testing/fake-worker';
import { disk, input, minutes, now, policy } from './testing/plan-fixtures';

/**
 * What becomes of the worker's decisions when an event of another service is late, comes twice, is
 * lost, or when that service is not deployed: the cases of docs/coordination.md.
 */

const { signal } = new AbortController();
const reference = 'docker.io/library/nginx:latest';
const imageId = 'sha256:n';
const maxPullMs = minutes(60); // of FakeWorker

let worker: FakeWorker;
let events: ImageEvents;
let detector: ImageDetector;

beforeEach(async () => {
  worker = new FakeWorker();
  detector = worker.detector();
  events = new ImageEvents({
    nodeName: 'node-a',
    hints: worker.hints,
    store: worker.store,
    cameBack: () => undefined,
    containerRemoved: (containerId) => {
      detector.containerRemoved(containerId);
    },
    now: worker.now,
  });
  worker.runtime.images = [listed(imageId, { repoTags: [reference] })];
  await plan();
  worker.clock += minutes(10);
});

/** A message of another service, of what happened at that time. */
function message<N extends EventName>(name: N, data: EventData<N>, at = worker.clock) {
  const attributes = {
    id: '01KAJB5V1B3D5F7H9K1N3Q5S7V',
    node: 'node-a',
    app: name.startsWith('Container') ? 'runtime-gateway' : 'image-service',
    sequence: 1,
    subject: 's',
    time: new Date(at),
  };
  return Buffer.from(JSON.stringify(createEvent(name, attributes, data)));
}

const receive = (...messages: Buffer[]) => {
  for (const data of messages) events.received(data);
};

/**
 * A detection and the plan for a disk that is full: what becomes of the image, and by which rule.
 */
async function plan(): Promise<string | undefined> {
  const images = await detector.detect({ signal });
  const collection = planCollection(
    input({ images, disks: [disk(95)], policy: policy(), now: worker.clock, collectingSince: 0 }),
  );
  const planned = collection.images.find((image) => image.imageId === imageId);
  return planned && `${planned.verdict}: ${planned.rule}`;
}

const lastUsed = () => worker.store.images().get(imageId)?.lastUsed;
const iso = (at: number) => new Date(at).toISOString();

const names = { requestedReference: 'nginx', reference };
const started = (at?: number) => message('ImagePullStarted', { ...names, pullId: 'p1' }, at);
const pulled = (at?: number, holdUntil?: string) =>
  message(
    'ImagePulled',
    {
      ...names,
      pullId: 'p1',
      imageRef: imageId,
      imageId,
      durationMs: 1,
      attempts: 1,
      credential: { source: 'none' },
      holdUntil,
    },
    at,
  );
const failed = (at?: number) =>
  message(
    'ImagePullFailed',
    {
      ...names,
      pullId: 'p1',
      error: { code: 'timeout', grpcStatus: 'UNKNOWN', message: 'x' },
      attempts: 1,
      durationMs: 1,
    },
    at,
  );
const ensured = (at?: number, holdUntil?: string) =>
  message('ImageEnsured', { ...names, imageId, holdUntil }, at);
const removed = (at?: number) =>
  message(
    'ImageRemoved',
    { imageId, repoTags: [], repoDigests: [], removedBy: 'image-service', reason: 'request' },
    at,
  );
const created = (at?: number) =>
  message(
    'ContainerCreated',
    {
      containerId: 'c1',
      podSandboxId: 's1',
      image: { reference: 'nginx', imageId },
      observedBy: 'call',
    },
    at,
  );

it('nobody else is deployed: an image goes by what the runtime says alone', async () => {
  expect(await plan()).toBe('remove: threshold');
  worker.runtime.containers = [container('c1', imageId)];
  expect(await plan()).toBe('keep: in-use');
});

describe('ImagePullStarted', () => {
  it('in time: the image that has the name already stays while it is pulled', async () => {
    receive(started());
    expect(await plan()).toBe('keep: pull-in-progress');
  });

  it('late, after the end of its pull: keeps nothing', async () => {
    receive(pulled(now), started(now));
    worker.clock += minutes(10);
    expect(await plan()).toBe('remove: threshold');
  });

  it('late, longer than a pull may take: keeps nothing', async () => {
    worker.clock += maxPullMs;
    receive(started(now));
    expect(await plan()).toBe('remove: threshold');
  });

  it('late: the time that a pull may take runs from when it started', async () => {
    worker.clock = now + maxPullMs - 1000;
    receive(started(now));
    expect(await plan()).toBe('keep: pull-in-progress');
    worker.clock = now + maxPullMs + 1;
    expect(await plan()).toBe('remove: threshold');
  });

  it('twice: one end ends both', async () => {
    receive(started(), started(), failed());
    expect(await plan()).toBe('remove: threshold');
  });

  it('twice, the second after the end: keeps nothing', async () => {
    receive(started(), failed(), started());
    expect(await plan()).toBe('remove: threshold');
  });

  it('lost: the image goes by what the runtime says', async () => {
    expect(await plan()).toBe('remove: threshold');
    receive(pulled());
    worker.clock += minutes(10);
    expect(lastUsed()).toBe(worker.clock - minutes(10));
  });
});

describe('ImagePulled', () => {
  it('in time: its use is now, the pull is over and a detection is worth while', async () => {
    receive(started());
    expect(events.received(pulled())).toBe(true);
    expect(lastUsed()).toBe(worker.clock);
    worker.clock += minutes(10);
    expect(await plan()).toBe('remove: threshold');
  });

  it('late: its use is when it was pulled, not when we hear of it', () => {
    const at = worker.clock;
    worker.clock += minutes(30);
    receive(pulled(at));
    expect(lastUsed()).toBe(at);
  });

  it('late, before detection of its image: the same', async () => {
    worker.runtime.images = [];
    await plan();
    const at = worker.clock;
    worker.clock += minutes(30);
    receive(pulled(at));
    worker.runtime.images = [listed(imageId, { repoTags: [reference] })];
    await plan();
    expect(lastUsed()).toBe(at);
  });

  it('late, after a later use: that one stays', () => {
    const at = worker.clock;
    worker.clock += minutes(30);
    receive(ensured(), pulled(at));
    expect(lastUsed()).toBe(worker.clock);
  });

  it('from a clock that is ahead: its use is no later than now', () => {
    receive(pulled(worker.clock + minutes(30)));
    expect(lastUsed()).toBe(worker.clock);
  });

  it('twice: the same as once', () => {
    const at = worker.clock;
    receive(pulled(at));
    worker.clock += minutes(30);
    receive(pulled(at));
    expect(lastUsed()).toBe(at);
  });

  it('lost: a detection finds the image, and the pull counts as over after its longest time', async () => {
    receive(started());
    worker.runtime.images.push(listed('sha256:other'));
    worker.takeEvents();
    expect(await plan()).toBe('keep: pull-in-progress');
    expect(worker.takeEvents()).toEqual(['ImageDetected sha256:other']);
    worker.clock += maxPullMs + 1;
    expect(await plan()).toBe('remove: threshold');
  });
});

describe('ImagePullFailed', () => {
  it('in time: the image may go again', async () => {
    receive(started(), failed());
    expect(await plan()).toBe('remove: threshold');
  });

  it('late: the image stays until it comes', async () => {
    receive(started());
    worker.clock += minutes(10);
    expect(await plan()).toBe('keep: pull-in-progress');
    receive(failed(now));
    expect(await plan()).toBe('remove: threshold');
  });

  it('twice: does not end a later pull', async () => {
    receive(started(), failed());
    receive(message('ImagePullStarted', { ...names, pullId: 'p2' }), failed());
    expect(await plan()).toBe('keep: pull-in-progress');
  });

  it('lost: the image stays for the longest time of a pull', async () => {
    receive(started());
    worker.clock += maxPullMs;
    expect(await plan()).toBe('keep: pull-in-progress');
    worker.clock += 1;
    expect(await plan()).toBe('remove: threshold');
  });
});

describe('ImageEnsured', () => {
  it('late: its use is when it was ensured, never before a later one', () => {
    const at = worker.clock;
    worker.clock += minutes(30);
    receive(ensured(at));
    expect(lastUsed()).toBe(at);
    receive(ensured(), ensured(at));
    expect(lastUsed()).toBe(worker.clock);
  });

  it('twice: the same as once', () => {
    const at = worker.clock;
    receive(ensured(at));
    worker.clock += minutes(30);
    receive(ensured(at));
    expect(lastUsed()).toBe(at);
  });

  it('lost: the image goes earlier in the order than it should', async () => {
    worker.runtime.images.push(listed('sha256:used-later'));
    await plan();
    worker.store.used('sha256:used-later', now + minutes(5));
    const order = async () => {
      const images = await worker.detector().detect({ signal });
      worker.clock += minutes(5);
      const { images: planned } = planCollection(
        input({ images, disks: [disk(95)], now: worker.clock, collectingSince: 0 }),
      );
      return planned.map((image) => image.imageId);
    };
    expect(await order()).toEqual([imageId, 'sha256:used-later']);
    receive(ensured());
    expect(await order()).toEqual(['sha256:used-later', imageId]);
  });
});

describe('a hold', () => {
  const until = now + minutes(60);

  it('late: lasts until the time it was given for', async () => {
    receive(ensured(now, iso(until)));
    worker.clock = until - 1;
    expect(await plan()).toBe('keep: held');
    worker.clock = until;
    expect(await plan()).toBe('remove: threshold');
  });

  it('late, after its end: keeps nothing', async () => {
    worker.clock = until + minutes(5);
    receive(ensured(now, iso(until)));
    expect(await plan()).toBe('remove: threshold');
  });

  it('twice, or after a longer one: the longest counts', async () => {
    receive(pulled(now, iso(until)), ensured(now, iso(until - minutes(30))));
    receive(pulled(now, iso(until)));
    worker.clock = until - 1;
    expect(await plan()).toBe('keep: held');
  });

  it('lost: the image may go', async () => {
    receive(ensured(now));
    expect(await plan()).toBe('remove: threshold');
  });
});

describe('ImageRemoved of image-service', () => {
  it('in time: the image is not told again as vanished', async () => {
    worker.takeEvents();
    receive(removed());
    worker.runtime.images = [];
    await plan();
    expect(worker.takeEvents()).toEqual([]);
  });

  it('late: a detection has told it as vanished by then, and that stays so', async () => {
    worker.takeEvents();
    const at = worker.clock;
    worker.runtime.images = [];
    await plan();
    expect(worker.takeEvents()).toEqual([`ImageRemoved ${imageId}`]);
    receive(removed(at));
    await plan();
    expect(worker.takeEvents()).toEqual([]);
  });

  it('late, and the image is there again: its record stays', async () => {
    const at = worker.clock;
    worker.clock += minutes(5);
    receive(pulled());
    receive(removed(at));
    worker.takeEvents();
    expect(await plan()).toBeDefined();
    expect(lastUsed()).toBe(worker.clock);
    expect(worker.takeEvents()).toEqual([]);
  });

  it('twice: the same as once', async () => {
    const at = worker.clock;
    receive(removed(at));
    worker.clock += minutes(5);
    await plan(); // pulled again by somebody
    worker.takeEvents();
    receive(removed(at));
    await plan();
    expect(worker.takeEvents()).toEqual([]);
  });

  it('lost: a detection tells the image as vanished', async () => {
    worker.takeEvents();
    worker.runtime.images = [];
    await plan();
    expect(worker.published[0]).toMatchObject({
      name: 'ImageRemoved',
      subject: imageId,
      data: { reason: 'vanished' },
    });
  });
});

describe('ContainerCreated', () => {
  it('in time: the use is known before the next detection', () => {
    receive(created());
    expect(lastUsed()).toBe(worker.clock);
  });

  it('late: its use is when it was created', () => {
    const at = worker.clock;
    worker.clock += minutes(30);
    receive(created(at));
    expect(lastUsed()).toBe(at);
  });

  it('twice: the same as once', () => {
    const at = worker.clock;
    receive(created(at));
    worker.clock += minutes(30);
    receive(created(at));
    expect(lastUsed()).toBe(at);
  });

  it('lost: a detection sees the container, and its end is the last use', async () => {
    worker.runtime.containers = [container('c1', imageId)];
    expect(await plan()).toBe('keep: in-use');
    const at = worker.clock;
    worker.runtime.containers = [];
    worker.clock += minutes(10);
    // That it is not listed any more is believed when it stays so.
    expect(await plan()).toBe('keep: in-use');
    worker.clock += minutes(1);
    expect(await plan()).toBe('remove: threshold');
    expect(lastUsed()).toBe(at);
  });
});

describe('ContainerCreationStarted of runtime-gateway', () => {
  const asked = (at?: number) =>
    message(
      'ContainerCreationStarted',
      { podSandboxId: 's1', name: 'web', attempt: 0, image: { reference }, observedBy: 'call' },
      at,
    );

  it('late, longer than a creation may take: keeps nothing', async () => {
    receive(asked(worker.clock - minutes(2)));
    expect(await plan()).toBe('remove: threshold');
  });

  it('late: the time that a creation may take runs from when it was asked for', async () => {
    receive(asked(worker.clock - minutes(1)));
    expect(await plan()).toBe('keep: container-creating');
    worker.clock += minutes(1);
    expect(await plan()).toBe('remove: threshold');
  });

  it('twice: the same as once', async () => {
    receive(asked(), asked());
    expect(await plan()).toBe('keep: container-creating');
    worker.clock += minutes(2);
    expect(await plan()).toBe('remove: threshold');
  });

  it('lost: the image goes unless the runtime lists the container', async () => {
    expect(await plan()).toBe('remove: threshold');
    worker.runtime.containers = [container('c1', imageId)];
    expect(await plan()).toBe('keep: in-use');
  });
});

describe('ContainerRemoved of runtime-gateway', () => {
  const removed = () =>
    message('ContainerRemoved', { containerId: 'c1', podSandboxId: 's1', observedBy: 'call' });

  beforeEach(async () => {
    worker.runtime.containers = [container('c1', imageId)];
    await plan();
  });

  it('late: the container counts until it comes', async () => {
    worker.runtime.containers = [];
    expect(await plan()).toBe('keep: in-use');
    worker.clock += 1;
    receive(removed());
    expect(await plan()).toBe('remove: threshold');
  });

  it('twice, or while the runtime lists the container: what the list says counts', async () => {
    receive(removed(), removed());
    expect(await plan()).toBe('keep: in-use');
    worker.clock += 1;
    worker.runtime.containers = [];
    expect(await plan()).toBe('remove: threshold');
  });

  it('lost: the container counts for a while after it is not listed any more', async () => {
    worker.runtime.containers = [];
    expect(await plan()).toBe('keep: in-use');
    worker.clock += 30_000;
    expect(await plan()).toBe('remove: threshold');
  });
});
