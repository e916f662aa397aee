import { gcWorker, runtimeGateway } from '@stowage/commands';
import { sendCommand } from '@stowage/commands/client';
import {
  connectImageService,
  connectRuntimeService,
  type ImageServiceClient,
  type RuntimeServiceClient,
} from '@stowage/cri-client';
import {
  ContainerEventType,
  PodSandboxState,
  type ContainerEventResponse,
} from '@stowage/cri-proto';
import { eventually, ServiceFixture, type EventCollection, type Stack } from '@stowage/testing';
import { mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { ShimProcess } from './testing/shim-process';

/**
 * image-service, runtime-gateway and gc-worker on docker-shim's socket, over a real Docker Engine
 * whose data root is a file system of 400 MB.
 */
let fixture: ServiceFixture;
let stack: Stack;
let events: EventCollection;
let shim: ShimProcess;
let images: ImageServiceClient;
let runtime: RuntimeServiceClient;

const { CONTAINER_DELETED_EVENT } = ContainerEventType;
const highPercent = 75;
const minAgeMs = 2000;
const metadata = { name: 'cart-0', namespace: 'shop', uid: 'uid-cart-0', attempt: 0 };

beforeAll(async () => {
  fixture = await ServiceFixture.start({ docker: {}, filesystemMb: 400 });
  ({ stack, events } = fixture);
  shim = new ShimProcess(stack);
  await shim.start({
    env: {
      STOWAGE_NATS_SERVERS: stack.nats.url,
      STOWAGE_PINNED_IMAGES: '*/toolbox:*',
      STOWAGE_SANDBOX_IMAGE: stack.sandboxImage,
    },
  });
  const file = (name: string) => path.join(stack.dir, name);
  const common = { STOWAGE_RUNTIME_ENDPOINT: shim.endpoint };
  const folders = { STOWAGE_DOCKER_CONFIG_DIRS: file('node-config'), STOWAGE_DOCKERCFG_DIRS: '' };
  await fixture.start('image-service', {
    ...common,
    ...folders,
    STOWAGE_LISTEN: file('image.sock'),
  });
  await fixture.start('runtime-gateway', {
    ...common,
    STOWAGE_LISTEN: file('runtime.sock'),
    STOWAGE_LISTEN_READONLY: '',
    STOWAGE_RELIST_INTERVAL: '300ms',
  });
  await fixture.start('gc-worker', {
    ...common,
    STOWAGE_COMMANDS: 'plan,run,images,status',
    STOWAGE_IMAGE_GC_HIGH_THRESHOLD_PERCENT: String(highPercent),
    STOWAGE_IMAGE_GC_LOW_THRESHOLD_PERCENT: '60',
    STOWAGE_IMAGE_MINIMUM_GC_AGE: `${minAgeMs}ms`,
    STOWAGE_DETECTION_INTERVAL: '300ms',
    STOWAGE_DISK_CHECK_INTERVAL: '200ms',
    STOWAGE_COLLECTION_RETRY: '500ms',
  });
  images = connectImageService({ endpoint: `unix://${file('image.sock')}` });
  runtime = connectRuntimeService({ endpoint: `unix://${file('runtime.sock')}` });
}, 120_000);

afterAll(async () => {
  images.close();
  runtime.close();
  await fixture.stopServices();
  await shim.stop();
  await fixture.down();
});

/** Pushes an image and pulls it through image-service; returns its id when gc-worker knows it. */
async function pull(name: string, sizeMb: number): Promise<string> {
  const { reference } = await stack.pushImage({ name, tag: '1', sizeMb });
  const { imageRef } = await images.pullImage({ image: { image: reference } });
  await events.waitFor('ImageDetected', ({ data }) => data.imageId === imageRef);
  return imageRef;
}

const usedPercent = () => {
  const { bavail, blocks } = statfsSync(stack.docker.root);
  return 100 - Math.trunc((bavail * 100) / blocks);
};

/** Takes space from the file system until so many percent are used. */
function fillTo(percent: number): string {
  const file = path.join(stack.docker.root, 'filler');
  const { bavail, bsize, blocks } = statfsSync(stack.docker.root);
  const bytes = bavail * bsize - Math.floor((blocks * bsize * (100 - percent)) / 100);
  writeFileSync(file, Buffer.alloc(Math.max(0, bytes), 1));
  return file;
}

const present = async () =>
  new Set((await shim.image.listImages({})).images.flatMap(({ repoTags }) => repoTags));

it('image-service pulls a private image with credentials, and is refused without', async () => {
  const { host, username, password } = stack.registry.auth;
  const secret = await stack.pushImage({ name: 'team/secret', tag: '1', to: 'auth' });
  const image = { image: secret.reference };
  const refused = images.pullImage({ image });
  await expect(refused).rejects.toThrow(/no basic auth credentials|unauthorized/i);
  await expect(refused).rejects.toThrow('[tried: no credentials: unauthorized]');
  expect((await events.waitFor('ImagePullFailed')).data).toMatchObject({
    reference: secret.reference,
    error: { code: 'unauthorized' },
  });
  const wrong = `not-${password}`;
  const error = await images
    .pullImage({ image, auth: { username, password: wrong } })
    .catch((reason: unknown) => reason);
  expect(String(error)).toMatch(/unauthorized/);
  expect(String(error)).not.toContain(wrong);

  const { imageRef } = await images.pullImage({ image, auth: { username, password } });
  expect((await shim.image.imageStatus({ image })).image?.id).toBe(imageRef);
  const pulled = await events.waitFor('ImagePulled', ({ data }) => data.imageRef === imageRef);
  expect(pulled).toMatchObject({
    subject: imageRef,
    data: {
      reference: secret.reference,
      imageId: imageRef,
      repoDigest: secret.repoDigest,
      credential: { source: 'request' },
    },
  });

  // The node's own credentials, without any in the request.
  await images.removeImage({ image });
  expect(await present()).not.toContain(secret.reference);
  const basic = Buffer.from(`${username}:${password}`).toString('base64');
  const folder = path.join(stack.dir, 'node-config');
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    path.join(folder, 'config.json'),
    JSON.stringify({ auths: { [host]: { auth: basic } } }),
  );
  expect(await images.pullImage({ image })).toEqual({ imageRef });
  expect(shim.app.stdout).not.toContain(password);
  await images.removeImage({ image });
}, 60_000);

it('a pod lives through runtime-gateway, and its life is published in order', async () => {
  const image = await stack.pushImage({ name: 'team/app', tag: '1' });
  const { imageRef } = await images.pullImage({ image: { image: image.reference } });
  const seen: ContainerEventResponse[] = [];
  const watching = new AbortController();
  const watched = (async () => {
    const stream = runtime.getContainerEvents({}, { signal: watching.signal });
    for await (const event of stream) seen.push(event);
  })().catch(() => undefined);

  const sandboxConfig = { metadata, logDirectory: path.join(stack.dir, 'cart-0'), linux: {} };
  const { podSandboxId } = await runtime.runPodSandbox({ config: sandboxConfig });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig,
    config: {
      metadata: { name: 'main', attempt: 0 },
      image: { image: imageRef, userSpecifiedImage: 'team/app:1' },
      command: ['/bin/sh', '-c', 'echo serving; until [ -e /end ]; do sleep 0.1; done; exit 3'],
      envs: [{ key: 'PASSWORD', value: Buffer.from('secret-of-the-environment') }],
      logPath: 'main.log',
      linux: {},
    },
  });
  await runtime.startContainer({ containerId });
  const { stdout, exitCode } = await runtime.execSync({
    containerId,
    cmd: ['/bin/sh', '-c', 'echo $((6 * 7))'],
    timeout: 10n,
  });
  expect([Buffer.from(stdout).toString(), exitCode]).toEqual(['42\n', 0]);
  const logFile = path.join(sandboxConfig.logDirectory, 'main.log');
  await eventually(() => /^\S+Z stdout F serving\n$/.test(readFileSync(logFile, 'utf8')));
  const pods = await sendCommand(
    fixture.nats,
    fixture.node,
    runtimeGateway.pods,
    {},
    { timeoutMs: 20_000 },
  );
  expect(pods).toMatchObject({
    pods: [{ containers: [{ id: containerId, podSandboxId, state: 'running' }] }],
  });

  for (const kind of ['sandboxes', 'containers']) {
    const running = await shim.app.metric(`stowage_shim_${kind}{state="running"}`);
    expect([kind, running]).toEqual([kind, 1]);
  }

  // It ends by itself, which no call shows.
  const end = ['/bin/sh', '-c', '(sleep 0.5; touch /end) >/dev/null 2>&1 &'];
  await runtime.execSync({ containerId, cmd: end, timeout: 10n });
  const of = ({ subject }: { subject: string }) => subject === containerId;
  const stopped = await events.waitFor('ContainerStopped', of);
  expect(stopped.data).toMatchObject({ exitCode: 3, reason: 'Error', requested: false });
  await runtime.removeContainer({ containerId });
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
  await events.waitFor('PodSandboxRemoved', ({ subject }) => subject === podSandboxId);

  const about = events.all.filter(({ subject }) => [podSandboxId, containerId].includes(subject));
  expect(about.map(({ name }) => name)).toEqual([
    'PodSandboxStarted',
    'ContainerCreated',
    'ContainerStarted',
    'ContainerStopped',
    'ContainerRemoved',
    'PodSandboxStopped',
    'PodSandboxRemoved',
  ]);
  expect(about[1]?.data).toMatchObject({
    containerId,
    podSandboxId,
    pod: { name: 'cart-0', namespace: 'shop', uid: 'uid-cart-0' },
    name: 'main',
    image: { imageId: imageRef, userSpecifiedReference: 'team/app:1' },
  });
  expect(JSON.stringify(events.all)).not.toContain('secret-of-the-environment');

  // Nobody was shown the sandbox as ended while it was made.
  await eventually(() =>
    seen.some(({ containerEventType: type }) => type === CONTAINER_DELETED_EVENT),
  );
  const first = seen.find(({ podSandboxStatus }) => podSandboxStatus?.id === podSandboxId);
  expect(first?.podSandboxStatus?.state).toBe(PodSandboxState.SANDBOX_READY);
  watching.abort();
  await watched;
}, 60_000);

it('gc-worker keeps records, and collects when the data root crosses its mark', async () => {
  const inUse = await pull('team/web', 15);
  const sandboxConfig = { metadata: { ...metadata, name: 'web-0', uid: 'uid-web-0' } };
  const { podSandboxId } = await runtime.runPodSandbox({ config: sandboxConfig });
  await runtime.createContainer({
    podSandboxId,
    sandboxConfig,
    config: { metadata: { name: 'web', attempt: 0 }, image: { image: inUse } },
  });
  // Pulled past the suite, as an operator would.
  const toolbox = await stack.pushImage({ name: 'ops/toolbox', tag: '1', sizeMb: 10 });
  const colon = toolbox.reference.lastIndexOf(':');
  await stack.docker.api(
    'POST',
    `/images/create?fromImage=${toolbox.reference.slice(0, colon)}&tag=1`,
  );
  // By its id: it has no name yet in the moment between its last layer and its tag.
  const { Id } = (await stack.docker.api('GET', `/images/${toolbox.reference}/json`)) as {
    Id: string;
  };
  await events.waitFor('ImageDetected', ({ data }) => data.imageId === Id);
  const old = [await pull('team/old-1', 40), await pull('team/old-2', 40)];
  const over = Date.now() + minAgeMs;
  await eventually(() => Date.now() > over, { timeoutMs: minAgeMs + 5000 });
  const recent = await pull('team/recent', 10);

  const before = statfsSync(stack.docker.root);
  const filler = fillTo(highPercent + 2);
  const exceeded = await events.waitFor('ThresholdExceeded', ({ data }) => data.mark === 'high');
  // Where the images are: containerd's have a folder of their own.
  const { root, imageStore } = stack.docker;
  expect(exceeded.data.filesystem.mountpoint).toBe(
    imageStore === 'containerd' ? path.join(root, 'containerd') : root,
  );
  const collected = await events.waitFor('GarbageCollected', undefined, { timeoutMs: 60_000 });
  await events.waitFor('ThresholdRecovered', ({ data }) => data.mark === 'high');
  expect(usedPercent()).toBeLessThan(highPercent);

  const removed = events
    .named('ImageRemoved')
    .filter(({ data }) => data.planId === collected.data.planId)
    .map(({ data }) => data.imageId);
  expect(removed).toEqual(expect.arrayContaining([old[0]]));
  for (const kept of [inUse, recent]) expect(removed).not.toContain(kept);
  expect(collected.data.keptByReason).toMatchObject({ 'in-use': 1, pinned: 2 });
  // One kind of copy lies on Docker's disk: what an image is said to take is about what is freed.
  const { expectedBytes, measuredBytes = 0 } = collected.data;
  expect(measuredBytes / expectedBytes).toBeGreaterThan(0.5);
  expect(measuredBytes / expectedBytes).toBeLessThan(2);
  const host = stack.registry.open.host;
  const tags = await present();
  for (const name of ['team/web', 'team/recent', 'ops/toolbox']) {
    expect(tags).toContain(`${host}/${name}:1`);
  }
  expect(tags).toContain(stack.sandboxImage);
  expect(tags).not.toContain(`${host}/team/old-1:1`);

  const { lastCollection } = await sendCommand(
    fixture.nats,
    fixture.node,
    gcWorker.status,
    {},
    { timeoutMs: 20_000 },
  );
  const reasons = new Map(lastCollection?.images.map(({ imageId, rule }) => [imageId, rule]));
  expect([reasons.get(inUse), reasons.get(old[0]!)]).toEqual(['in-use', 'threshold']);

  await rm(filler);
  expect(statfsSync(stack.docker.root).bavail).toBeGreaterThan(before.bavail);
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
  expect(events.invalid).toEqual([]);
}, 120_000);
