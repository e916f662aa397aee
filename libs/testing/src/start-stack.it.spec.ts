import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from 'nats';
import { ContainerState } from '@stowage/cri-proto';
import { findTraces, type StackTraces } from './cleanup/traces';
import { withCri } from './containerd';
import { eventually } from './eventually';
import { startStack } from './start-stack';
import type { Stack } from './types';

const noTraces: StackTraces = {
  processes: [],
  mounts: [],
  loopDevices: [],
  links: [],
  addresses: [],
  portRules: [],
  cgroups: [],
  shimSockets: [],
  cachedResults: [],
  folders: [],
};

const mebibyte = 1024 * 1024;

const usedPercent = (dir: string): number => {
  const { blocks, bfree } = statfsSync(dir);
  return (100 * (blocks - bfree)) / blocks;
};

const images = (stack: Stack) =>
  withCri(stack.containerd.socket, async ({ image }) => (await image.listImages({})).images);

const runScript = (script: string, args: string[], options: { env?: NodeJS.ProcessEnv } = {}) =>
  spawnSync(
    process.execPath,
    ['--import', require.resolve('tsx'), path.join(__dirname, '../testdata', script), ...args],
    {
      encoding: 'utf8',
      cwd: path.resolve(__dirname, '../../..'),
      ...options,
    },
  );

describe('a whole stack', () => {
  let stack: Stack;

  beforeAll(async () => {
    stack = await startStack({ filesystemMb: 200 });
  });

  afterAll(() => stack.down());

  it('its containerd serves the CRI with a network ready', async () => {
    const { runtimeName } = await withCri(stack.containerd.socket, ({ runtime }) =>
      runtime.version({}),
    );
    expect(runtimeName).toBe('containerd');
    expect(stack.containerd.endpoint).toBe(`unix://${stack.containerd.socket}`);
    expect(stack.containerd.version.major).toBeGreaterThanOrEqual(1);
  });

  it('an image is pulled with the id, digest and size that were pushed', async () => {
    const pushed = await stack.pushImage({ name: 'team/small', tag: ['1.0', 'stable'] });
    const imageId = await stack.pullImage(pushed.reference);
    expect(imageId).toBe(pushed.imageId);
    const pulled = (await images(stack)).find(({ id }) => id === imageId);
    expect(pulled?.repoTags).toEqual([`${stack.registry.open.host}/team/small:1.0`]);
    expect(pulled?.repoDigests).toEqual([pushed.repoDigest]);
    expect(pulled?.size).toBe(BigInt(pushed.sizeBytes));
    await stack.pullImage(`${stack.registry.open.host}/team/small:stable`);
    expect((await images(stack)).filter(({ id }) => id === imageId)).toHaveLength(1);
  });

  it('images of Docker Hub and other public registries come from the open registry', async () => {
    const pushed = await stack.pushImage({ name: 'library/hub-image', tag: '7' });
    expect(await stack.pullImage('docker.io/library/hub-image:7')).toBe(pushed.imageId);
    expect(await stack.pullImage('quay.io/library/hub-image:7')).toBe(pushed.imageId);
  });

  it('the registry with a password refuses a pull without it and accepts one with it', async () => {
    const { reference, imageId } = await stack.pushImage({ name: 'team/private', to: 'auth' });
    const { username, password, host } = stack.registry.auth;
    expect(reference).toBe(`${host}/team/private:latest`);
    await expect(stack.pullImage(reference)).rejects.toThrow(
      /401 Unauthorized|authorization failed/,
    );
    await expect(stack.pullImage(reference, { username, password: 'wrong' })).rejects.toThrow(
      /401 Unauthorized|authorization failed/,
    );
    expect(await stack.pullImage(reference, { username, password })).toBe(imageId);
  });

  it('a container runs on the stack bridge, can be reached from the host and ends on SIGTERM', async () => {
    const { reference } = await stack.pushImage({
      name: 'team/web',
      files: { '/www/index.html': 'hello from the pod' },
      command: [
        '/bin/sh',
        '-c',
        'trap "exit 0" TERM; httpd -p 8080 -h /www; while :; do sleep 1 & wait $!; done',
      ],
    });
    const pod = await stack.runPod({ image: reference });
    const answer = await eventually(() => fetch(`http://${pod.ip}:8080/`));
    expect(await answer.text()).toBe('hello from the pod');
    await withCri(stack.containerd.socket, async ({ runtime }) => {
      await runtime.stopContainer({ containerId: pod.containerId, timeout: 10n });
      const { status } = await runtime.containerStatus({ containerId: pod.containerId });
      expect(status?.exitCode).toBe(0);
    });
    await pod.remove();
    await pod.remove();
  });

  it('the sandbox image is reported as pinned where this containerd does so', async () => {
    const { reference } = await stack.pushImage({ name: 'team/small' });
    await (await stack.runPod({ image: reference })).remove();
    const sandbox = (await images(stack)).find(({ repoTags }) =>
      repoTags.includes(stack.sandboxImage),
    );
    expect(sandbox?.pinned).toBe(stack.containerd.reportsPinned);
  });

  it('the percentage of its file system follows the images', async () => {
    const { root } = stack.containerd;
    expect(statfsSync(root).blocks * statfsSync(root).bsize).toBeGreaterThan(180 * mebibyte);
    const before = usedPercent(root);
    const { reference, sizeBytes } = await stack.pushImage({
      name: 'team/big',
      runnable: false,
      sizeMb: 30,
    });
    expect(sizeBytes / mebibyte).toBeCloseTo(30, 1);
    await stack.pullImage(reference);
    // Content and unpacked files: twice 30 of 200 MiB.
    expect(usedPercent(root) - before).toBeGreaterThan(29);
    expect(usedPercent(root) - before).toBeLessThan(33);
    await withCri(stack.containerd.socket, async ({ image }) => {
      const { imageFilesystems } = await image.imageFsInfo({});
      expect(imageFilesystems[0]?.fsId?.mountpoint).toMatch(root);
      await image.removeImage({ image: { image: reference } });
    });
    await eventually(() => usedPercent(root) - before < 1, { what: 'the space to be free again' });
  });

  it('layers with one seed are one layer, stored once', async () => {
    const shared = { seed: 'shared', sizeMb: 1 };
    const [one, two] = await Promise.all([
      stack.pushImage({ name: 'team/one', layers: [shared, { seed: 'one', sizeMb: 0.5 }] }),
      stack.pushImage({ name: 'team/two', layers: [shared, { seed: 'two', sizeMb: 0.5 }] }),
    ]);
    expect(one.layers).toHaveLength(3);
    expect(one.layers.slice(0, 2)).toEqual(two.layers.slice(0, 2));
    expect(one.layers[2]?.digest).not.toBe(two.layers[2]?.digest);
    expect(one.layers[1]?.sizeBytes).toBe(mebibyte);
    await Promise.all([stack.pullImage(one.reference), stack.pullImage(two.reference)]);
    const { digest } = one.layers[1] ?? { digest: '' };
    const content = await stack.containerd.ctr('content', 'ls', '--quiet');
    expect(content.split('\n').filter((line) => line === digest)).toHaveLength(1);
  });

  it('containers survive a restart and a crash of containerd', async () => {
    const { reference } = await stack.pushImage({ name: 'team/small' });
    const pod = await stack.runPod({ image: reference });
    await stack.containerd.restart();
    await stack.containerd.kill();
    expect(stack.containerd.running).toBe(false);
    await expect(stack.pullImage(reference)).rejects.toThrow('UNAVAILABLE');
    await stack.containerd.start();
    await withCri(stack.containerd.socket, async ({ runtime }) => {
      const { containers } = await runtime.listContainers({
        filter: { id: pod.containerId, state: { state: ContainerState.CONTAINER_RUNNING } },
      });
      expect(containers).toHaveLength(1);
    });
    await pod.remove();
  });

  it('NATS keeps its address and its streams over a restart', async () => {
    const connection = await connect({ servers: stack.nats.url });
    const manager = await connection.jetstreamManager();
    await manager.streams.add({ name: 'KEPT', subjects: ['kept'] });
    await connection.jetstream().publish('kept', 'still here');
    await connection.close();
    await stack.nats.kill();
    await expect(connect({ servers: stack.nats.url })).rejects.toThrow('CONNECTION_REFUSED');
    await stack.nats.start();
    const again = await connect({ servers: stack.nats.url });
    const message = await (await again.jetstreamManager()).streams.getMessage('KEPT', { seq: 1 });
    expect(message.string()).toBe('still here');
    await again.close();
  });

  it('a registry can go away and come back', async () => {
    const { open } = stack.registry;
    await open.stop();
    await expect(fetch(`${open.url}/v2/`)).rejects.toThrow();
    await open.start();
    expect((await fetch(`${open.url}/v2/`)).status).toBe(200);
  });

  it('it hands out a folder for sockets and the logs of its servers', async () => {
    const server = net.createServer().listen(path.join(stack.dir, 'a-socket-of-the-test.sock'));
    await eventually(() => server.listening);
    server.close();
    const logs = stack.logs();
    for (const name of ['containerd', 'registry-open', 'registry-auth', 'nats-server']) {
      expect(logs).toContain(`--- ${name}\n`);
    }
    expect(logs).not.toContain(stack.registry.auth.password);
  });
});

it('two stacks side by side, with pods and a mapped port, end without a trace', async () => {
  const stacks = await Promise.all([startStack(), startStack({ filesystemMb: 64 })]);
  const [a, b] = stacks;
  const containerIds = await Promise.all(
    stacks.map(async (stack, index) => {
      const { reference } = await stack.pushImage({ name: 'team/app' });
      const pod = await stack.runPod({ image: reference });
      return withCri(stack.containerd.socket, async ({ runtime }) => {
        const { podSandboxId } = await runtime.runPodSandbox({
          config: {
            metadata: { name: 'mapped', namespace: 'default', uid: 'mapped', attempt: 0 },
            portMappings: [{ containerPort: 80, hostPort: 18_080 + index, hostIp: '127.0.0.1' }],
            linux: {},
          },
        });
        return [pod.podSandboxId, pod.containerId, podSandboxId];
      });
    }),
  );
  const during = await Promise.all(
    stacks.map(({ id }, index) => findTraces(id, containerIds[index] ?? [])),
  );
  for (const traces of during) {
    for (const kind of Object.keys(noTraces) as (keyof StackTraces)[]) {
      if (kind === 'loopDevices') continue;
      expect({ kind, found: traces[kind].length > 0 }).toEqual({ kind, found: true });
    }
  }
  expect(during[1]?.loopDevices).toHaveLength(1);
  expect(new Set(during.map(({ addresses }) => addresses[0]?.split(/\s+/)[3])).size).toBe(2);
  await a.down();
  await a.down();
  expect(await findTraces(a.id, containerIds[0] ?? [])).toEqual(noTraces);
  // The other one is untouched.
  expect(await findTraces(b.id, containerIds[1] ?? [])).toEqual(during[1]);
  await b.down();
  expect(await findTraces(b.id, containerIds[1] ?? [])).toEqual(noTraces);
  expect(() => a.containerd).toThrow('this test stack is down');
});

it('a part that was switched off says so when it is asked for', async () => {
  const stack = await startStack({ containerd: false, registries: false });
  try {
    expect(() => stack.containerd).toThrow('this test stack was started with containerd: false');
    await expect(stack.pushImage({ name: 'a' })).rejects.toThrow(
      'this test stack was started with registries: false',
    );
  } finally {
    await stack.down();
  }
  expect(await findTraces(stack.id, [])).toEqual(noTraces);
});

it('a file system that is too small, or without containerd, is refused before anything starts', async () => {
  await expect(startStack({ filesystemMb: 8 })).rejects.toThrow(
    'filesystemMb is 8, must be 16 or more, and needs containerd',
  );
  await expect(startStack({ filesystemInodes: 1000 })).rejects.toThrow(
    'filesystemInodes needs filesystemMb',
  );
});

it('a stack that cannot start reports why, with its logs, and leaves nothing', async () => {
  // mke2fs is stopped by a file system that is larger than a file may be.
  const error = await startStack({ filesystemMb: 1e12 }).catch(
    (reason: unknown) => reason as Error,
  );
  expect((error as Error).message).toMatch(/^the test stack did not start: /);
  const id = /stowage-testing-0\/([0-9a-f]{8})/.exec((error as Error).message)?.[1];
  if (id !== undefined) expect(await findTraces(id, [])).toEqual(noTraces);
});

describe('what a machine lacks', () => {
  /** A user who may do nothing, and who need not be able to enter the folder of this repository. */
  const nobody = 65_534;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'stowage-bundle-'));
    await build({
      entryPoints: {
        'start-servers': path.join(__dirname, '../testdata/start-servers.ts'),
        'keeper-main': path.join(__dirname, 'cleanup/keeper-main.ts'),
      },
      outdir: folder,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      tsconfig: path.resolve(__dirname, '../../../tsconfig.json'),
      logLevel: 'error',
    });
    for (const name of readdirSync(folder)) chmodSync(path.join(folder, name), 0o644);
    chmodSync(folder, 0o755);
  });

  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  const startServersAsNobody = (...args: string[]) =>
    spawnSync(process.execPath, [path.join(folder, 'start-servers.js'), ...args], {
      encoding: 'utf8',
      cwd: '/',
      uid: nobody,
      gid: nobody,
    });

  it('missing programs are named all at once, with the packages that have them', () => {
    const { stdout, status } = runScript('start-servers.ts', ['registries'], {
      env: { PATH: '/nonexistent' },
    });
    expect(stdout).toBe(
      'The test stack needs programs that were not found: docker-registry, htpasswd. ' +
        'On Debian or Ubuntu, as root: apt-get update && apt-get install --no-install-recommends docker-registry apache2-utils',
    );
    expect(status).toBe(1);
  });

  it('containerd needs root, and the message says so', () => {
    const { stdout, status } = startServersAsNobody('containerd', 'registries', 'nats');
    expect(stdout).toBe(
      'The test stack needs root, this process has uid 65534: run the tests as root or with sudo.',
    );
    expect(status).toBe(1);
  });

  it('registries and NATS need no root', async () => {
    const { stdout, status } = startServersAsNobody('registries', 'nats');
    expect(status).toBe(0);
    const { id, digest } = JSON.parse(stdout) as { id: string; digest: string };
    expect(digest).toMatch(/^sha256:/);
    expect((await findTraces(id, [])).processes).toEqual([]);
  });
});
