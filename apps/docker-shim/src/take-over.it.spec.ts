import { ContainerState, NamespaceMode, PodSandboxState } from '@stowage/cri-proto';
import { eventually, startStack, type Stack } from '@stowage/testing';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { FakePlugins, resultWith } from './testing/fake-plugin';
import { ShimProcess } from './testing/shim-process';

/** A node that cri-dockerd served before, and that is to be served by it again. */
let stack: Stack;
let shim: ShimProcess;
let plugins: FakePlugins;
let image: string;
let sandboxImage: string;
let folder: string;

const { CONTAINER_EXITED, CONTAINER_RUNNING } = ContainerState;
const { SANDBOX_NOTREADY, SANDBOX_READY } = PodSandboxState;
const network = { cniVersion: '1.0.0', name: 'net', plugins: [{ type: 'one' }] };
const imported = () => path.join(stack.dir, 'imported');
const results = () => path.join(folder, 'cache', 'results');
const namesIn = (dir: string) => (existsSync(dir) ? readdirSync(dir).sort() : []);
const json = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;

const start = (env: Record<string, string> = {}) =>
  shim.start({
    env: {
      STOWAGE_NETWORK_MODE: 'cni',
      STOWAGE_CNI_CONF_DIR: path.join(folder, 'net.d'),
      STOWAGE_CNI_BIN_DIRS: plugins.binDir,
      STOWAGE_CNI_CACHE_DIR: path.join(folder, 'cache'),
      ...env,
    },
  });
const restart = async (env: Record<string, string> = {}) => {
  await shim.stop();
  await start(env);
};

beforeAll(async () => {
  stack = await startStack({ docker: {}, nats: false });
  folder = path.join(stack.dir, 'cni');
  for (const dir of [path.join(folder, 'net.d'), imported()]) mkdirSync(dir, { recursive: true });
  plugins = new FakePlugins(folder);
  plugins.add('one');
  writeFileSync(path.join(folder, 'net.d', '10-net.conflist'), JSON.stringify(network));
  image = (await stack.pushImage({ name: 'team/app', tag: '1' })).reference;
  sandboxImage = `${stack.registry.open.host}/pause:3.9`;
  for (const reference of [image, sandboxImage]) {
    const colon = reference.lastIndexOf(':');
    await stack.docker.api(
      'POST',
      `/images/create?fromImage=${reference.slice(0, colon)}&tag=${reference.slice(colon + 1)}`,
    );
  }
  shim = new ShimProcess(stack);
}, 60_000);

afterAll(async () => {
  await shim.stop();
  await stack.down();
});

const podLabels = (pod: string) => ({
  'io.kubernetes.pod.name': pod,
  'io.kubernetes.pod.namespace': 'shop',
  'io.kubernetes.pod.uid': `uid-${pod}`,
  'annotation.kubernetes.io/config.source': 'api',
});

async function create(name: string, body: object): Promise<string> {
  const created = (await stack.docker.api('POST', `/containers/create?name=${name}`, body)) as {
    Id: string;
  };
  await stack.docker.api('POST', `/containers/${created.Id}/start`);
  return created.Id;
}

interface Inspected {
  Name: string;
  LogPath: string;
  State: { Pid: number; Running: boolean };
  Config: { Labels: Record<string, string> };
}
const inspected = async (id: string) =>
  (await stack.docker.api('GET', `/containers/${id}/json`)) as Inspected;

/** A pod with a container as cri-dockerd makes them, with all the files it keeps of them. */
async function peersPod(pod: string) {
  const sandboxId = await create(`k8s_POD_${pod}_shop_uid-${pod}_1`, {
    Image: sandboxImage,
    Labels: {
      ...podLabels(pod),
      app: 'web',
      'io.kubernetes.docker.type': 'podsandbox',
      'io.kubernetes.container.name': 'POD',
    },
    HostConfig: { NetworkMode: 'none', IpcMode: 'shareable' },
  });
  writeFileSync(
    path.join(imported(), sandboxId),
    `{"version":"v1","name":"${pod}","namespace":"shop","data":{"port_mappings":[{"protocol":"tcp","container_port":80,"host_port":8080,"host_ip":""}]},"checksum":3712672205}`,
  );
  const { State } = await inspected(sandboxId);
  mkdirSync(results(), { recursive: true });
  const entry = {
    kind: 'cniCacheV1',
    containerId: sandboxId,
    config: Buffer.from(JSON.stringify(network)).toString('base64'),
    ifName: 'eth0',
    networkName: 'net',
    netns: `/proc/${State.Pid}/ns/net`,
    cniArgs: [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAME', pod],
    ],
    result: resultWith('10.9.0.4/24'),
  };
  writeFileSync(path.join(results(), `net-${sandboxId}-eth0`), JSON.stringify(entry));
  const loopback = { ...entry, networkName: 'cni-loopback', ifName: 'lo', result: undefined };
  writeFileSync(path.join(results(), `cni-loopback-${sandboxId}-lo`), JSON.stringify(loopback));

  const logPath = path.join(stack.dir, 'pod-logs', pod, 'main', '2.log');
  const containerId = await create(`k8s_main_${pod}_shop_uid-${pod}_2`, {
    Image: image,
    Cmd: ['sh', '-c', 'echo from the peer; sleep 10000'],
    Labels: {
      ...podLabels(pod),
      'io.kubernetes.container.name': 'main',
      'io.kubernetes.docker.type': 'container',
      'io.kubernetes.sandbox.id': sandboxId,
      'io.kubernetes.container.logpath': logPath,
    },
    HostConfig: {
      NetworkMode: `container:${sandboxId}`,
      IpcMode: `container:${sandboxId}`,
      LogConfig: { Type: 'json-file', Config: {} },
    },
  });
  const { LogPath } = await inspected(containerId);
  mkdirSync(path.dirname(logPath), { recursive: true });
  try {
    symlinkSync(LogPath, logPath);
  } catch (error) {
    // docker-shim has seen the start, and has made the same link.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return { sandboxId, containerId, logPath, enginePath: LogPath };
}

describe('what cri-dockerd has made', () => {
  it('is listed, used, stopped and removed, with the files that were kept of it', async () => {
    const { sandboxId, containerId, logPath, enginePath } = await peersPod('old');
    await start();
    const { runtime } = shim;
    expect((await runtime.listPodSandbox({})).items).toMatchObject([
      {
        id: sandboxId,
        metadata: { name: 'old', namespace: 'shop', uid: 'uid-old', attempt: 1 },
        state: SANDBOX_READY,
        labels: { app: 'web', 'io.kubernetes.pod.name': 'old' },
        annotations: { 'kubernetes.io/config.source': 'api' },
        runtimeHandler: '',
      },
    ]);
    const { status: sandbox, containersStatuses } = await runtime.podSandboxStatus({
      podSandboxId: sandboxId,
    });
    expect(sandbox).toMatchObject({ state: SANDBOX_READY, network: { ip: '10.9.0.4' } });
    expect(containersStatuses).toMatchObject([{ id: containerId, state: CONTAINER_RUNNING }]);
    expect(Object.keys(sandbox?.labels ?? {})).not.toContain('io.kubernetes.docker.type');
    expect((await runtime.listContainers({})).containers).toMatchObject([
      {
        id: containerId,
        podSandboxId: sandboxId,
        metadata: { name: 'main', attempt: 2 },
        image: { image },
        state: CONTAINER_RUNNING,
      },
    ]);
    const { status } = await runtime.containerStatus({ containerId });
    expect(status).toMatchObject({ logPath, image: { image }, labels: podNames('old') });
    const { stdout } = await runtime.execSync({ containerId, cmd: ['echo', 'in it'] });
    expect(Buffer.from(stdout).toString()).toBe('in it\n');
    expect((await runtime.containerStats({ containerId })).stats?.memory).toBeDefined();

    // Its log stays the link that it was; the log of a container that joins the pod is a copy.
    expect(readlinkSync(logPath)).toBe(enginePath);
    await expect(runtime.reopenContainerLog({ containerId })).rejects.toMatchObject({
      grpcStatus: 'UNIMPLEMENTED',
    });
    const joined = await runtime.createContainer({
      podSandboxId: sandboxId,
      sandboxConfig: {
        metadata: { name: 'old', namespace: 'shop', uid: 'uid-old', attempt: 1 },
        logDirectory: path.join(stack.dir, 'pod-logs', 'old'),
      },
      config: {
        metadata: { name: 'side', attempt: 0 },
        image: { image },
        command: ['/bin/sh', '-c', 'echo joined'],
        logPath: 'side.log',
      },
    });
    await runtime.startContainer({ containerId: joined.containerId });
    const copied = path.join(stack.dir, 'pod-logs', 'old', 'side.log');
    await eventually(() => / stdout F joined\n$/.test(readFileSync(copied, 'utf8')));

    await runtime.stopContainer({ containerId, timeout: 0n });
    expect((await runtime.containerStatus({ containerId })).status).toMatchObject({
      state: CONTAINER_EXITED,
      exitCode: 137,
    });
    await runtime.removeContainer({ containerId });
    expect(() => lstatSync(logPath)).toThrow('ENOENT');

    await runtime.stopPodSandbox({ podSandboxId: sandboxId });
    expect(plugins.calls('DEL')).toMatchObject([
      {
        plugin: 'one',
        containerId: sandboxId,
        args: 'IgnoreUnknown=1;K8S_POD_NAME=old',
        config: { name: 'net', prevResult: { ips: [{ address: '10.9.0.4/24' }] } },
      },
    ]);
    await runtime.removePodSandbox({ podSandboxId: sandboxId });
    expect([namesIn(imported()), namesIn(results())]).toEqual([[], []]);
    expect(await stack.docker.api('GET', '/containers/json?all=1')).toEqual([]);
    expect((await runtime.listPodSandbox({})).items).toEqual([]);
  }, 60_000);

  it('is cleaned up where the engine has lost the sandbox', async () => {
    const { sandboxId, containerId } = await peersPod('lost');
    await stack.docker.api('DELETE', `/containers/${containerId}?force=1&v=1`);
    await stack.docker.api('DELETE', `/containers/${sandboxId}?force=1&v=1`);
    const { runtime } = shim;
    expect((await runtime.listPodSandbox({})).items).toMatchObject([
      { id: sandboxId, state: SANDBOX_NOTREADY, metadata: { name: 'lost', namespace: 'shop' } },
    ]);
    const before = plugins.calls('DEL').length;
    await runtime.stopPodSandbox({ podSandboxId: sandboxId });
    await runtime.removePodSandbox({ podSandboxId: sandboxId });
    expect(plugins.calls('DEL').slice(before)).toMatchObject([
      { containerId: sandboxId, netns: '' },
    ]);
    expect([namesIn(imported()), namesIn(results())]).toEqual([[], []]);
  }, 30_000);
});

const podNames = (pod: string) => ({ 'io.kubernetes.pod.name': pod });

describe('what docker-shim has made', () => {
  const sandboxConfig = (name: string, changes: object = {}) => ({
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, attempt: 3 },
    logDirectory: path.join(stack.dir, 'pod-logs', name),
    labels: podNames(name),
    ...changes,
  });
  const containerIn = (podSandboxId: string, config: ReturnType<typeof sandboxConfig>) =>
    shim.runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: {
        metadata: { name: 'main', attempt: 5 },
        image: { image },
        command: ['/bin/sh', '-c', 'echo ours; sleep 10000'],
        labels: { 'io.kubernetes.container.name': 'main' },
        logPath: 'main/5.log',
      },
    });

  it('has the names, labels and files that cri-dockerd looks for', async () => {
    const { runtime } = shim;
    const portMappings = [{ protocol: 0, containerPort: 80, hostPort: 8080, hostIp: '' }];
    const config = sandboxConfig('new', { portMappings });
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const { containerId } = await containerIn(podSandboxId, config);
    const sandbox = await inspected(podSandboxId);
    expect(sandbox.Name).toBe('/k8s_POD_new_shop_uid-new_3');
    expect(sandbox.Config.Labels).toMatchObject({
      ...podNames('new'),
      'io.kubernetes.docker.type': 'podsandbox',
      'io.kubernetes.container.name': 'POD',
    });
    const container = await inspected(containerId);
    expect(container.Name).toBe('/k8s_main_new_shop_uid-new_5');
    expect(container.Config.Labels).toMatchObject({
      'io.kubernetes.docker.type': 'container',
      'io.kubernetes.container.name': 'main',
      'io.kubernetes.sandbox.id': podSandboxId,
      'io.kubernetes.container.logpath': path.join(config.logDirectory, 'main', '5.log'),
    });
    // Its own program computes these sums, and refuses a file with another one.
    const checkpoint = json(path.join(stack.dir, 'docker-shim', 'sandbox', podSandboxId));
    expect(checkpoint).toEqual({
      version: 'v1',
      name: 'new',
      namespace: 'shop',
      data: { port_mappings: [{ protocol: 'tcp', container_port: 80, host_port: 8080 }] },
      checksum: 3_712_672_205,
    });
    const entry = json(path.join(results(), `net-${podSandboxId}-eth0`));
    expect(entry).toMatchObject({
      kind: 'cniCacheV1',
      containerId: podSandboxId,
      networkName: 'net',
      ifName: 'eth0',
      netns: `/proc/${sandbox.State.Pid}/ns/net`,
      cniArgs: expect.arrayContaining([['K8S_POD_NAME', 'new']]) as string[][],
      result: { ips: [{ address: '10.1.0.5/24' }] },
    });
    expect(JSON.parse(Buffer.from(String(entry.config), 'base64').toString())).toEqual(network);

    const onHost = sandboxConfig('host', {
      linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
    });
    const host = (await runtime.runPodSandbox({ config: onHost })).podSandboxId;
    expect(json(path.join(stack.dir, 'docker-shim', 'sandbox', host))).toMatchObject({
      data: { host_network: true },
      checksum: 12_315_789,
    });
    await runtime.stopPodSandbox({ podSandboxId: host });
    await runtime.removePodSandbox({ podSandboxId: host });

    // All that is ours alone is lost: what is left is enough.
    await shim.stop();
    rmSync(path.join(stack.dir, 'docker-shim'), { recursive: true });
    await start();
    expect((await shim.runtime.podSandboxStatus({ podSandboxId })).status).toMatchObject({
      state: SANDBOX_READY,
      metadata: config.metadata,
      network: { ip: '10.1.0.5' },
    });
    expect((await shim.runtime.containerStatus({ containerId })).status).toMatchObject({
      metadata: { name: 'main', attempt: 5 },
      image: { image },
    });
    await shim.runtime.stopPodSandbox({ podSandboxId });
    await shim.runtime.removePodSandbox({ podSandboxId });
    expect(namesIn(results())).toEqual([]);
  }, 60_000);

  it('has its logs as links where that is wanted, and each container as it was created', async () => {
    const config = sandboxConfig('links');
    const { podSandboxId } = await shim.runtime.runPodSandbox({ config });
    const copied = await containerIn(podSandboxId, config);
    await shim.runtime.startContainer(copied);
    await restart({ STOWAGE_LOGS_MODE: 'link' });
    const { runtime } = shim;
    const { info } = await runtime.status({ verbose: true });
    expect(JSON.parse(info.config ?? '')).toMatchObject({ logMode: 'link' });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: {
        metadata: { name: 'linked', attempt: 0 },
        image: { image },
        command: ['/bin/sh', '-c', 'echo linked'],
        logPath: 'linked.log',
      },
    });
    await runtime.startContainer({ containerId });
    const file = path.join(config.logDirectory, 'linked.log');
    expect(readlinkSync(file)).toBe((await inspected(containerId)).LogPath);
    await eventually(() => readFileSync(file, 'utf8').includes('"log":"linked\\n"'));
    await expect(runtime.reopenContainerLog({ containerId })).rejects.toMatchObject({
      grpcStatus: 'FAILED_PRECONDITION',
    });

    const copy = path.join(config.logDirectory, 'main', '5.log');
    expect(lstatSync(copy).isFile()).toBe(true);
    await runtime.reopenContainerLog(copied);
    for (const one of [containerId, copied.containerId]) {
      await runtime.removeContainer({ containerId: one });
    }
    expect(() => lstatSync(file)).toThrow('ENOENT');
    expect(readFileSync(copy, 'utf8')).toMatch(/ stdout F ours\n$/);
    await runtime.stopPodSandbox({ podSandboxId });
    await runtime.removePodSandbox({ podSandboxId });
  }, 60_000);
});
