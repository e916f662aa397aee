import { ContainerState, PodSandboxState } from '@stowage/cri-proto';
import { RuntimeUnavailableError } from '@stowage/errors';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually, type PushedImage, type Stack, startStack } from '@stowage/testing';
import { CommandExitError, CommandTimeoutError, CriError, kubeletErrorText } from './errors';
import { connectImageService } from './image-service';
import { connectRuntimeService } from './runtime-service';
import type { ImageServiceClient, RuntimeAvailability, RuntimeServiceClient } from './types';

let stack: Stack;
let runtime: RuntimeServiceClient;
let images: ImageServiceClient;
let app: PushedImage;
let secret: PushedImage;

beforeAll(async () => {
  stack = await startStack({ nats: false });
  const { endpoint } = stack.containerd;
  runtime = connectRuntimeService({ endpoint });
  images = connectImageService({ endpoint });
  [app, secret] = await Promise.all([
    stack.pushImage({ name: 'team/app', sizeMb: 3 }),
    stack.pushImage({ name: 'team/secret', to: 'auth' }),
  ]);
});
afterAll(async () => {
  runtime.close();
  images.close();
  await stack.down();
});

async function failure(call: Promise<unknown>): Promise<Error> {
  try {
    await call;
  } catch (error) {
    return error as Error;
  }
  throw new Error('the call did not fail');
}

it('speaks v1 with containerd', async () => {
  const version = await runtime.version();
  expect(version).toMatchObject({ runtimeName: 'containerd', runtimeApiVersion: 'v1' });
  const { status } = await runtime.status({ verbose: true });
  expect(status?.conditions).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ type: 'RuntimeReady', status: true }),
      expect.objectContaining({ type: 'NetworkReady', status: true }),
    ]),
  );
  expect(runtime.availability()).toMatchObject({ available: true, version: 'v1' });
});

it('pulls, looks up, lists and removes images', async () => {
  const image = { image: app.reference };
  const { imageRef } = await images.pullImage({ image });
  expect(imageRef).toBe(app.imageId);
  const found = await images.imageStatus({ image });
  expect(found.image).toMatchObject({ id: app.imageId, repoTags: [app.reference] });
  expect((await images.listImages({ filter: { image } })).images).toHaveLength(1);
  const { imageFilesystems } = await images.imageFsInfo();
  expect(imageFilesystems[0]?.fsId?.mountpoint).toContain(stack.containerd.root);
  await images.removeImage({ image });
  await images.removeImage({ image });
  expect((await images.imageStatus({ image })).image).toBeUndefined();
});

it('keeps the words of containerd when it refuses a pull', async () => {
  const { username, password } = stack.registry.auth;
  const image = { image: secret.reference };
  const denied = await failure(
    images.pullImage({ image, auth: { username, password: `${password}!` } }),
  );
  expect(denied).toBeInstanceOf(CriError);
  expect(denied.message).toMatch(/authorization failed|401/);
  expect(denied.message).not.toMatch(password);
  const absent = await failure(
    images.pullImage({ image: { image: `${stack.registry.open.host}/team/none:1` } }),
  );
  expect(absent).toMatchObject({ grpcStatus: 'NOT_FOUND', method: 'PullImage' });
  expect(kubeletErrorText(absent)).toMatch(/^rpc error: code = NotFound desc = failed to pull/);
  await images.pullImage({ image, auth: { username, password } });
});

it('lists by stream where the runtime can, and as ever where it cannot', async () => {
  const streaming = connectImageService({
    endpoint: stack.containerd.endpoint,
    listStreaming: true,
  });
  try {
    const ids = async (client: ImageServiceClient) =>
      (await client.listImages()).images.map(({ id }) => id).sort();
    expect(await ids(streaming)).toEqual(await ids(images));
  } finally {
    streaming.close();
  }
});

describe('a pod', () => {
  let pod: Awaited<ReturnType<Stack['runPod']>>;

  beforeAll(async () => {
    pod = await stack.runPod({ image: app.reference, labels: { app: 'web' } });
  });
  afterAll(() => pod.remove());

  it('is listed and described, with its container', async () => {
    const { podSandboxId, containerId } = pod;
    const { items } = await runtime.listPodSandbox({ filter: { labelSelector: { app: 'web' } } });
    expect(items).toMatchObject([{ id: podSandboxId, state: PodSandboxState.SANDBOX_READY }]);
    const { status: sandbox } = await runtime.podSandboxStatus({ podSandboxId });
    expect(sandbox?.network?.ip).toBe(pod.ip);
    const { containers } = await runtime.listContainers({ filter: { podSandboxId } });
    expect(containers.map(({ id }) => id)).toEqual([containerId]);
    const { status } = await runtime.containerStatus({ containerId });
    expect(status).toMatchObject({
      state: ContainerState.CONTAINER_RUNNING,
      imageRef: app.repoDigest,
    });
    expect(status?.createdAt).toBeGreaterThan(0n);
    expect(await failure(runtime.containerStatus({ containerId: 'none' }))).toMatchObject({
      grpcStatus: 'NOT_FOUND',
    });
  });

  it('runs commands: output, exit code, time limit', async () => {
    const { containerId } = pod;
    const run = (script: string, timeout = 10) =>
      runtime.execSync({ containerId, cmd: ['sh', '-c', script], timeout });
    expect(Buffer.from((await run('echo out; echo err >&2')).stdout).toString()).toBe('out\n');
    const exit = await failure(run('echo bad >&2; exit 3'));
    expect(exit).toBeInstanceOf(CommandExitError);
    expect(exit.message).toBe("command 'sh -c echo bad >&2; exit 3' exited with 3: bad\n");
    const late = await failure(run('exec sleep 60', 1));
    expect(late).toBeInstanceOf(CommandTimeoutError);
    expect(late.message).toBe('command timed out: "sh -c exec sleep 60" timed out after 1s');
  });

  it('gives its usage and URLs of the streaming server', async () => {
    const { podSandboxId, containerId } = pod;
    const { stats } = await runtime.containerStats({ containerId });
    expect(stats?.attributes?.id).toBe(containerId);
    const { url } = await runtime.exec({ containerId, cmd: ['sh'], stdout: true });
    expect(url).toMatch(/^http/);
    expect((await runtime.portForward({ podSandboxId, port: [80] })).url).toMatch(/^http/);
  });
});

it('a pull given up is ended by the runtime too: it leaves the registry', async () => {
  let isLeft = false;
  const { port, close, reached } = await startDeafRegistry(() => {
    isLeft = true;
  });
  try {
    const abort = new AbortController();
    const image = { image: `127.0.0.1:${port}/team/app:1` };
    const pull = failure(images.pullImage({ image }, { signal: abort.signal }));
    await reached;
    expect(isLeft).toBe(false);
    abort.abort();
    expect((await pull).message).toBe('PullImage was cancelled by the caller');
    await eventually(() => isLeft);
  } finally {
    close();
  }
});

/**
 * A registry that takes requests and does not answer; `onLeft` is called when the first one is
 * given up.
 */
async function startDeafRegistry(onLeft: () => void) {
  let enter: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => (enter = resolve));
  const server = createServer((_request, response) => {
    enter();
    response.once('close', onLeft);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    reached,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

it('containerd killed and started again under calls: they fail at once, and it is found again', async () => {
  const client = connectRuntimeService({ endpoint: stack.containerd.endpoint });
  const seen: RuntimeAvailability[] = [];
  client.onAvailability((now) => seen.push(now));
  try {
    await client.whenAvailable();
    await stack.containerd.kill();
    await eventually(() => client.availability().reason?.startsWith('connect ') === true);
    const error = await failure(client.version());
    expect(error).toBeInstanceOf(RuntimeUnavailableError);
    expect(error.message).toMatch(
      new RegExp(
        `^container runtime at unix://\\S+ is unavailable since \\S+: connect ECONNREFUSED ${stack.containerd.socket}$`,
      ),
    );
    await stack.containerd.start();
    await client.whenAvailable();
    expect((await client.version()).runtimeName).toBe('containerd');
    expect(seen.at(0)).toMatchObject({ available: true, connections: 1 });
    expect(seen.at(-1)).toMatchObject({ available: true, connections: 2, version: 'v1' });
    await images.whenAvailable();
  } finally {
    client.close();
  }
});
