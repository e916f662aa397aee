import { readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectImageService, type ImageServiceClient } from '@stowage/cri-client';
import { commandSubject } from '@stowage/events';
import {
  eventually,
  freePort,
  ServiceFixture,
  type AppProcess,
  type EventCollection,
  type Stack,
} from '@stowage/testing';
import { FakeRegistry } from '../testing/fake-registry';

const logged = (app: AppProcess, message: string) =>
  app.logLines().some(({ msg }) => msg === message);
const isReady = (app: AppProcess) => logged(app, 'ready');
/** `stopTimeout` of one that is replaced, which must not end its pulls. */
const stopSeconds = 2;

describe('a take-over of image-service', () => {
  let fixture: ServiceFixture;
  let stack: Stack;
  let registry: FakeRegistry;
  let events: EventCollection;
  const clients: ImageServiceClient[] = [];
  let nodes = 0;
  /** Layers of repositories below `slow/` come whole only after this. */
  let finish: () => void;
  let isFinished: Promise<void>;

  beforeAll(async () => {
    fixture = await ServiceFixture.start();
    ({ stack, events } = fixture);
    registry = await FakeRegistry.start();
    registry.fault = ({ kind, repository }) =>
      kind === 'blob' && repository.startsWith('slow/') ? { heldUntil: isFinished } : undefined;
  });

  beforeEach(() => {
    isFinished = new Promise((resolve) => (finish = resolve));
  });

  afterEach(() => finish());

  afterAll(async () => {
    for (const client of clients) client.close();
    await registry.stop();
    await fixture.down();
  });

  const settings = async () => {
    const node = `image-node-${(nodes += 1)}`;
    return fixture.environment('image-service', {
      STOWAGE_NODE_NAME: node,
      STOWAGE_LISTEN: path.join(stack.dir, `${nodes}.sock`),
      STOWAGE_STATE_DIR: path.join(stack.dir, `${node}-state`),
      STOWAGE_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      STOWAGE_DOCKER_CONFIG_DIRS: '',
      STOWAGE_DOCKERCFG_DIRS: '',
      // kubelet's records of pulls are kept too.
      STOWAGE_IMAGE_PULL_CREDENTIALS_VERIFICATION_POLICY: 'NeverVerifyPreloadedImages',
    });
  };
  type Settings = Awaited<ReturnType<typeof settings>>;
  const start = (env: Settings, more: Record<string, string> = {}): Promise<AppProcess> =>
    fixture.start('image-service', { ...env, ...more }, { ready: isReady });
  const takeOver = (env: Settings, more: Record<string, string> = {}) =>
    start(env, { ...more, STOWAGE_TAKE_OVER: 'true' });
  const client = (env: Settings): ImageServiceClient => {
    const made = connectImageService({ endpoint: `unix://${env.STOWAGE_LISTEN}`, versions: 'v1' });
    clients.push(made);
    return made;
  };
  /** A pull that goes on until the test finishes it, once its layer is being read. */
  const slowPull = async (env: Settings, name: string) => {
    const image = registry.add(`slow/${name}`, [400_000]);
    const pulled = client(env).pullImage({ image: { image: image.reference } });
    pulled.catch(() => undefined);
    await reading(name);
    return { image, pulled };
  };
  const reading = (name: string) =>
    eventually(
      () => registry.requests.some((r) => r.kind === 'blob' && r.repository === `slow/${name}`),
      { what: `the layer of ${name} to be read` },
    );
  const about = (env: Settings, reference: string) =>
    events.all.filter(
      ({ node, data }) =>
        node === env.STOWAGE_NODE_NAME &&
        (data as { requestedReference?: string }).requestedReference === reference,
    );
  const namesAbout = (env: Settings, reference: string) =>
    about(env, reference).map(({ name }) => name);

  it('leaves pulls to the old one, which answers them, and publishes the end of each once', async () => {
    const env = await settings();
    const old = await start(env, { STOWAGE_STOP_TIMEOUT: `${stopSeconds}s` });
    const { image, pulled } = await slowPull(env, 'kept');
    const ensured = registry.add('slow/ensured', [400_000]);
    const reply = fixture.nats.request(
      commandSubject(env.STOWAGE_NODE_NAME, 'image-service', 'ensure'),
      JSON.stringify({ image: ensured.reference }),
      { timeout: 60_000 },
    );
    await reading('ensured');

    const next = await takeOver(env);
    const handedOverAt = Date.now();
    expect((await next.get('/readyz')).status).toBe(200);
    // The new one answers and pulls while the old one's pulls go on.
    const other = client(env);
    expect((await other.imageFsInfo({})).imageFilesystems).not.toHaveLength(0);
    const quick = registry.add('quick/app', [1000]);
    await other.pullImage({ image: { image: quick.reference } });
    await events.waitFor('ImagePulled', ({ data }) => data.requestedReference === quick.reference);
    expect(namesAbout(env, image.reference)).toEqual(['ImagePullStarted']);
    await eventually(() => Date.now() > handedOverAt + stopSeconds * 1000, {
      what: 'more time than a stop may take',
    });
    finish();

    expect((await pulled).imageRef).not.toBe('');
    expect((await reply).json()).toMatchObject({ ok: true, result: { pulled: true } });
    expect(await old.exited).toEqual({ code: 0, signal: null });
    for (const { reference, imageId } of [image, ensured]) {
      await events.waitFor('ImagePulled', ({ data }) => data.requestedReference === reference);
      expect(about(env, reference)).toMatchObject([
        { name: 'ImagePullStarted' },
        { name: 'ImagePulled', subject: stack.runtime.imageIdOf(imageId) },
      ]);
    }
    const own = events.all.filter(({ node }) => node === env.STOWAGE_NODE_NAME);
    expect(own.map(({ sequence }) => sequence)).toEqual(own.map((_event, i) => i + 1));
    const left = readdirSync(env.STOWAGE_STATE_DIR, { recursive: true }).map(String);
    expect(left.filter((name) => /^pulls-|handed-over\/|pulling\//.test(name))).toEqual([]);
    expect(left.filter((name) => /pulled\/sha256-/.test(name))).toHaveLength(3);
    expect(await next.stop()).toBe(0);
  });

  it('publishes the end of a pull whose old process is killed, once', async () => {
    const env = await settings();
    const old = await start(env);
    const { image } = await slowPull(env, 'killed');
    const next = await takeOver(env);
    await eventually(() => namesAbout(env, image.reference).length > 0, { what: 'its start' });
    expect(namesAbout(env, image.reference)).toEqual(['ImagePullStarted']);
    await old.kill();
    const { data } = await events.waitFor(
      'ImagePullFailed',
      (event) => event.data.requestedReference === image.reference,
    );
    expect(data.error).toMatchObject({ code: 'cancelled', grpcStatus: 'ABORTED' });
    // The one after it is published later: nothing came in between.
    await client(env).pullImage({
      image: { image: registry.add('quick/after', [1000]).reference },
    });
    await eventually(() =>
      events
        .named('ImagePulled')
        .some(({ data: { requestedReference } }) => requestedReference.includes('quick/after')),
    );
    expect(namesAbout(env, image.reference)).toEqual(['ImagePullStarted', 'ImagePullFailed']);
    expect(await next.stop()).toBe(0);
  });

  it('publishes a pull of three generations once', async () => {
    const env = await settings();
    const first = await start(env);
    const one = await slowPull(env, 'one');
    const second = await takeOver(env);
    const two = await slowPull(env, 'two');
    const third = await takeOver(env);
    finish();
    for (const { image, pulled } of [one, two]) {
      await pulled;
      await events.waitFor(
        'ImagePulled',
        ({ data }) => data.requestedReference === image.reference,
      );
      expect(namesAbout(env, image.reference)).toEqual(['ImagePullStarted', 'ImagePulled']);
    }
    for (const app of [first, second]) expect(await app.exited).toEqual({ code: 0, signal: null });
    expect(await third.stop()).toBe(0);
  });

  it('answers pulls that wait for the state directory of one that is itself replaced before it has it', async () => {
    const env = await settings();
    const old = await start(env);
    // It gives nothing up, and does not answer on its address either.
    process.kill(old.pid, 'SIGSTOP');
    const waits = async () =>
      fixture.start(
        'image-service',
        { ...env, STOWAGE_TAKE_OVER: 'true', STOWAGE_HTTP_ADDR: `127.0.0.1:${await freePort()}` },
        { ready: (app) => logged(app, 'serving CRI ImageService') },
      );
    const second = await waits();
    const { reference } = registry.add('quick/waiting', [1000]);
    const request = { image: { image: reference } };
    const connection = client(env);
    const pulled = connection.pullImage(request);
    pulled.catch(() => undefined);
    // On the same connection: by the time of its answer the pull has arrived.
    await connection.imageFsInfo({});
    const third = await waits();
    await expect(pulled).rejects.toMatchObject({ grpcStatus: 'UNAVAILABLE' });
    expect(await second.exited).toEqual({ code: 0, signal: null });
    await old.kill();
    expect((await connection.pullImage(request)).imageRef).not.toBe('');
    expect(isReady(third)).toBe(true);
    expect(await third.stop()).toBe(0);
  });

  it('by one that cannot start leaves the old one as it is', async () => {
    const env = await settings();
    const old = await start(env);
    const { pulled } = await slowPull(env, 'undisturbed');
    const inode = statSync(env.STOWAGE_LISTEN).ino;
    await expect(
      takeOver(env, {
        STOWAGE_IMAGE_CREDENTIAL_PROVIDER_CONFIG: '/nonexistent.yaml',
        STOWAGE_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR: '/nonexistent',
      }),
    ).rejects.toThrow('plugin binary directory /nonexistent did not exist');
    const file = path.join(stack.dir, 'file');
    writeFileSync(file, '');
    await expect(
      takeOver(env, {
        STOWAGE_STATE_DIR: file,
        STOWAGE_IMAGE_PULL_CREDENTIALS_VERIFICATION_POLICY: 'Off',
      }),
    ).rejects.toThrow(`state directory ${file} cannot be used`);
    expect(statSync(env.STOWAGE_LISTEN).ino).toBe(inode);
    finish();
    expect((await pulled).imageRef).not.toBe('');
    expect(await old.stop()).toBe(0);
  });
});
