import { ContainerState, CreateContainerRequest } from '@stowage/cri-proto';
import { answerJson, eventually, FakeEngine } from '@stowage/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EngineConnection } from '../engine/engine-connection';
import { ImageLocks } from '../image/image-locks';
import { RemoveImage } from '../image/remove-image';
import { sandboxLabels } from '../pod/labels';
import { ListedContainers } from '../pod/listed-containers';
import { PodQueue } from '../pod/pod-queue';
import { Pods } from '../pod/pods';
import { FakeContainers, type FakeContainer } from '../testing/fake-containers';
import { ContainerRecords } from './container-records';
import { ContainerStatus } from './container-status';
import { Containers } from './containers';
import { CreateContainer } from './create-container';
import { ImageFiles } from './image-files';
import { ListContainers } from './list-containers';
import { OomKills } from './oom-kills';
import { RemoveContainer } from './remove-container';
import { StartContainer } from './start-container';
import { StopContainer } from './stop-container';

const imageId = `sha256:${'fe'.repeat(32)}`;
const pod = { name: 'web-0', namespace: 'shop', uid: '8f2a', attempt: 0 };
const gone = new Error('the caller is gone');

describe('containers on an engine with faults', () => {
  let folder: string;
  let fake: FakeEngine;
  let engine: FakeContainers;
  let connection: EngineConnection;
  let sandbox: FakeContainer;
  let warnings: unknown[];
  let logFails: Error | undefined;
  let hasImage: boolean;
  let verbs: ReturnType<typeof allVerbs>;

  function allVerbs() {
    const listed = new ListedContainers();
    const containers = new Containers(connection, listed);
    const checkpoints = { ids: () => Promise.resolve([]) };
    const pods = new Pods(connection, checkpoints, { get: () => undefined }, listed);
    const records = new ContainerRecords(path.join(folder, 'containers'));
    const locks = new ImageLocks();
    const logs = {
      mode: 'copy' as const,
      engineConfig: () => ({ Type: 'json-file' as const, Config: {} }),
      prepare: () => (logFails === undefined ? Promise.resolve() : Promise.reject(logFails)),
      follow: () => Promise.resolve(),
      ended: () => Promise.resolve(),
      removed: () => Promise.resolve(),
    };
    const cgroups = { holds: () => true, find: () => undefined };
    const log = { warn: (...args: unknown[]) => void warnings.push(args) };
    const queue = new PodQueue();
    const shared = { connection, containers, queue, records, logs, cgroups, log };
    const files = new ImageFiles(connection);
    return {
      create: new CreateContainer({ ...shared, pods, locks, files, restrictOomScoreAdj: true }),
      start: new StartContainer(shared),
      stop: new StopContainer(connection, containers),
      remove: new RemoveContainer(shared),
      status: new ContainerStatus(connection, containers, records, logs, cgroups, new OomKills()),
      list: new ListContainers(containers),
      removeImage: new RemoveImage(connection, locks, () => undefined),
    };
  }

  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'create-container-'));
    fake = new FakeEngine(path.join(folder, 'docker.sock'));
    engine = new FakeContainers(fake);
    engine.images.add(imageId);
    hasImage = true;
    const answer = fake.answer;
    fake.answer = (request, response) => {
      const [, name] = /^\/images\/(.+?)(?:\/json)?$/.exec(request.path) ?? [];
      if (name === undefined || name === 'create') return answer(request, response);
      if (!hasImage) return answerJson(response, 404, { message: `No such image: ${name}` });
      if (request.method === 'DELETE') {
        hasImage = false;
        engine.images.clear();
        return answerJson(response, 200, []);
      }
      return answerJson(response, 200, { Id: imageId, RepoTags: ['app:1'] });
    };
    await fake.start();
    connection = new EngineConnection({ socketPath: fake.socketPath, timeoutMs: 10_000 });
    await eventually(() => connection.availability().available);
    const facts = { metadata: pod, labels: {}, annotations: {}, runtimeHandler: '' };
    sandbox = engine.add({
      name: 'k8s_POD_web-0_shop_8f2a_0',
      status: 'running',
      body: { Labels: sandboxLabels(facts) },
    });
    warnings = [];
    logFails = undefined;
    verbs = allVerbs();
  });
  afterEach(async () => {
    await connection.close();
    await fake.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const { signal } = new AbortController();
  const request = (name = 'app') =>
    CreateContainerRequest.fromPartial({
      podSandboxId: sandbox.id,
      config: { metadata: { name, attempt: 0 }, image: { image: 'app:1' } },
    });
  const create = (name?: string, call = { signal }) => verbs.create.create(request(name), call);
  const all = () => [...engine.all.keys()];
  const listOf = async (call: Promise<unknown>) => {
    const before = engine.calls.length;
    await call;
    return engine.calls.slice(before);
  };

  it('an abandoned create leaves nothing', async () => {
    const caller = new AbortController();
    engine.next('create', () => caller.abort(gone));
    await expect(create('app', caller)).rejects.toBe(gone);
    expect(all()).toEqual([sandbox.id]);
    // The next one finds no leftover.
    const id = await create();
    expect(all()).toEqual([sandbox.id, id]);
  });

  it('a create whose log cannot be written leaves nothing, and says why', async () => {
    logFails = new Error('disk full');
    await expect(create()).rejects.toBe(logFails);
    expect(all()).toEqual([sandbox.id]);
    logFails = new Error('disk full again');
    engine.next('remove', { status: 500 });
    await expect(create()).rejects.toBe(logFails);
    expect(warnings).toMatchObject([
      [{ containerId: all()[1] }, 'a container whose creation failed could not be removed'],
    ]);
  });

  it('what is missing is named: the image, the sandbox', async () => {
    engine.next('create', () => {
      hasImage = false;
      engine.images.clear();
    });
    await expect(create()).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND', kind: 'image' });
    hasImage = true;
    engine.images.add(imageId);
    engine.next('create', { status: 404, message: 'no such volume driver' });
    await expect(create()).rejects.toMatchObject({ message: 'no such volume driver' });
    sandbox.status = 'exited';
    await expect(create()).rejects.toMatchObject({ grpcStatus: 'FAILED_PRECONDITION' });
    engine.all.delete(sandbox.id);
    await expect(create()).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND', kind: 'pod sandbox' });
  });

  it('an image is not removed while a container of it is created', async () => {
    let removal: Promise<void> | undefined;
    engine.next('create', async () => {
      removal = verbs.removeImage.remove('app:1', { signal });
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(hasImage).toBe(true);
    });
    const id = await create();
    // The fake does not list images of containers: the removal came after, that is all.
    await removal;
    expect([hasImage, all()]).toEqual([false, [sandbox.id, id]]);
  });

  it('a container whose start is given up does not run on', async () => {
    const id = await create();
    const caller = new AbortController();
    engine.next('start', () => caller.abort(gone));
    await expect(verbs.start.start(id, caller)).rejects.toBe(gone);
    expect(engine.all.get(id)?.status).toBe('exited');
  });

  it('a start needs what the engine needs for it, and says what', async () => {
    const id = await create();
    engine.next('start', { status: 404, message: 'No such container: the sandbox' });
    await expect(verbs.start.start(id, { signal })).rejects.toMatchObject({
      grpcStatus: 'FAILED_PRECONDITION',
      message: 'No such container: the sandbox',
    });
    engine.next('start', () => void engine.all.delete(id));
    await expect(verbs.start.start(id, { signal })).rejects.toMatchObject({
      grpcStatus: 'NOT_FOUND',
    });
  });

  it('calls about one pod wait for each other; a stop does not', async () => {
    const [a, b] = [await create('a'), await create('b')];
    await verbs.start.start(b, { signal });
    let stopped = false;
    engine.next('start', async () => {
      await verbs.stop.stop(b, 0n, { signal });
      stopped = true;
      expect(engine.all.has(b)).toBe(true);
    });
    const started = verbs.start.start(a, { signal });
    const removed = verbs.remove.remove(b, { signal });
    await started;
    expect(stopped).toBe(true);
    await removed;
    expect(engine.all.has(b)).toBe(false);
  });

  it('a stop that is given up goes on in the engine', async () => {
    const id = await create();
    await verbs.start.start(id, { signal });
    const caller = new AbortController();
    let goOn: () => void = () => undefined;
    engine.next('stop', () => {
      caller.abort(gone);
      return new Promise<void>((resolve) => (goOn = resolve));
    });
    await expect(verbs.stop.stop(id, 5n, caller)).rejects.toBe(gone);
    goOn();
    await eventually(() => engine.all.get(id)?.status === 'exited');
    const { query } = fake.requests.find(({ path: asked }) => asked.endsWith('/stop'))!;
    expect(query.get('t')).toBe('5');
  });

  it('a removal that the engine has begun already is waited for', async () => {
    const id = await create();
    engine.next('remove', {
      status: 409,
      message: `removal of container ${id} is already in progress`,
    });
    const removed = verbs.remove.remove(id, { signal });
    setTimeout(() => engine.all.delete(id), 120);
    await removed;
    expect(engine.all.has(id)).toBe(false);
    await verbs.remove.remove(id, { signal });
    await verbs.stop.stop(id, 5n, { signal });
  });

  it('a list costs one call once its containers are known, whatever their state', async () => {
    const ids = [await create('a'), await create('b')];
    await verbs.start.start(ids[0]!, { signal });
    const list = () => verbs.list.list(undefined, { signal });
    await list();
    expect(await listOf(list())).toEqual(['list']);
    expect((await list()).map(({ state }) => state)).toEqual([
      ContainerState.CONTAINER_RUNNING,
      ContainerState.CONTAINER_CREATED,
    ]);
    // Another process does not know yet whether one could not be started.
    verbs = allVerbs();
    expect((await listOf(list())).filter((call) => call === 'inspect')).toHaveLength(3);
    expect(await listOf(list())).toEqual(['list']);
  });

  it('a start costs two inspections', async () => {
    const id = await create();
    expect(await listOf(verbs.start.start(id, { signal }))).toEqual([
      'inspect',
      'start',
      'inspect',
    ]);
  });

  it('the beginning of an id has to be that of one container', async () => {
    const [a] = [await create('a'), await create('b')];
    await expect(verbs.status.status('0', { signal })).rejects.toMatchObject({
      grpcStatus: 'INVALID_ARGUMENT',
    });
    expect((await verbs.status.status(a.slice(0, 2), { signal })).status?.id).toBe(a);
    for (const unknown of ['ffff', 'web-0', sandbox.id]) {
      await expect(verbs.status.status(unknown, { signal })).rejects.toMatchObject({
        grpcStatus: 'NOT_FOUND',
      });
      await verbs.stop.stop(unknown, 0n, { signal });
      await verbs.remove.remove(unknown, { signal });
    }
    expect(engine.all.get(sandbox.id)?.status).toBe('running');
  });
});
