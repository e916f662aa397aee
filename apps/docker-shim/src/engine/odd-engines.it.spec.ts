import {
  connectImageService,
  connectRuntimeService,
  type ImageServiceClient,
  type RuntimeServiceClient,
} from '@stowage/cri-client';
import { answerJson, eventually, FakeEngine, spawnApp, type AppProcess } from '@stowage/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** docker-shim as a process on engines that no machine of ours has. */
let folder: string;
let fake: FakeEngine;
let shim: AppProcess;
let image: ImageServiceClient;
let runtime: RuntimeServiceClient;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'odd-engines-'));
  fake = new FakeEngine(path.join(folder, 'docker.sock'));
  fake.info = { ...fake.info, DockerRootDir: folder };
  await fake.start();
  const listen = path.join(folder, 'shim.sock');
  shim = await spawnApp('docker-shim', {
    ready: 'healthz',
    env: {
      STOWAGE_NODE_NAME: 'node-1',
      STOWAGE_LISTEN: listen,
      STOWAGE_STATE_DIR: path.join(folder, 'state'),
      STOWAGE_DOCKER_ENDPOINT: `unix://${fake.socketPath}`,
      STOWAGE_NETWORK_MODE: 'bridge',
      STOWAGE_IMAGE_PULL_PROGRESS_DEADLINE: '2s',
    },
  });
  image = connectImageService({ endpoint: `unix://${listen}` });
  runtime = connectRuntimeService({ endpoint: `unix://${listen}` });
  await runtime.whenAvailable();
}, 60_000);

afterAll(async () => {
  image.close();
  runtime.close();
  await shim.stop();
  await fake.stop();
  rmSync(folder, { recursive: true, force: true });
});

const ready = async () =>
  (await runtime.status({})).status?.conditions.find(({ type }) => type === 'RuntimeReady');

// D26
it.each([
  ['1.60', '1.60', 'DockerApiTooNew', 'min-api-version'],
  ['1.12', '1.30', 'DockerApiTooOld', '20.10 or later'],
])(
  'an engine that speaks %s to %s is %s, in words, until it is another one',
  async (lowestApi, api, reason, advice) => {
    const usable = fake.version;
    await eventually(async () => (await ready())?.status === true);
    await fake.stop();
    fake.version = { engine: 'odd', api, lowestApi };
    await fake.start();
    const condition = await eventually(
      async () => {
        const now = await ready();
        return now?.reason === reason && now;
      },
      { timeoutMs: 8000, what: reason },
    );
    expect(condition).toMatchObject({ status: false });
    for (const part of [lowestApi, api, '1.41', '1.54', advice]) {
      expect(condition.message).toContain(part);
    }
    await expect(image.listImages({})).rejects.toMatchObject({ grpcStatus: 'UNAVAILABLE' });
    expect(await shim.readiness()).toMatchObject({
      status: 503,
      text: expect.stringContaining(api) as string,
    });
    expect((await shim.get('/healthz')).status).toBe(200);

    await fake.stop();
    fake.version = usable;
    await fake.start();
    await eventually(async () => (await ready())?.status === true, { timeoutMs: 8000 });
    expect((await shim.readiness()).status).toBe(200);
  },
  40_000,
);

// D07
it('a pull lives as long as its layers move, and is cut when nothing does', async () => {
  let isMoving = true;
  let cut = 0;
  fake.answer = ({ path: asked }, response) => {
    if (asked.startsWith('/images/reg.example')) {
      return answerJson(response, 200, { Id: `sha256:${'ab'.repeat(32)}` });
    }
    // The client asks for it to find out which version of the CRI is spoken.
    if (asked === '/system/df') return answerJson(response, 200, { LayersSize: 1 });
    if (asked !== '/images/create') return false;
    let current = 0;
    const timer = setInterval(() => {
      if (!isMoving && current > 2) return;
      current += 1;
      const progressDetail = { current, total: 100 };
      response.write(`${JSON.stringify({ id: 'a1b2', status: 'Extracting', progressDetail })}\n`);
      if (isMoving && current === 16) response.end();
    }, 300);
    response.on('close', () => {
      clearInterval(timer);
      cut += 1;
    });
    return true;
  };
  await image.whenAvailable();
  const pull = () => image.pullImage({ image: { image: 'reg.example/a:1' } });
  // Some five seconds, more than twice the deadline.
  expect(await pull()).toEqual({ imageRef: `sha256:${'ab'.repeat(32)}` });
  expect(cut).toBe(1);

  isMoving = false;
  const before = performance.now();
  await expect(pull()).rejects.toMatchObject({
    grpcStatus: 'DEADLINE_EXCEEDED',
    message: expect.stringContaining('a1b2: Extracting 3 bytes') as string,
  });
  expect(performance.now() - before).toBeGreaterThan(2000);
  expect(performance.now() - before).toBeLessThan(5000);
  await eventually(() => cut === 2);
  expect(await shim.metric('stowage_shim_pulls_stalled_total')).toBe(1);
}, 30_000);
