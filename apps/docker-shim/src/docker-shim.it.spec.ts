import { existsSync } from 'node:fs';
import { eventually, startStack, type PushedImage, type Stack } from '@stowage/testing';
import { ShimProcess } from './testing/shim-process';

/** docker-shim on a real Docker Engine, which is not running when the shim starts. */
let stack: Stack;
let shim: ShimProcess;

beforeAll(async () => {
  stack = await startStack({ docker: { started: false }, nats: false });
  shim = new ShimProcess(stack);
});

afterAll(async () => {
  await shim.stop();
  await stack.down();
});

const conditions = async () =>
  Object.fromEntries(
    ((await shim.runtime.status({})).status?.conditions ?? []).map((condition) => [
      condition.type,
      condition,
    ]),
  );
const pull = (image: string, auth?: object) => shim.image.pullImage({ image: { image }, auth });
const statusOf = async (image: string) =>
  (await shim.image.imageStatus({ image: { image } })).image;
const remove = (image: string) => shim.image.removeImage({ image: { image } });
const container = async (image: string): Promise<string> => {
  const created = await stack.docker.api('POST', '/containers/create', {
    Image: image,
    Cmd: ['sh', '-c', 'head -c 100000 /dev/zero > /written; sleep 1000'],
  });
  return (created as { Id: string }).Id;
};

// D21
it('answers at once without an engine, says why it is not ready, and is ready soon after the engine is', async () => {
  await shim.start({
    ready: 'healthz',
    env: {
      STOWAGE_PINNED_IMAGES: '*/team/keep:*',
      STOWAGE_PINNED_IMAGE_LABELS: 'keep=yes',
      STOWAGE_SANDBOX_IMAGE: `${stack.registry.open.host}/pause:3.9`,
    },
  });
  const before = performance.now();
  expect(await shim.runtime.version({})).toMatchObject({
    version: '0.1.0',
    runtimeName: 'docker',
    runtimeVersion: '0.0.0',
    runtimeApiVersion: '0.0.0',
  });
  expect(await conditions()).toMatchObject({
    RuntimeReady: {
      status: false,
      reason: 'DockerDaemonNotReady',
      message: expect.stringContaining(stack.docker.endpoint) as string,
    },
    NetworkReady: { status: false },
  });
  for (const call of [() => shim.image.listImages({}), () => shim.runtime.runtimeConfig({})]) {
    await expect(call()).rejects.toMatchObject({ grpcStatus: 'UNAVAILABLE' });
  }
  expect(performance.now() - before).toBeLessThan(1000);
  expect(await shim.readiness()).toMatchObject({ status: 503, docker: { state: 'down' } });
  expect((await shim.app.get('/healthz')).status).toBe(200);
  const away = (await shim.app.get('/')).body;
  expect(away).toContain(`<td>docker</td><td><span class="bad">down</span></td>`);
  expect(away).toContain('start the runtime, or set runtimeEndpoint to its socket');

  await stack.docker.start();
  await eventually(async () => (await conditions()).RuntimeReady?.status === true, {
    timeoutMs: 6000,
    what: 'RuntimeReady',
  });
  expect(await shim.readiness()).toMatchObject({ status: 200, docker: { state: 'ok' } });
  await shim.image.whenAvailable();
}, 60_000);

it('shows engine and network of pods on its status page', async () => {
  const { version, root } = stack.docker;
  const { status, body } = await eventually(
    async () => {
      const page = await shim.app.get('/');
      return page.body.includes('<span class="good">yes, for ') ? page : undefined;
    },
    { what: 'the engine to answer docker-shim' },
  );
  expect(status).toBe(200);
  expect(body).toContain('<td>docker</td><td><span class="good">ok</span></td>');
  expect(body).toMatch(
    new RegExp(`<dt>Version</dt><dd>${version.major}\\.[^<]*, API 1\\.\\d+</dd>`),
  );
  expect(body).toContain(`<dt>Data root</dt><dd>${root}</dd>`);
  expect(body).toMatch(/<dt>Answers<\/dt><dd><span class="good">yes, for /);
  expect(body).toContain('Nothing is being pulled.');
});

it('names the engine, its runtimes and its driver of control groups', async () => {
  const { major } = stack.docker.version;
  const version = await shim.runtime.version({});
  expect(version.runtimeVersion).toMatch(new RegExp(`^${major}\\.`));
  expect(version.runtimeApiVersion).toMatch(/^1\.\d+\.0$/);
  const { runtimeHandlers, info } = await shim.runtime.status({ verbose: true });
  expect(runtimeHandlers.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['', 'docker', 'runc']),
  );
  expect(JSON.parse(info.config ?? '')).toMatchObject({
    cgroupDriver: 'cgroupfs',
    imageStore: stack.docker.imageStore,
    engineVersion: version.runtimeVersion,
    networkMode: 'bridge',
    networkName: '',
    logMode: 'copy',
  });
  // CGROUPFS
  expect(await shim.runtime.runtimeConfig({})).toMatchObject({ linux: { cgroupDriver: 1 } });
  await shim.runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr: '' } } });
  await expect(shim.runtime.checkpointContainer({})).rejects.toMatchObject({
    grpcStatus: 'UNIMPLEMENTED',
    message: expect.stringContaining('checkpoints of Docker Engine are experimental') as string,
  });
});

// D10, D11
it('an image has one id in every answer, by whatever it is named', async () => {
  const pushed = await stack.pushImage({ name: 'team/app', tag: ['1', '2'], user: '1000:1000' });
  const name = pushed.reference.replace(/:1$/, '');
  const { imageRef: id } = await pull(pushed.reference);
  expect(id).toBe(stack.docker.imageStore === 'containerd' ? pushed.digest : pushed.imageId);
  expect(await pull(pushed.repoDigest)).toEqual({ imageRef: id });
  for (const wanted of [
    pushed.reference,
    pushed.repoDigest,
    `${pushed.reference}@${pushed.digest}`,
    id,
    id.replace('sha256:', ''),
    id.slice(0, 20),
    id.replace('sha256:', '').slice(0, 12),
    `docker://${id}`,
    `docker-pullable://${pushed.repoDigest}`,
  ]) {
    const image = await statusOf(wanted);
    expect([wanted, image?.id]).toEqual([wanted, id]);
    expect(image).toMatchObject({
      repoTags: [pushed.reference],
      repoDigests: [pushed.repoDigest],
      uid: { value: 1000n },
      username: '',
    });
    expect(image?.size).toBeGreaterThan(500_000n);
    const { images } = await shim.image.listImages({ filter: { image: { image: wanted } } });
    expect([wanted, images.map((listed) => listed.id)]).toEqual([wanted, [id]]);
  }
  expect(await statusOf(`${name}:2`)).toBeUndefined();
  expect(
    (await shim.image.listImages({ filter: { image: { image: `${name}:*` } } })).images,
  ).toEqual([]);
  await pull(`${name}:2`);
  const { images } = await shim.image.listImages({});
  expect(images.filter((listed) => listed.id === id)).toMatchObject([
    { repoTags: expect.arrayContaining([pushed.reference, `${name}:2`]) as string[] },
  ]);
  const streamed = [];
  for await (const { images: some } of shim.image.streamImages({})) streamed.push(...some);
  expect(streamed).toEqual(images);
  const { info } = await shim.image.imageStatus({ image: { image: id }, verbose: true });
  expect(JSON.parse(info.info ?? '')).toMatchObject({
    imageSpec: { os: 'linux', config: { User: '1000:1000' } },
    history: expect.any(Array) as unknown[],
  });
});

it('pulls latest where nothing is said, and nothing beside it', async () => {
  const { reference } = await stack.pushImage({ name: 'team/tags', tag: ['latest', 'other'] });
  const name = reference.replace(/:latest$/, '');
  await pull(name);
  expect((await statusOf(name))?.repoTags).toEqual([`${name}:latest`]);
});

it('pulls with every form of a credential, and names no secret when one is refused', async () => {
  const { username, password } = stack.registry.auth;
  const forms = [
    { username, password },
    { auth: Buffer.from(`${username}:${password}`).toString('base64') },
    { username, password, serverAddress: stack.registry.auth.host },
  ];
  for (const [index, auth] of forms.entries()) {
    const image = await stack.pushImage({ name: `team/private-${index}`, to: 'auth' });
    const secret = `wrong-${password}`;
    for (const refused of [undefined, { username, password: secret }]) {
      const error = (await pull(image.reference, refused).catch((reason: unknown) => reason)) as {
        grpcStatus: string;
        message: string;
      };
      expect(error.grpcStatus).toBe('PERMISSION_DENIED');
      expect(error.message).not.toContain(secret);
    }
    expect((await pull(image.reference, auth)).imageRef).toBe(
      (await statusOf(image.reference))?.id,
    );
  }
  expect(shim.app.stdout).not.toContain(password);
});

it('says why a pull failed, in the words that kubelet knows', async () => {
  const { host } = stack.registry.open;
  await expect(pull(`${host}/team/never:1`)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
  await expect(pull('Not/Valid')).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
  await expect(pull('')).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
  await expect(
    shim.image.pullImage({ image: { image: `${host}/team/app:1`, runtimeHandler: 'kata' } }),
  ).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
  await stack.registry.open.stop();
  await expect(pull(`${host}/team/app:3`)).rejects.toMatchObject({
    grpcStatus: 'UNAVAILABLE',
    message: expect.stringMatching(/^RegistryUnavailable: /) as string,
  });
  await stack.registry.open.start();
});

describe('RemoveImage', () => {
  const pulled = async (image: Parameters<Stack['pushImage']>[0]): Promise<PushedImage> => {
    const pushed = await stack.pushImage(image);
    for (const tag of [image.tag ?? 'latest'].flat()) {
      await pull(`${pushed.reference.replace(/:[^:/]*$/, '')}:${tag}`);
    }
    return pushed;
  };

  it('removes an image with all its names, by any of them, and again', async () => {
    for (const by of ['reference', 'repoDigest', 'imageId'] as const) {
      const image = await pulled({
        name: `team/gone-${by.toLowerCase()}`,
        tag: ['1', '2'],
        labels: { by },
      });
      const { id } = (await statusOf(image.reference))!;
      const wanted = by === 'imageId' ? id : image[by];
      await remove(wanted);
      expect([by, await statusOf(id)]).toEqual([by, undefined]);
      await remove(wanted);
    }
  });

  it('leaves what a container uses as it is, though it never ran', async () => {
    const image = await pulled({ name: 'team/used', tag: ['1', '2'], labels: { used: 'yes' } });
    const before = await statusOf(image.reference);
    const id = await container(image.reference);
    await expect(remove(image.reference)).rejects.toMatchObject({
      grpcStatus: 'FAILED_PRECONDITION',
      message: `image ${before!.id} is in use by container ${id.slice(0, 12)}`,
    });
    expect(await statusOf(image.reference)).toEqual(before);
    await stack.docker.api('DELETE', `/containers/${id}?force=1&v=1`);
    await remove(image.reference);
    expect(await statusOf(before!.id)).toBeUndefined();
  });

  it('takes the names of an image that others were made from', async () => {
    const image = await pulled({ name: 'team/parent', tag: ['1', '2'], labels: { parent: 'yes' } });
    const parent = (await statusOf(image.reference))!.id;
    const id = await container(image.reference);
    await stack.docker.api('POST', `/commit?container=${id}&repo=team/child&tag=1`);
    await stack.docker.api('DELETE', `/containers/${id}?force=1&v=1`);
    await remove(image.reference);
    expect(await statusOf(image.reference)).toBeUndefined();
    expect((await statusOf(parent))?.repoTags ?? []).toEqual([]);
    expect(await statusOf('team/child:1')).toBeDefined();
    await remove('team/child:1');
  });
});

// D09
it('reports as pinned what is named, what is labelled, and the sandbox image', async () => {
  const images = await Promise.all([
    stack.pushImage({ name: 'team/keep', tag: '1', labels: { n: '1' } }),
    stack.pushImage({ name: 'team/by-label', labels: { keep: 'yes' } }),
    stack.pushImage({
      name: 'team/by-containerd',
      labels: { 'io.cri-containerd.pinned': 'pinned' },
    }),
    stack.pushImage({ name: 'pause', tag: '3.9', labels: { n: '2' } }),
    stack.pushImage({ name: 'team/other', labels: { keep: 'no' } }),
  ]);
  for (const { reference } of images) await pull(reference);
  const { images: listed } = await shim.image.listImages({});
  const pinned = await Promise.all(
    images.map(async ({ reference }) => {
      const image = await statusOf(reference);
      expect(listed.find(({ id }) => id === image?.id)?.pinned).toBe(image?.pinned);
      return image?.pinned;
    }),
  );
  expect(pinned).toEqual([true, true, true, true, false]);
});

// D14
it('ImageFsInfo has a file system for images and one for containers', async () => {
  const { reference } = await stack.pushImage({ name: 'team/writes' });
  await pull(reference);
  const id = await container(reference);
  await stack.docker.api('POST', `/containers/${id}/start`);
  const running = await eventually(async () => {
    const { SizeRw } = (await stack.docker.api('GET', `/containers/${id}/json?size=1`)) as {
      SizeRw?: number;
    };
    return (SizeRw ?? 0) >= 100_000;
  });
  expect(running).toBe(true);
  // What was measured before may be five minutes old on an engine that measures everything at once.
  await shim.stop();
  await shim.start();
  const info = await shim.image.imageFsInfo({});
  for (const list of [info.imageFilesystems, info.containerFilesystems]) {
    expect(list).toHaveLength(1);
    const [usage] = list;
    expect(existsSync(usage?.fsId?.mountpoint ?? '')).toBe(true);
    expect(usage?.usedBytes?.value).toBeGreaterThan(99_999n);
    expect(usage?.inodesUsed?.value).toBeGreaterThan(0n);
    expect(Number(usage?.timestamp ?? 0n) / 1e6).toBeGreaterThan(Date.now() - 60_000);
  }
  // The figures stay, and are dated anew: kubelet acts on none that it has seen before.
  await eventually(() => Date.now() > Number(info.imageFilesystems[0]?.timestamp ?? 0n) / 1e6);
  const again = await shim.image.imageFsInfo({});
  for (const list of ['imageFilesystems', 'containerFilesystems'] as const) {
    const [[before], [after]] = [info[list], again[list]];
    expect(after?.usedBytes).toEqual(before?.usedBytes);
    expect(after?.timestamp).toBeGreaterThan(before?.timestamp ?? 0n);
  }
  await stack.docker.api('DELETE', `/containers/${id}?force=1&v=1`);
});

it('comes back by itself when the engine was killed, and says meanwhile that it is away', async () => {
  await stack.docker.kill();
  await eventually(async () => (await conditions()).RuntimeReady?.status === false, {
    timeoutMs: 3000,
  });
  await expect(shim.image.listImages({})).rejects.toMatchObject({ grpcStatus: 'UNAVAILABLE' });
  // As last known.
  expect((await shim.runtime.version({})).runtimeVersion).not.toBe('0.0.0');
  expect(await shim.runtime.runtimeConfig({})).toMatchObject({ linux: { cgroupDriver: 1 } });
  await stack.docker.start();
  await eventually(async () => (await conditions()).RuntimeReady?.status === true, {
    timeoutMs: 6000,
  });
  await shim.image.whenAvailable();
  expect((await shim.image.listImages({})).images.length).toBeGreaterThan(0);
  const { body } = await shim.app.get('/metrics');
  expect(body).toMatch(/^stowage_docker_engine_up 1$/m);
  expect(body).toMatch(/^stowage_docker_engine_connections 2$/m);
  expect(body).toMatch(/^stowage_docker_engine_info\{version="[\d.+\w-]+",api="1\.\d+"\} 1$/m);
  expect(body).toMatch(/^stowage_shim_calls_total\{method="ListImages",code="OK"\} \d+$/m);
});

it('ends within a moment', async () => {
  const before = performance.now();
  expect(await shim.app.stop()).toBe(0);
  expect(performance.now() - before).toBeLessThan(5000);
});
