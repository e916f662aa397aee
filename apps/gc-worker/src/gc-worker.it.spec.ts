import { spawnSync } from 'node:child_process';
import { existsSync, statfsSync, writeFileSync } from 'node:fs';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  gcWorker,
  type CommandDefinition,
  type CommandInput,
  type CommandReply,
} from '@stowage/commands';
import { CommandError, sendCommand } from '@stowage/commands/client';
import { connectImageService, type ImageServiceClient } from '@stowage/cri-client';
import { createTerminatingEndpoint, type Endpoint } from '@stowage/cri-endpoint';
import { ImageFsInfoResponse } from '@stowage/cri-proto';
import { commandSubject } from '@stowage/events';
import {
  eventually,
  eventuallyPasses,
  runApp,
  ServiceFixture,
  testOn,
  type AppProcess,
  type EventCollection,
  type SpawnAppOptions,
  type Stack,
} from '@stowage/testing';

/**
 * The real worker as a process of its own, on a real containerd with a file system of 400 MB,
 * registries and NATS.
 */
let fixture: ServiceFixture;
let stack: Stack;
let events: EventCollection;
let worker: AppProcess;

const highPercent = 75;
const lowPercent = 55;
const minAgeMs = 2000;

beforeAll(async () => {
  fixture = await ServiceFixture.start({ filesystemMb: 400 });
  ({ stack, events } = fixture);
});

afterEach(async () => {
  await fixture.stopServices();
  // A test that failed half-way leaves the others what they need.
  if (!stack.runtime.running) await stack.runtime.start();
  if (!stack.nats.running) await stack.nats.start();
});

afterAll(() => fixture.down());

const settings = {
  STOWAGE_COMMANDS: 'plan,run,images,status',
  STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: String(highPercent),
  STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: String(lowPercent),
  STOWAGE_IMAGE_MINIMUM_GC_AGE: `${minAgeMs}ms`,
  STOWAGE_DETECTION_INTERVAL: '300ms',
  STOWAGE_DISK_CHECK_INTERVAL: '200ms',
  STOWAGE_COLLECTION_RETRY: '500ms',
  STOWAGE_EXEMPT_IMAGES: '**/toolbox:*',
};
const environment = (values: Record<string, string> = {}) =>
  fixture.environment('gc-worker', { ...settings, ...values });

async function startWorker(
  values: Record<string, string> = {},
  options: Omit<SpawnAppOptions, 'env'> = {},
): Promise<void> {
  worker = await fixture.start('gc-worker', { ...settings, ...values }, options);
}

/**
 * Sends a command; the worker answers as soon as it has NATS, which may be later than it is ready.
 */
async function send<C extends CommandDefinition>(
  command: C,
  input: CommandInput<C>,
): Promise<CommandReply<C>> {
  const options = { timeoutMs: 20_000, strict: true };
  const outcome = await eventually(
    () =>
      sendCommand(fixture.nats, fixture.node, command, input, options).catch((error: unknown) => {
        if (error instanceof CommandError && error.code === 'COMMAND_REFUSED') return error;
        throw error;
      }),
    { timeoutMs: 60_000, what: `an answer to ${command.verb}` },
  );
  if (outcome instanceof CommandError) throw outcome;
  return outcome;
}

/** The records of images as the worker lists them. */
async function records() {
  const reply = await send(gcWorker.images, {});
  if (!('total' in reply)) throw new Error('not the records');
  return reply.images;
}

const refused = (grpcStatus: string, reason: RegExp) => ({
  code: 'COMMAND_REFUSED',
  grpcStatus,
  reason: expect.stringMatching(reason),
});

/**
 * Pulls an image that takes about twice this room on the disk, and waits until the worker has seen
 * it.
 */
async function pull(name: string, halfMb: number): Promise<string> {
  const sizeMb = (2 * halfMb) / stack.runtime.layerCopies;
  const { reference } = await stack.pushImage({ name, sizeMb, layers: undefined, tag: '1' });
  const imageId = await stack.pullImage(reference);
  await events.waitFor('ImageDetected', ({ data }) => data.imageId === imageId);
  return imageId;
}

/** Ids of the images that containerd has now. */
async function present(): Promise<string[]> {
  return (await records()).map(({ imageId }) => imageId);
}

/** Waits until the minimum age of everything detected so far is over. */
async function minimumAge(): Promise<void> {
  const over = Date.now() + minAgeMs;
  await eventually(() => Date.now() > over, { timeoutMs: minAgeMs + 5000 });
}

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(stack.runtime.root);
  return bavail * bsize;
}

/** Takes space from the file system until so many percent are used. */
async function fillTo(percent: number, name = 'filler'): Promise<string> {
  const file = path.join(stack.runtime.root, name);
  const { bavail, bsize, blocks } = statfsSync(stack.runtime.root);
  const bytes = Math.max(0, bavail * bsize - Math.floor((blocks * bsize * (100 - percent)) / 100));
  const handle = await open(file, 'w');
  try {
    const chunk = Buffer.alloc(1 << 20, 1);
    for (let written = 0; written < bytes; written += chunk.length) {
      await handle.write(chunk, 0, Math.min(chunk.length, bytes - written));
    }
  } finally {
    await handle.close();
  }
  return file;
}

/** Writes until the file system takes no more; true when there is not one block left. */
async function fillUp(folder: string): Promise<boolean> {
  const handle = await open(path.join(folder, String(Date.now())), 'w');
  try {
    for (const size of [1 << 20, 1 << 16, 1 << 12, 1 << 10]) {
      const chunk = Buffer.alloc(size, 1);
      let isFull = false;
      while (!isFull)
        isFull = await handle.write(chunk).then(
          () => false,
          () => true,
        );
    }
    await handle.sync().catch(() => undefined);
  } finally {
    await handle.close();
  }
  return freeBytes() === 0;
}

const idsOf = (removals: readonly { data: { imageId?: string } }[]): (string | undefined)[] =>
  removals.map(({ data }) => data.imageId);

/**
 * containerd, but for the file system of containers, which is said to lie at `mountpoint` and to
 * hold so many bytes.
 */
function splitRuntime(
  image: ImageServiceClient,
  mountpoint: string,
  heldBytes = 0,
): Promise<Endpoint> {
  return createTerminatingEndpoint({
    socketPath: path.join(stack.dir, 'split.sock'),
    upstream: { address: () => stack.runtime.socket },
    handlers: {
      '/runtime.v1.ImageService/ImageFsInfo': async () => {
        const { imageFilesystems } = await image.imageFsInfo({});
        return ImageFsInfoResponse.encode(
          ImageFsInfoResponse.fromPartial({
            imageFilesystems,
            containerFilesystems: [
              { fsId: { mountpoint }, usedBytes: { value: BigInt(heldBytes) } },
            ],
          }),
        ).finish();
      },
    },
    unavailableReason: () => undefined,
  });
}

/** Runs a worker that sees nothing of this network namespace, until it ends. */
const startInOtherNetwork = (values: Record<string, string>) =>
  spawnSync('unshare', ['--net', process.execPath, path.resolve('dist/apps/gc-worker/main.js')], {
    env: { ...process.env, ...environment({ STOWAGE_HTTP_ADDR: '', ...values }) },
    encoding: 'utf8',
    timeout: 60_000,
  });

describe('gc-worker on a real node', () => {
  it('collects least recently used images when the high mark is crossed, keeps the others, tells what happened', async () => {
    await startWorker();
    const pod = await stack.runPod({
      image: (await stack.pushImage({ name: 'team/web', sizeMb: 15 })).reference,
    });
    const toolbox = await pull('team/toolbox', 5);
    const old = [
      await pull('team/old-1', 20),
      await pull('team/old-2', 20),
      await pull('team/old-3', 20),
    ];
    await minimumAge();
    const recent = await pull('team/recent', 10);
    const freeBefore = freeBytes();
    const filler = await fillTo(highPercent + 2);

    // On a slow machine there may be a warning before, that it is going to be full.
    const exceeded = await events.waitFor('ThresholdExceeded', ({ data }) => data.mark === 'high');
    expect(exceeded.subject).toBe(exceeded.data.filesystem.mountpoint);
    expect(exceeded.data).toMatchObject({
      resource: 'bytes',
      thresholdPercent: highPercent,
      lowThresholdPercent: lowPercent,
    });
    expect(exceeded.data.filesystem.usedPercent).toBeGreaterThanOrEqual(highPercent);

    const collected = await events.waitFor('GarbageCollected', undefined, { timeoutMs: 60_000 });
    const recovered = await events.waitFor(
      'ThresholdRecovered',
      ({ data }) => data.mark === 'high',
    );
    expect(recovered.data.filesystem.usedPercent).toBeLessThan(highPercent);

    const removals = events
      .named('ImageRemoved')
      .filter(({ data }) => data.planId === collected.data.planId);
    const removedIds = idsOf(removals);
    // In order of detection, which is the order of last use for images never used; enough, and no
    // more.
    expect(removedIds).toEqual(old.slice(0, removedIds.length));
    expect(removedIds.length).toBeGreaterThan(0);
    expect(collected.data.removed.map(({ imageId }) => imageId)).toEqual(removedIds);
    expect(collected.data.trigger).toBe('threshold');
    expect(collected.data.keptByReason).toMatchObject({
      'in-use': 1,
      exempt: 1,
      // The runtime says itself that the sandbox image is pinned, from 1.6.22 and 1.7.3 on.
      [stack.runtime.reportsPinned ? 'pinned' : 'sandbox-image']: 1,
    });
    for (const { data } of removals) {
      expect(data).toMatchObject({ reason: 'threshold', removedBy: 'gc-worker' });
      // containerd reports the packed size and frees the unpacked one too, at once. CRI-O reports
      // the unpacked one, of which the file system may not free all at once.
      const least = stack.runtime.name === 'containerd' ? 1 : 0.8;
      expect(data.measuredBytes).toBeGreaterThan(least * data.expectedBytes!);
    }
    const sum = removals.reduce((bytes, { data }) => bytes + data.measuredBytes!, 0);
    expect(Math.abs(collected.data.measuredBytes! - sum)).toBeLessThan(4 << 20);
    expect(collected.data.after!.usedPercent).toBeLessThanOrEqual(lowPercent + 1);
    expect(freeBytes()).toBeGreaterThan(freeBefore - (await stat(filler)).size);

    const left = await present();
    expect(left).toEqual(expect.arrayContaining([toolbox, recent]));
    expect(left).not.toEqual(expect.arrayContaining(removedIds));
    const tags = String(await stack.runtime.imageNames());
    expect(tags).toContain('team/web');
    expect(tags).toContain('team/toolbox');
    expect(tags).toContain('team/recent');
    expect(tags).toContain(stack.sandboxImage);
    expect(tags).not.toContain('team/old-1');
    expect(events.invalid).toEqual([]);

    const metrics = (await worker.get('/metrics')).body;
    expect(metrics).toContain(
      `stowage_gc_images_collected_total{reason="threshold"} ${removedIds.length}`,
    );
    await rm(filler);
    await pod.remove();
  });

  it('warns of a file system of containers alone, and removes no image for it', async () => {
    const containers = path.join(stack.dir, 'containers');
    await mkdir(containers);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', containers]);
    expect(mounted.status).toBe(0);
    const collections = events.named('GarbageCollected').length;
    const image = connectImageService({ endpoint: stack.runtime.endpoint });
    const runtime = await splitRuntime(image, containers);
    try {
      await startWorker({
        STOWAGE_IMAGE_ENDPOINT: `unix://${path.join(stack.dir, 'split.sock')}`,
      });
      const filler = path.join(containers, 'filler');
      writeFileSync(filler, Buffer.alloc(15 << 20, 1));
      const isIts = ({ subject }: { subject: string }) => subject === containers;
      const exceeded = await events.waitFor(
        'ThresholdExceeded',
        (event) => isIts(event) && event.data.mark === 'high',
      );
      expect(exceeded.data).toMatchObject({ role: 'container', thresholdPercent: highPercent });
      const plan = await send(gcWorker.plan, {});
      expect(plan).toMatchObject({ trigger: 'none', removeCount: 0 });
      const { body } = await worker.get('/metrics');
      expect(body).toContain(
        `stowage_gc_threshold_exceeded{mountpoint="${containers}",role="container",resource="bytes",mark="high"} 1`,
      );
      await rm(filler);
      const recovered = await events.waitFor(
        'ThresholdRecovered',
        (event) => isIts(event) && event.data.mark === 'high',
      );
      expect(recovered.data.role).toBe('container');
      expect(events.named('GarbageCollected')).toHaveLength(collections);
      expect(events.invalid).toEqual([]);
    } finally {
      await fixture.stopServices();
      await runtime.close();
      image.close();
      spawnSync('umount', [containers]);
    }
  });

  it('remembers first detected over kill -9 and restart, and goes on with its event sequence', async () => {
    await startWorker();
    const kept = await pull('team/kept', 3);
    const before = await records();
    const known = events.all.filter(({ app }) => app === 'gc-worker').length;
    await worker.kill();
    await startWorker();
    const after = await records();
    const ages = (images: typeof before) =>
      images.map(({ imageId, firstDetected }) => ({ imageId, firstDetected }));
    expect(ages(after)).toEqual(ages(before));
    expect(ages(after).map(({ imageId }) => imageId)).toContain(kept);
    await pull('team/later', 3);
    const sequences = events.all.flatMap(({ app, sequence }) =>
      app === 'gc-worker' ? [sequence] : [],
    );
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    // Nothing was detected anew: one more event, of the one new image.
    expect(sequences).toHaveLength(known + 1);
  });

  it('tells an image that somebody else removed as vanished', async () => {
    await startWorker();
    const gone = await pull('team/gone', 3);
    await stack.runtime.removeImages([gone]);
    const removed = await events.waitFor('ImageRemoved', ({ data }) => data.imageId === gone);
    expect(removed.data).toMatchObject({ reason: 'vanished', removedBy: 'unknown' });
  });

  it('stays up without the runtime, says since when, and recovers by itself', async () => {
    await startWorker();
    await pull('team/before', 3);
    await stack.runtime.stop();
    await eventuallyPasses(async () => {
      const { status, body } = await worker.get('/readyz');
      expect(status).toBe(503);
      expect(body).toMatch(/runtime down since 20\d\d-.*: unix:\/\/\S+\.sock/);
    });
    expect((await worker.get('/healthz')).status).toBe(200);
    await expect(send(gcWorker.plan, {})).rejects.toMatchObject(
      refused('UNAVAILABLE', /container runtime at unix:.* is unavailable since /),
    );
    // What it knows it still answers.
    expect((await records()).length).toBeGreaterThan(0);
    await stack.runtime.start();
    await eventuallyPasses(async () => {
      expect((await worker.get('/readyz')).status).toBe(200);
    });
    await pull('team/after', 3);
  });

  it('starts without the runtime and begins when it comes', async () => {
    await stack.runtime.stop();
    await startWorker({}, { ready: 'healthz' });
    expect((await worker.get('/readyz')).status).toBe(503);
    await stack.runtime.start();
    await eventuallyPasses(async () => {
      expect((await worker.get('/readyz')).status).toBe(200);
    });
    await pull('team/late', 3);
  });

  it('collects while NATS is away and tells everything when it is back', async () => {
    await startWorker();
    const away = await pull('team/away', 50);
    await minimumAge();
    const before = events.named('GarbageCollected').length;
    await stack.nats.stop();
    await eventuallyPasses(async () => {
      const { status, body } = await worker.get('/readyz');
      expect([status, body]).toEqual([200, expect.stringContaining('nats degraded')]);
    });
    const filler = await fillTo(highPercent + 1);
    await eventually(() => worker.logLines().find(({ msg }) => msg === 'collection done'), {
      timeoutMs: 60_000,
      what: 'the collection',
    });
    await rm(filler);
    await stack.nats.start();
    await eventually(() => events.named('GarbageCollected').length > before, {
      timeoutMs: 60_000,
      what: 'the events of the collection',
    });
    expect(idsOf(events.named('ImageRemoved'))).toContain(away);
    const sequences = events.all.flatMap(({ app, sequence }) =>
      app === 'gc-worker' ? [sequence] : [],
    );
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
  });

  it('answers plan and run; a plan that is not what would be planned now is refused', async () => {
    await startWorker();
    const one = await pull('team/one', 5);
    const two = await pull('team/two', 5);
    await minimumAge();
    const everything = { bytes: 1 << 30 };
    const plan = await send(gcWorker.plan, everything);
    expect(plan.trigger).toBe('request');
    const verdict = (imageId: string) =>
      plan.images.find((image) => image.imageId === imageId)?.verdict;
    expect([verdict(one), verdict(two)]).toEqual(['remove', 'remove']);
    expect(plan.images.every(({ rule, why }) => rule !== '' && why !== '')).toBe(true);

    const pod = await stack.runPod({
      image: (await stack.pushImage({ name: 'team/two', sizeMb: 5, tag: '1' })).reference,
    });
    await expect(send(gcWorker.run, { planId: plan.planId })).rejects.toMatchObject(
      refused('FAILED_PRECONDITION', new RegExp(`: plan ${plan.planId} is stale: `)),
    );

    const fresh = await send(gcWorker.plan, everything);
    const ran = await send(gcWorker.run, { planId: fresh.planId });
    expect(ran).toMatchObject({ planId: fresh.planId, removedCount: fresh.removeCount });
    expect(ran.measuredBytes).toBeGreaterThan(0);
    const left = await present();
    expect(left).not.toContain(one);
    expect(left).toContain(two);
    await expect(send(gcWorker.run, { planId: fresh.planId })).rejects.toMatchObject(
      refused('FAILED_PRECONDITION', /: plan \S+ is not one of the last 32 plans/),
    );
    await pod.remove();
  });

  it('says with --dry-run what a collection would do, beside a worker and without a trace', async () => {
    await startWorker();
    const idle = await pull('team/dry', 5);
    await minimumAge();
    const dryRun = async (values: Record<string, string> = {}) => {
      const exit = await runApp('gc-worker', { args: ['--dry-run'], env: environment(values) });
      expect([exit.code, exit.stderr]).toEqual([0, '']);
      return JSON.parse(exit.stdout) as CommandReply<typeof gcWorker.plan> & { problems: string[] };
    };
    const own = await dryRun();
    // The records of the worker count: it comes to the same plan as the worker itself.
    expect(own.planId).toBe((await send(gcWorker.plan, {})).planId);
    expect(own.problems).toEqual([]);
    const told = events.all.length;
    const full = await dryRun({
      STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '1',
      STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: '0',
    });
    expect(full.trigger).toBe('threshold');
    expect(full.images.find(({ imageId }) => imageId === idle)).toMatchObject({
      verdict: 'remove',
      rule: 'threshold',
    });
    expect(await present()).toContain(idle);
    // What would go of images whose age nobody knows, on a node where the worker was never started.
    const flags = ['--dry-run', '--bytes', '1Gi', '--assumed-age', '168h'];
    const fresh = await runApp('gc-worker', {
      args: flags,
      env: environment({ STOWAGE_STATE_DIR: path.join(stack.dir, 'fresh') }),
    });
    const assumed = JSON.parse(fresh.stdout) as CommandReply<typeof gcWorker.plan>;
    expect(assumed).toMatchObject({ trigger: 'request', assumedAgeMs: 168 * 3_600_000 });
    expect(assumed.images.find(({ imageId }) => imageId === idle)).toMatchObject({
      verdict: 'remove',
      rule: 'request',
    });
    const wrong = await runApp('gc-worker', { args: ['--bytes', '1Gi'], env: environment() });
    expect([wrong.code, wrong.stderr]).toEqual([64, 'gc-worker: --bytes goes with --dry-run\n']);
    const empty = path.join(stack.dir, 'dry-run');
    const without = await dryRun({ STOWAGE_STATE_DIR: empty, STOWAGE_IMAGE_MINIMUM_GC_AGE: '1h' });
    expect(without.images.find(({ imageId }) => imageId === idle)?.rule).toBe('min-age');
    expect(existsSync(empty)).toBe(false);
    expect(events.all.slice(told)).toEqual([]);
    await stack.runtime.stop();
    const down = await runApp('gc-worker', { args: ['--dry-run'], env: environment() });
    expect([down.code, down.stdout]).toEqual([1, '']);
    expect(down.stderr).toMatch(
      /^gc-worker: --dry-run: container runtime at unix:.* is unavailable/,
    );
  });

  it('keeps an exempt image written with tag and digest, which the runtime lists without the tag', async () => {
    const [kept, gone] = await Promise.all(
      ['team/kept', 'team/gone'].map((name) => stack.pushImage({ name, tag: '1.4' })),
    );
    for (const { reference, digest } of [kept!, gone!]) {
      await stack.pullImage(`${reference}@${digest}`);
    }
    const { repoDigest, reference, digest } = kept!;
    const exit = await runApp('gc-worker', {
      args: ['--dry-run'],
      env: environment({
        STOWAGE_STATE_DIR: path.join(stack.dir, 'tag-and-digest'),
        STOWAGE_EXEMPT_IMAGES: `${reference}@${digest}`,
      }),
    });
    const { images } = JSON.parse(exit.stdout) as CommandReply<typeof gcWorker.plan>;
    const found = (id: string) => images.find(({ imageId }) => imageId === id);
    expect(found(kept!.imageId)).toMatchObject({
      repoTags: [],
      repoDigests: [repoDigest],
      rule: 'exempt',
    });
    expect(found(gone!.imageId)).toMatchObject({ repoTags: [], rule: 'min-age' });
  });

  it('keeps images by label and by namespace of the pods that used them', async () => {
    await startWorker({
      STOWAGE_EXEMPT_RULES: '[{"label":"org.example.keep=*"},{"namespace":"kube-*"}]',
      // Nobody sees the pod removed.
      STOWAGE_LOST_CONTAINER_WAIT: '1s',
    });
    const labelled = await stack.pushImage({
      name: 'team/labelled',
      sizeMb: 3,
      tag: '1',
      labels: { 'org.example.keep': 'yes' },
    });
    const plain = await pull('team/plain', 3);
    const labelledId = await stack.pullImage(labelled.reference);
    const byNamespace = await stack.pushImage({ name: 'team/system', sizeMb: 3, tag: '1' });
    const pod = await stack.runPod({ image: byNamespace.reference, namespace: 'kube-system' });
    await eventually(
      async () => {
        const images = await records();
        return images.some(({ usedBy }) => usedBy.some((user) => user.includes('kube-system')));
      },
      { what: 'the use by kube-system to be seen' },
    );
    await pod.remove();
    await minimumAge();
    await eventuallyPasses(async () => {
      const { images } = await send(gcWorker.plan, { bytes: 1 << 30 });
      const why = (imageId: string | undefined) =>
        images.find((image) => image.imageId === imageId)?.why;
      expect(why(labelledId)).toBe('exempt by label org.example.keep=*');
      const system = images.find(({ repoTags }) => repoTags[0]?.includes('team/system') === true);
      expect(system?.why).toBe('exempt by namespace kube-*');
      expect(images.find(({ imageId }) => imageId === plain)).toMatchObject({ verdict: 'remove' });
    });
  });

  it('counts a shared layer once, and tells an image that comes back after its removal', async () => {
    await startWorker();
    const baseLayer = { seed: 'base', sizeMb: 4 };
    const base = await stack.pushImage({ name: 'team/base', tag: '1', layers: [baseLayer] });
    const app = await stack.pushImage({
      name: 'team/app',
      tag: '1',
      layers: [baseLayer, { seed: 'app', sizeMb: 3 }],
    });
    await stack.pullImage(base.reference);
    await events.waitFor('ImageDetected', ({ data }) => data.imageId === base.imageId);
    await stack.pullImage(app.reference);
    await events.waitFor('ImageDetected', ({ data }) => data.imageId === app.imageId);
    await minimumAge();
    const everything = { bytes: 1 << 30 };
    const expected = async () => {
      const { images } = await send(gcWorker.plan, everything);
      const of = (imageId: string) => images.find((image) => image.imageId === imageId)!;
      return [of(base.imageId), of(app.imageId)];
    };
    const [ofBase, ofApp] = await expected();
    expect(ofBase).toMatchObject({ expectedBytes: 0, expectedIsEstimate: false });
    // With the base image gone its layers are this one's alone: all of it, but no byte twice.
    expect(ofApp!.expectedBytes).toBeGreaterThan(app.sizeBytes - 3 * 2 ** 20);
    expect(ofApp!.expectedBytes).toBeLessThanOrEqual(app.sizeBytes);

    const ran = await send(gcWorker.run, everything);
    await events.waitFor('ImageRemoved', ({ data }) => data.imageId === app.imageId);
    await stack.pullImage(app.reference);
    const back = await events.waitFor(
      'ImageDetected',
      ({ data }) => data.imageId === app.imageId && data.regret !== undefined,
    );
    expect(back.data.regret).toMatchObject({ planId: ran.planId });
    expect((await worker.get('/metrics')).body).toMatch(/^stowage_gc_regrets_total [1-9]/m);
  });

  it.each([
    ['', 'leaky', false],
    [', where containers lie on a file system of their own', 'leaky-split', true],
  ])(
    'tells as leaked what stays on the disk outside the runtime’s knowledge%s',
    async (_, leaky, isSplit) => {
      const image = connectImageService({ endpoint: stack.runtime.endpoint });
      // More than the image file system holds: whoever counts these bytes there finds no leak at
      // all.
      const split = isSplit ? await splitRuntime(image, stack.dir, 2 ** 32) : undefined;
      const { endpoint } = stack.runtime;
      await startWorker({
        STOWAGE_IMAGE_ENDPOINT: isSplit ? `unix://${stack.dir}/split.sock` : endpoint,
      });
      const name = `team/${leaky}`;
      const imageId = await pull(name, 20);
      const sizeBytes = 20 << 20;
      await minimumAge();
      // Links in a folder of their own keep blobs and unpacked files when the runtime has removed
      // its own.
      const { root } = stack.runtime;
      const leaked = path.join(root, 'leaked');
      await mkdir(leaked);
      try {
        for (const part of {
          containerd: [
            'io.containerd.content.v1.content',
            'io.containerd.snapshotter.v1.overlayfs',
          ],
          'cri-o': ['overlay'],
        }[stack.runtime.name]) {
          const copied = spawnSync('cp', ['-alx', path.join(root, part), leaked], {
            encoding: 'utf8',
          });
          expect([copied.status, copied.stderr]).toEqual([0, '']);
        }
        const ran = await send(gcWorker.run, { bytes: 1 << 30 });
        await events.waitFor('ImageRemoved', ({ data }) => data.imageId === imageId);
        const ended = await events.waitFor(
          'GarbageCollectionFailed',
          ({ data }) => data.planId === ran.planId,
        );
        expect(ended.data.measuredBytes).toBeLessThan(sizeBytes);
        expect(ended.data.leakedBytes).toBeGreaterThanOrEqual(sizeBytes);
        const { blocks, bfree, bsize } = statfsSync(root);
        expect(ended.data.leakedBytes).toBeLessThanOrEqual((blocks - bfree) * bsize);
        expect((await worker.get('/metrics')).body).toContain(
          `stowage_gc_leaked_bytes ${ended.data.leakedBytes}`,
        );
      } finally {
        await rm(leaked, { recursive: true, force: true });
        await fixture.stopServices();
        image.close();
        await split?.close();
      }
    },
  );

  it('takes a new policy from the file or at SIGHUP, and refuses a bad one', async () => {
    const file = path.join(stack.dir, 'policy.yaml');
    writeFileSync(file, 'gc-worker: { maxImagesPerRun: 3 }\n');
    await startWorker({}, { args: ['--config', file] });
    const status = () => send(gcWorker.status, {});
    expect((await status()).policy.maxImagesPerRun).toBe(3);
    writeFileSync(file, 'gc-worker: { maxImagesPerRun: 4 }\n');
    await eventuallyPasses(async () => {
      expect((await status()).policy.maxImagesPerRun).toBe(4);
    });
    writeFileSync(file, 'gc-worker: { maxImagesPerRun: -1 }\n');
    process.kill(worker.pid, 'SIGHUP');
    await eventuallyPasses(async () => {
      const { policy, policyRefused } = await status();
      expect(policy.maxImagesPerRun).toBe(4);
      expect(policyRefused?.reason).toBe(
        `gc-worker: configuration: gc-worker.maxImagesPerRun (${file}) is -1; allowed: a whole number from 0 to 1000000`,
      );
      const { status: code, body } = await worker.get('/readyz');
      expect([code, body]).toEqual([200, expect.stringContaining('policy degraded')]);
    });
    expect((await worker.get('/metrics')).body).toContain(
      'stowage_gc_policy_reloads_total{result="refused"} 1',
    );
    writeFileSync(file, 'gc-worker: { maxImagesPerRun: 5 }\n');
    process.kill(worker.pid, 'SIGHUP');
    await eventuallyPasses(async () => {
      const { policy, policyRefused } = await status();
      expect([policy.maxImagesPerRun, policyRefused]).toEqual([5, undefined]);
    });
  });

  const withRoomForLists = testOn(
    'containerd',
    'CRI-O cannot write its list of images on a full file system, and removes none',
  );
  withRoomForLists(
    'frees space on a file system without a byte left, its own state on it too',
    async () => {
      const stateDir = path.join(stack.runtime.root, 'state-of-gc-worker');
      await startWorker({ STOWAGE_STATE_DIR: stateDir });
      const old = await pull('team/full', 10);
      await minimumAge();
      await worker.kill();
      const fillers = path.join(stack.runtime.root, 'fillers');
      await mkdir(fillers);
      await eventually(() => fillUp(fillers), { what: 'the file system to be full' });
      expect(freeBytes()).toBe(0);
      const before = events.named('GarbageCollected').length;
      await startWorker({ STOWAGE_STATE_DIR: stateDir });
      await events.waitFor('ImageRemoved', ({ data }) => data.imageId === old, {
        timeoutMs: 60_000,
      });
      expect(freeBytes()).toBeGreaterThan(10 << 20);
      await rm(fillers, { recursive: true });
      expect(events.named('GarbageCollected').length).toBeGreaterThanOrEqual(before);
      await eventuallyPasses(
        async () => {
          expect((await worker.get('/readyz')).status).toBe(200);
          expect((await worker.get('/metrics')).body).toContain('stowage_gc_records_written 1');
        },
        { timeoutMs: 60_000 },
      );
    },
  );

  it('killed in the middle of a collection, it still accounts for every image', async () => {
    await startWorker();
    const ids: string[] = [];
    for (let index = 0; index < 8; index += 1) ids.push(await pull(`team/killed-${index}`, 3));
    await minimumAge();
    const subject = commandSubject(fixture.node, 'gc-worker', 'run');
    fixture.nats.publish(subject, JSON.stringify({ bytes: 1 << 30 }));
    await eventually(() => worker.logLines().some(({ msg }) => msg === 'image removed'), {
      intervalMs: 1,
    });
    await worker.kill();
    await startWorker();
    let gone: string[] = [];
    await eventuallyPasses(async () => {
      const left = await present();
      gone = ids.filter((imageId) => !left.includes(imageId));
      const told = new Set(idsOf(events.named('ImageRemoved')));
      expect(gone.length).toBeGreaterThan(0);
      expect(gone.filter((imageId) => !told.has(imageId))).toEqual([]);
      expect(left.filter((imageId) => told.has(imageId))).toEqual([]);
    });
    for (const { data } of events.named('ImageRemoved')) {
      // Also the one that nobody saw end: its removal was noted before it began.
      if (gone.includes(data.imageId!)) expect(data.reason).toBe('request');
    }
  });

  it('refuses a second worker on the same state directory', async () => {
    await startWorker();
    const second = await runApp('gc-worker', { env: environment({ STOWAGE_HTTP_ADDR: '' }) });
    expect(second.code).toBe(1);
    expect(second.stderr).toBe(
      `gc-worker: start failed: state directory ${path.join(stack.dir, 'gc-worker')} is in use by another gc-worker: stop it, or give this one a directory of its own (STOWAGE_STATE_DIR)\n`,
    );
  });

  // Without records on disk the lock of the runtime comes before that of the outbox.
  it.each([
    ['', /start failed: state directory \S+\/gc-worker is in use by another gc-worker/],
    ['records', /start failed: another gc-worker works on the runtime at/],
  ])(
    'refuses a second worker on the same state directory from another network namespace (kubelet behaviour: %p)',
    async (kubeletBehaviour, reason) => {
      const values = { STOWAGE_KUBELET_BEHAVIOUR: kubeletBehaviour };
      await startWorker(values);
      const second = startInOtherNetwork(values);
      expect(second.status).toBe(1);
      expect(second.stderr).toMatch(reason);
      // Killed, it leaves nothing behind that would keep the next one out.
      await worker.kill();
      await startWorker(values);
    },
  );

  it('refuses a second worker on the same runtime, whatever its state directory and its network namespace', async () => {
    await startWorker();
    const values = { STOWAGE_STATE_DIR: path.join(stack.dir, 'gc-worker-2') };
    const second = await runApp('gc-worker', {
      env: environment({ STOWAGE_HTTP_ADDR: '', ...values }),
    });
    const elsewhere = startInOtherNetwork(values);
    expect([second.code, elsewhere.status]).toEqual([1, 1]);
    expect(elsewhere.stderr).toBe(second.stderr);
    expect(second.stderr).toBe(
      `gc-worker: start failed: another gc-worker works on the runtime at ${stack.runtime.socket}: two would remove each other's images\n`,
    );
    // Killed, it leaves nothing behind that would keep the next one out.
    await worker.kill();
    await startWorker();
  });

  it.each([
    [
      { STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: '90' },
      'gc-worker: configuration: imageGCLowThresholdPercent (STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT, from environment) is 90; allowed: less than imageGCHighThresholdPercent (75)\n',
    ],
    [
      { STOWAGE_IMAGE_MAXIMUM_GC_AGE: '1s' },
      'gc-worker: configuration: imageMaximumGCAge (STOWAGE_IMAGE_MAXIMUM_GC_AGE, from environment) is "1s"; allowed: 0, or more than imageMinimumGCAge\n',
    ],
  ])('a wrong configuration ends it with 78 and one line: %p', async (values, line) => {
    const exit = await runApp('gc-worker', { env: environment(values) });
    expect([exit.code, exit.stderr]).toEqual([78, line]);
  });

  it('reads kubelet’s own file', async () => {
    const file = path.join(stack.dir, 'kubelet.yaml');
    writeFileSync(
      file,
      'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nimageGCHighThresholdPercent: 71\nimageGCLowThresholdPercent: 70\nimageMinimumGCAge: 5m\nimageMaximumGCAge: 48h\n',
    );
    const checked = await runApp('gc-worker', {
      args: ['--check-config', '--kubelet-config', file],
    });
    expect(checked.code).toBe(0);
    expect(checked.stdout).toMatch(/imageGCHighThresholdPercent\W+71/);
    expect(checked.stdout).toMatch(/imageMinimumGCAge\W+5m/);
    expect(checked.stdout).toMatch(/imageMaximumGCAge\W+48h/);
  });
});
