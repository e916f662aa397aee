import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import {
  gcWorker,
  imageService as imageCommands,
  runtimeGateway,
  type CommandDefinition,
  type CommandInput,
} from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import {
  connectImageService,
  connectRuntimeService,
  type ImageServiceClient,
  type RuntimeServiceClient,
} from '@stowage/cri-client';
import {
  eventually,
  eventuallyPasses,
  ServiceFixture,
  type AppProcess,
  type EventCollection,
  type PushedImage,
  type Stack,
} from '@stowage/testing';
import type { NatsConnection } from 'nats';

/**
 * The three services together on a real containerd, registry and NATS: what the worker makes of the
 * others' events in time, late, twice and lost. The cases of docs/coordination.md; the rest of them
 * in coordination.spec.ts.
 */

/** A registry in front of the stack's own that can keep its answers back, or fail. */
class GateRegistry {
  #server = http.createServer((request, response) => {
    void this.#opened.then(() => {
      if (this.fails) {
        response.writeHead(500).end();
        return;
      }
      const { method, url, headers } = request;
      const onward = http.request({ ...this.#upstream, method, path: url, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      request.pipe(onward);
    });
  });
  #opened = Promise.resolve();
  #open: () => void = () => undefined;
  readonly #upstream: { host: string; port: number };
  fails = false;

  constructor(upstream: string) {
    const { hostname, port } = new URL(`http://${upstream}`);
    this.#upstream = { host: hostname, port: Number(port) };
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
  }

  get host(): string {
    return `127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  shut(): void {
    this.#opened = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#open();
    this.#opened = Promise.resolve();
  }

  stop(): Promise<void> {
    this.open();
    this.#server.closeAllConnections();
    return new Promise((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }
}

let fixture: ServiceFixture;
let stack: Stack;
let registry: GateRegistry;
let events: EventCollection;
let nats: NatsConnection;
let worker: AppProcess;
let imageService: AppProcess;
let gateway: AppProcess;
let images: ImageServiceClient;
let runtime: RuntimeServiceClient;
let names = 0;

const folder = (name: string) => path.join(stack.dir, name);

async function startWorker(): Promise<void> {
  worker = await fixture.start('gc-worker', {
    STOWAGE_IMAGE_MINIMUM_GC_AGE: '0s',
    // The images lie on the file system of this machine, which may be full beyond any mark.
    STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '100',
    // So rarely that what it knows in between is from events.
    STOWAGE_DETECTION_INTERVAL: '10m',
    STOWAGE_COLLECTION_INTERVAL: '10m',
  });
  await eventually(() => send(gcWorker.status, {}), { what: 'the worker to answer' });
}

const send = <C extends CommandDefinition>(command: C, input: CommandInput<C>) =>
  sendCommand(nats, fixture.node, command, input, { timeoutMs: 30_000, strict: true });

const ensure = (
  image: string,
  more: Omit<CommandInput<typeof imageCommands.ensure>, 'image'> = {},
) => send(imageCommands.ensure, { image, ...more });

/** What a collection of everything would do with the image. */
async function verdict(imageId: string): Promise<string> {
  const plan = await send(gcWorker.plan, { bytes: 2 ** 40 });
  const found = plan.images.find((image) => image.imageId === imageId);
  return found === undefined ? 'none' : `${found.verdict}: ${found.rule}`;
}

/** The worker's record of the image. */
async function record(imageId: string) {
  const reply = await send(gcWorker.images, {});
  if (!('total' in reply)) throw new Error('not the records');
  return reply.images.find((image) => image.imageId === imageId);
}

const lastUsed = async (imageId: string) => (await record(imageId))?.lastUsed;

/** A new image in the registry; its name there goes through the gate. */
async function push(): Promise<PushedImage> {
  names += 1;
  const image = await stack.pushImage({ name: `team/image-${names}`, tag: '1' });
  return {
    ...image,
    reference: image.reference.replace(stack.registry.open.host, registry.host),
  };
}

/** A new image that image-service pulled and the worker has a record of. */
async function pulledImage(): Promise<PushedImage> {
  const image = await push();
  await ensure(image.reference);
  await events.waitFor('ImageDetected', ({ data }) => data.imageId === image.imageId);
  await wholeRecord(image.imageId);
  return image;
}

/**
 * The record once it is whole: containerd names an image by its tag before it names it by its
 * digest.
 */
async function wholeRecord(imageId: string) {
  return eventually(
    async () => {
      const found = await record(imageId);
      return found?.repoDigests.length === 0 ? undefined : found;
    },
    { what: 'the record' },
  );
}

/**
 * Starts NATS again; the worker is connected before that service is. The other way round its events
 * would be lost to the worker.
 */
async function startNatsBefore(service: AppProcess): Promise<void> {
  process.kill(service.pid, 'SIGSTOP');
  try {
    await stack.nats.start();
    await answers(gcWorker.images, {});
  } finally {
    process.kill(service.pid, 'SIGCONT');
  }
  await answers(imageCommands.stats, {});
  await answers(runtimeGateway.version, {});
}

/** What is asked while one of the two is still away is lost: soon asked again. */
const answers = <C extends CommandDefinition>(command: C, input: CommandInput<C>) =>
  eventually(() => sendCommand(nats, fixture.node, command, input, { timeoutMs: 1000 }), {
    what: `${command.app} to be back`,
    timeoutMs: 60_000,
  });

const iso = (time: Date) => time.toISOString();
const removable = 'remove: request';

beforeAll(async () => {
  fixture = await ServiceFixture.start();
  ({ stack, events, nats } = fixture);
  registry = new GateRegistry(stack.registry.open.host);
  await registry.start();
  imageService = await fixture.start('image-service', {
    STOWAGE_LISTEN: folder('image.sock'),
    STOWAGE_DOCKER_CONFIG_DIRS: folder('docker'),
    STOWAGE_DOCKERCFG_DIRS: '',
  });
  gateway = await fixture.start('runtime-gateway', {
    STOWAGE_LISTEN: folder('runtime.sock'),
    STOWAGE_LISTEN_READONLY: '',
  });
  images = connectImageService({ endpoint: `unix://${folder('image.sock')}`, versions: 'v1' });
  runtime = connectRuntimeService({ endpoint: `unix://${folder('runtime.sock')}`, versions: 'v1' });
  await startWorker();
});

afterAll(async () => {
  images.close();
  runtime.close();
  await registry.stop();
  await fixture.down();
});

describe('ImagePullStarted, ImagePulled, ImagePullFailed', () => {
  it('in time: the image stays while it is pulled again, and until its pull has failed or ended', async () => {
    const { reference, imageId } = await pulledImage();
    expect(await verdict(imageId)).toBe(removable);
    registry.shut();
    const pulling = ensure(reference, { pullPolicy: 'Always' });
    await eventuallyPasses(async () => {
      expect(await verdict(imageId)).toBe('keep: pull-in-progress');
    });
    registry.open();
    await pulling;
    await eventuallyPasses(async () => {
      expect(await verdict(imageId)).toBe(removable);
    });
    const pulls = () => events.named('ImagePulled').filter(({ data }) => data.imageId === imageId);
    await eventually(() => pulls().length === 2, { what: 'the second pull' });
    expect(await lastUsed(imageId)).toBe(iso(pulls()[1]!.time));

    registry.shut();
    const failing = ensure(reference, { pullPolicy: 'Always', caller: 'other' });
    failing.catch(() => undefined);
    await eventuallyPasses(async () => {
      expect(await verdict(imageId)).toBe('keep: pull-in-progress');
    });
    registry.fails = true;
    registry.open();
    await expect(failing).rejects.toThrow('500');
    registry.fails = false;
    await eventuallyPasses(async () => {
      expect(await verdict(imageId)).toBe(removable);
    });
  });

  it('late, after NATS was away: the use is when it was pulled, and nothing stays protected', async () => {
    const { reference, imageId } = await pulledImage();
    await stack.nats.stop();
    await images.pullImage({ image: { image: reference } });
    const pulledAt = Date.now();
    // Long enough to tell the two times from each other.
    await eventually(() => Date.now() > pulledAt + 1500);
    await startNatsBefore(imageService);
    const pulled = () => events.named('ImagePulled').filter(({ data }) => data.imageId === imageId);
    await eventually(() => pulled().length === 2, { what: 'the late event', timeoutMs: 60_000 });
    const time = pulled()[1]!.time;
    expect(time.getTime()).toBeLessThanOrEqual(pulledAt);
    await eventuallyPasses(async () => {
      expect(await lastUsed(imageId)).toBe(iso(time));
    });
    expect(await verdict(imageId)).toBe(removable);
  });

  it('twice, also a start after its end: the same as once', async () => {
    const { imageId } = await pulledImage();
    const before = await record(imageId);
    const about = events.all.filter(
      ({ wire }) => wire.includes(imageId) || wire.includes(`team/image-${names}:1`),
    );
    const again = ['ImagePulled', 'ImagePullStarted'].map((name) =>
      about.find((event) => event.name === name)!,
    );
    // JetStream would not store them a second time; who listens to the subject gets them all the
    // same.
    for (const { natsSubject, wire } of again) nats.publish(natsSubject, wire);
    await nats.flush();
    expect(await verdict(imageId)).toBe(removable);
    expect(await record(imageId)).toEqual(before);
  });

  it('lost: a detection finds what was pulled', async () => {
    await worker.kill();
    const { imageId, reference } = await push();
    await ensure(reference);
    await startWorker();
    await events.waitFor('ImageDetected', ({ data }) => data.imageId === imageId);
    expect(await lastUsed(imageId)).toBeNull();
    expect(await verdict(imageId)).toBe(removable);
  });
});

describe('ImageEnsured and holds', () => {
  it('in time: the use is when it was ensured, and a hold keeps the image, also over kill -9', async () => {
    const { reference, imageId } = await pulledImage();
    expect(await ensure(reference, { holdSeconds: 3600 })).toMatchObject({ pulled: false });
    const { time } = await events.waitFor('ImageEnsured', ({ subject }) => subject === imageId);
    await eventuallyPasses(async () => {
      expect(await lastUsed(imageId)).toBe(iso(time));
    });
    expect(await verdict(imageId)).toBe('keep: held');
    await worker.kill();
    await startWorker();
    expect(await verdict(imageId)).toBe('keep: held');
  });

  it('late, and twice: a hold lasts until the time it was given for', async () => {
    const { reference, imageId } = await pulledImage();
    await ensure(reference, { holdSeconds: 2 });
    const { data, natsSubject, wire } = await events.waitFor(
      'ImageEnsured',
      ({ subject }) => subject === imageId,
    );
    await eventually(() => Date.now() >= Date.parse(data.holdUntil!));
    const before = await record(imageId);
    nats.publish(natsSubject, wire);
    await nats.flush();
    expect(await verdict(imageId)).toBe(removable);
    expect(await record(imageId)).toEqual(before);
  });

  it('lost: the image may go, until it is ensured again', async () => {
    const { reference, imageId } = await pulledImage();
    await worker.kill();
    await ensure(reference, { holdSeconds: 3600 });
    await startWorker();
    expect(await verdict(imageId)).toBe(removable);
    await ensure(reference, { holdSeconds: 3600 });
    await eventuallyPasses(async () => {
      expect(await verdict(imageId)).toBe('keep: held');
    });
  });
});

describe('ImageRemoved of image-service', () => {
  const removals = (imageId: string) =>
    events.named('ImageRemoved').filter(({ data }) => data.imageId === imageId);
  const remove = (imageId: string) => images.removeImage({ image: { image: imageId } });

  it('in time: told once, by who did it', async () => {
    const { imageId } = await pulledImage();
    await remove(imageId);
    await eventuallyPasses(async () => {
      expect(await record(imageId)).toBeUndefined();
    });
    await pulledImage(); // a detection after it
    expect(removals(imageId).map(({ app, data }) => `${app} ${data.reason}`)).toEqual([
      'image-service request',
    ]);
  });

  it('twice, the second after the image came back: its record stays', async () => {
    const { imageId, reference } = await pulledImage();
    await remove(imageId);
    const { natsSubject, wire } = await events.waitFor(
      'ImageRemoved',
      ({ data }) => data.imageId === imageId,
    );
    await eventuallyPasses(async () => {
      expect(await record(imageId)).toBeUndefined();
    });
    await ensure(reference);
    const before = await wholeRecord(imageId);
    nats.publish(natsSubject, wire);
    await nats.flush();
    await pulledImage(); // a detection after it
    expect(await record(imageId)).toEqual(before);
  });

  it('lost: told as vanished at the next start', async () => {
    const { imageId } = await pulledImage();
    await worker.kill();
    await remove(imageId);
    await startWorker();
    await events.waitFor(
      'ImageRemoved',
      ({ app, data }) => app === 'gc-worker' && data.imageId === imageId,
    );
    expect(removals(imageId).map(({ app, data }) => `${app} ${data.reason}`)).toEqual([
      'image-service request',
      'gc-worker vanished',
    ]);
  });
});

describe('ContainerCreated of runtime-gateway', () => {
  async function createContainer({ imageId }: PushedImage) {
    names += 1;
    const metadata = { name: `p-${names}`, namespace: 'shop', uid: `u-${names}`, attempt: 0 };
    const config = { metadata, linux: {} };
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      config: {
        metadata: { name: 'main', attempt: 0 },
        image: { image: imageId },
        command: ['sleep', '3600'],
        linux: {},
      },
      sandboxConfig: config,
    });
    return {
      containerId,
      remove: async () => {
        await runtime.removeContainer({ containerId });
        await runtime.removePodSandbox({ podSandboxId });
      },
    };
  }

  it('in time: the use is known without a detection', async () => {
    const image = await pulledImage();
    const { containerId, remove } = await createContainer(image);
    await remove();
    const { time } = await events.waitFor(
      'ContainerCreated',
      ({ subject }) => subject === containerId,
    );
    await eventuallyPasses(async () => {
      expect(await lastUsed(image.imageId)).toBe(iso(time));
    });
  });

  it('late, and twice: the use is when it was created', async () => {
    const image = await pulledImage();
    await stack.nats.stop();
    const { containerId, remove } = await createContainer(image);
    await remove();
    const createdAt = Date.now();
    await eventually(() => Date.now() > createdAt + 1500);
    await startNatsBefore(gateway);
    const { time, natsSubject, wire } = await events.waitFor(
      'ContainerCreated',
      ({ subject }) => subject === containerId,
      { timeoutMs: 60_000 },
    );
    await eventuallyPasses(async () => {
      expect(await lastUsed(image.imageId)).toBe(iso(time));
    });
    nats.publish(natsSubject, wire);
    await nats.flush();
    expect(await lastUsed(image.imageId)).toBe(iso(time));
  });

  it('lost: the runtime says what is in use', async () => {
    const image = await pulledImage();
    await worker.kill();
    const { remove } = await createContainer(image);
    await startWorker();
    expect(await verdict(image.imageId)).toBe('keep: in-use');
    await remove();
    expect(await verdict(image.imageId)).toBe(removable);
  });
});
