import { NamespaceMode, PodSandboxState, type PodSandboxConfig } from '@stowage/cri-proto';
import { eventually, startStack, type PushedImage, type Stack } from '@stowage/testing';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import path from 'node:path';
import { ShimProcess } from '../testing/shim-process';

/** Pod sandboxes of docker-shim on a real Docker Engine. */
let stack: Stack;
let shim: ShimProcess;
let image: PushedImage;

const { SANDBOX_READY, SANDBOX_NOTREADY } = PodSandboxState;
type Given = Parameters<typeof PodSandboxConfig.fromPartial>[0];
let pods = 0;
const podConfig = (changes: Given = {}) => {
  pods += 1;
  const name = `pod-${pods}`;
  return {
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, attempt: 0 },
    hostname: name,
    ...changes,
  };
};
const onHost = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
const run = async (config: Given, runtimeHandler = '') =>
  (await shim.runtime.runPodSandbox({ config, runtimeHandler })).podSandboxId;
const stop = (podSandboxId: string) => shim.runtime.stopPodSandbox({ podSandboxId });
const remove = (podSandboxId: string) => shim.runtime.removePodSandbox({ podSandboxId });
const status = async (podSandboxId: string) =>
  (await shim.runtime.podSandboxStatus({ podSandboxId })).status;
const list = async (filter?: object) => (await shim.runtime.listPodSandbox({ filter })).items;
const inspected = async (id: string) =>
  (await stack.docker.api('GET', `/containers/${id}/json`)) as {
    State: { Running: boolean; Pid: number };
    HostConfig: Record<string, unknown>;
    ResolvConfPath: string;
  };
const engineIds = async () =>
  (
    (await stack.docker.api('GET', '/containers/json?all=1')) as {
      Id: string;
    }[]
  ).map(({ Id }) => Id);
const stateDir = () => path.join(stack.dir, 'docker-shim');
const checkpoint = (id: string) => path.join(stateDir(), 'sandbox', id);
/** What the shim keeps of a sandbox. */
const kept = (id: string) =>
  ['sandbox', 'pods'].flatMap((folder) =>
    readdirSync(path.join(stateDir(), folder)).filter((name) => name.startsWith(id)),
  );

/** A container in a sandbox, past the shim. */
async function containerIn(sandboxId: string, script: string): Promise<string> {
  const { Id } = (await stack.docker.api('POST', '/containers/create', {
    Image: image.reference,
    Cmd: ['sh', '-c', script],
    Labels: {
      'io.kubernetes.docker.type': 'container',
      'io.kubernetes.sandbox.id': sandboxId,
    },
    Tty: true,
    HostConfig: { NetworkMode: `container:${sandboxId}`, IpcMode: `container:${sandboxId}` },
  })) as { Id: string };
  await stack.docker.api('POST', `/containers/${Id}/start`);
  return Id;
}

/** What a command prints in a sandbox. */
async function outputIn(sandboxId: string, script: string): Promise<string> {
  const id = await containerIn(sandboxId, script);
  await stack.docker.api('POST', `/containers/${id}/wait`);
  const text = await stack.docker.api('GET', `/containers/${id}/logs?stdout=1&stderr=1`);
  await stack.docker.api('DELETE', `/containers/${id}?force=1&v=1`);
  return String(text).replaceAll('\r\n', '\n');
}

beforeAll(async () => {
  stack = await startStack({ docker: {}, nats: false });
  shim = new ShimProcess(stack);
  image = await stack.pushImage({ name: 'team/app' });
  await shim.start();
  await shim.image.pullImage({ image: { image: image.reference } });
});

afterAll(async () => {
  await shim.stop();
  await stack.down();
});

it('runs a pod on the bridge as it was asked for, and gives everything back', async () => {
  const config = podConfig({
    labels: { app: 'web', 'io.kubernetes.pod.name': 'x' },
    annotations: { 'example/note': 'a b' },
    dnsConfig: { servers: ['127.0.0.53', '10.1.2.3'], searches: ['a.b'], options: ['ndots:3'] },
    linux: { sysctls: { 'net.core.somaxconn': '1234' }, resources: { cpuShares: 512n } },
  });
  const before = BigInt(Date.now()) * 1_000_000n;
  const id = await run(config, 'runc');
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  const answer = await shim.runtime.podSandboxStatus({ podSandboxId: id, verbose: true });
  expect(answer.status).toMatchObject({
    id,
    metadata: config.metadata,
    state: SANDBOX_READY,
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: 'runc',
    network: { ip: expect.stringMatching(/^\d+\.\d+\.\d+\.\d+$/) as string },
    linux: { namespaces: { options: { network: NamespaceMode.POD, ipc: NamespaceMode.POD } } },
  });
  expect(answer.status?.createdAt).toBeGreaterThan(before);
  expect(answer.timestamp).toBeGreaterThan(before);
  const { State, HostConfig } = await inspected(id);
  expect(JSON.parse(answer.info.info ?? '')).toMatchObject({
    pid: State.Pid,
    image: `${stack.registry.open.host}/pause:3.9`,
    runtime: 'runc',
    netns: `/proc/${State.Pid}/ns/net`,
    resources: { cpuShares: 512 },
  });
  expect(HostConfig).toMatchObject({ CpuShares: 2, Privileged: false, IpcMode: 'shareable' });
  const out = await outputIn(
    id,
    'hostname; cat /proc/sys/net/core/somaxconn; ip -4 -o addr show eth0; cat /etc/resolv.conf',
  );
  expect(out).toMatch(
    new RegExp(
      `^${config.metadata.name}\n1234\n.*${answer.status?.network?.ip}/.*\n` +
        'search a.b\nnameserver 127.0.0.53\nnameserver 10.1.2.3\noptions ndots:3\n$',
    ),
  );
  await stop(id);
  expect(await status(id)).toMatchObject({
    state: SANDBOX_NOTREADY,
    network: { ip: '', additionalIps: [] },
  });
  await remove(id);
  await expect(status(id)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
  expect([await engineIds(), kept(id)]).toEqual([[], []]);
});

it('an empty DNS configuration is an empty file, none is the engine’s', async () => {
  const empty = await run(podConfig({ dnsConfig: {} }));
  const own = await run(podConfig());
  expect(await outputIn(empty, 'cat /etc/resolv.conf')).toBe('');
  expect(readFileSync((await inspected(own)).ResolvConfPath, 'utf8')).toMatch(/^nameserver /m);
  for (const id of [empty, own]) await remove(id);
});

// D16
it('runs, stops and removes a pod on the host’s network', async () => {
  const id = await run(podConfig({ linux: onHost }));
  expect(await status(id)).toMatchObject({
    state: SANDBOX_READY,
    network: { ip: '', additionalIps: [] },
    linux: { namespaces: { options: { network: NamespaceMode.NODE } } },
  });
  expect((await outputIn(id, 'hostname')).trim()).toBe(hostname());
  expect(JSON.parse(readFileSync(checkpoint(id), 'utf8'))).toMatchObject({
    data: { host_network: true },
    checksum: 12315789,
  });
  await stop(id);
  await remove(id);
});

it('opens ports on the host', async () => {
  const free = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
  const portMappings = [
    { protocol: 0, containerPort: 80, hostPort: free, hostIp: '127.0.0.1' },
    { protocol: 0, containerPort: 81, hostPort: 0, hostIp: '' },
  ];
  const id = await run(podConfig({ portMappings }));
  await containerIn(id, 'while true; do echo from the pod | nc -l -p 80; done');
  const read = () =>
    new Promise<string>((resolve) => {
      let text = '';
      const socket = connect(free, '127.0.0.1');
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('error', () => resolve(''));
      socket.on('close', () => resolve(text));
    });
  await eventually(async () => (await read()) === 'from the pod\n', { timeoutMs: 20_000 });
  await stop(id);
  await remove(id);
  expect(await engineIds()).toEqual([]);
});

it('lists what the filter asks for, in one message or several', async () => {
  const [a, b] = await Promise.all([
    run(podConfig({ labels: { app: 'a', tier: 'x' } })),
    run(podConfig({ labels: { app: 'b', tier: 'x' } })),
  ]);
  await stop(b);
  const ids = async (filter?: object) => (await list(filter)).map(({ id }) => id).sort();
  const both = [a, b].sort();
  for (const [filter, expected] of [
    [undefined, both],
    [{}, both],
    [{ id: a }, [a]],
    [{ id: b.slice(0, 13) }, [b]],
    [{ id: 'no' }, []],
    [{ state: { state: SANDBOX_READY } }, [a]],
    [{ state: { state: SANDBOX_NOTREADY } }, [b]],
    [{ labelSelector: { tier: 'x' } }, both],
    [{ labelSelector: { tier: 'x', app: 'b' } }, [b]],
    [{ labelSelector: { tier: 'x', app: '' } }, []],
    [{ labelSelector: { app: 'b' }, state: { state: SANDBOX_READY } }, []],
  ] as const) {
    expect([filter, await ids(filter)]).toEqual([filter, expected]);
  }
  const [entry] = await list({ id: a });
  const { createdAt } = (await status(a))!;
  expect(entry).toMatchObject({ createdAt, labels: { app: 'a', tier: 'x' } });
  const streamed = [];
  for await (const { podSandboxes } of shim.runtime.streamPodSandboxes({})) {
    streamed.push(...podSandboxes.map(({ id }) => id));
  }
  expect(streamed.sort()).toEqual(both);
  expect((await status(a.slice(0, 12)))?.id).toBe(a);
  for (const id of both) await remove(id.slice(0, 12));
  expect(await list()).toEqual([]);
});

it('containers of other programs are none of its business', async () => {
  const { Id } = (await stack.docker.api('POST', '/containers/create?name=other', {
    Image: image.reference,
  })) as { Id: string };
  expect(await list()).toEqual([]);
  await expect(status(Id)).rejects.toMatchObject({ grpcStatus: 'NOT_FOUND' });
  await stop(Id);
  await remove(Id);
  expect(await engineIds()).toEqual([Id]);
  await stack.docker.api('DELETE', `/containers/${Id}?force=1`);
});

it('ends the containers of a pod when it is stopped, and removes them with it', async () => {
  const id = await run(podConfig());
  const app = await containerIn(id, 'trap "" TERM; while true; do sleep 1; done');
  await stop(id);
  expect((await inspected(app)).State.Running).toBe(false);
  expect((await inspected(id)).State.Running).toBe(false);
  await stop(id);
  await remove(id);
  await remove(id);
  expect(await engineIds()).toEqual([]);
});

it('keeps nothing of containers that go with their pod, or by another hand, but their logs', async () => {
  const sandboxConfig = podConfig({ logDirectory: path.join(stack.dir, 'pod-logs') });
  const podSandboxId = await run(sandboxConfig);
  const records = path.join(stateDir(), 'containers');
  const logs = ['with-the-pod', 'by-hand'].map((name) => path.join(stack.dir, 'pod-logs', name));
  const ids: string[] = [];
  for (const logPath of ['with-the-pod', 'by-hand']) {
    const { containerId } = await shim.runtime.createContainer({
      podSandboxId,
      sandboxConfig,
      config: {
        metadata: { name: logPath, attempt: 0 },
        image: { image: image.reference },
        command: [
          ...['/bin/sh', '-c'],
          'i=0; while :; do echo $((i=i+1)); [ $((i % 100)) = 0 ] && sleep 0.01; done',
        ],
        logPath,
      },
    });
    await shim.runtime.startContainer({ containerId });
    ids.push(containerId);
  }
  await eventually(() => logs.every((file) => statSync(file).size > 10_000));
  expect(readdirSync(records).sort()).toEqual(ids.map((id) => `${id}.json`).sort());
  await stack.docker.api('DELETE', `/containers/${ids[1]}?force=1&v=1`);
  await eventually(() => readdirSync(records).join() === `${ids[0]}.json`);
  await stop(podSandboxId);
  await remove(podSandboxId);
  await eventually(() => readdirSync(records).length === 0);
  for (const file of logs) expect(readFileSync(file, 'utf8')).toMatch(/ stdout F \d+\n$/);
});

it('knows its pods after a restart', async () => {
  const config = podConfig({ dnsConfig: { servers: ['10.1.2.3'] } });
  const id = await run(config);
  const before = await status(id);
  const { ResolvConfPath: file } = await inspected(id);
  await shim.stop();
  // As an engine does that writes its files anew.
  writeFileSync(file, 'nameserver 8.8.8.8\n');
  const { ino } = statSync(file);
  await shim.start();
  expect(await status(id)).toEqual(before);
  expect(await list()).toMatchObject([{ id, state: SANDBOX_READY }]);
  await eventually(() => readFileSync(file, 'utf8') === 'nameserver 10.1.2.3\n');
  expect(statSync(file).ino).toBe(ino);
  await expect(run(config)).rejects.toMatchObject({ grpcStatus: 'ALREADY_EXISTS' });
  await stop(id);
  await remove(id);
  expect(kept(id)).toEqual([]);
});

// D20
it('a sandbox that somebody else removed can be stopped and removed', async () => {
  const config = podConfig();
  const id = await run(config);
  await stack.docker.api('DELETE', `/containers/${id}?force=1&v=1`);
  expect(await list()).toMatchObject([
    { id, state: SANDBOX_NOTREADY, metadata: { name: config.metadata.name, namespace: 'shop' } },
  ]);
  expect(await list({ state: { state: SANDBOX_NOTREADY } })).toEqual([]);
  await stop(id);
  await remove(id);
  await remove(id);
  expect([await list(), kept(id)]).toEqual([[], []]);
});

it('checkpoints of the program before it count, damaged ones do not', async () => {
  const folder = path.join(stack.dir, 'imported');
  mkdirSync(folder);
  const [good, bad] = ['ab'.repeat(32), 'cd'.repeat(32)];
  const text = '{"version":"v1","name":"old","namespace":"ns","data":{},"checksum":2305795928}';
  writeFileSync(path.join(folder, good), text);
  writeFileSync(path.join(folder, bad), '{');
  expect(await list()).toMatchObject([
    { id: good, state: SANDBOX_NOTREADY, metadata: { name: 'old', namespace: 'ns' } },
  ]);
  await stop(good.slice(0, 4));
  await remove(good);
  expect(await list()).toEqual([]);
  expect(existsSync(path.join(folder, good))).toBe(false);
  expect(existsSync(path.join(folder, `${bad}.corrupt`))).toBe(true);
  const { body } = await shim.app.get('/metrics');
  expect(body).toMatch(/^stowage_shim_corrupt_checkpoints_total 1$/m);
});

// D19
it('a leftover of a pod is not in its way, and a name of others is not taken from them', async () => {
  const config = podConfig();
  const first = await run(config);
  await stack.docker.api('POST', `/containers/${first}/kill`);
  await eventually(async () => !(await inspected(first)).State.Running);
  const second = await run(config);
  expect(await engineIds()).toEqual([second]);
  expect(kept(first)).toEqual([]);
  await remove(second);

  const name = `k8s_POD_${config.metadata.name}_shop_${config.metadata.uid}_0`;
  const { Id: other } = (await stack.docker.api('POST', `/containers/create?name=${name}`, {
    Image: image.reference,
  })) as { Id: string };
  const third = await run(config);
  expect((await engineIds()).sort()).toEqual([other, third].sort());
  expect(await status(third)).toMatchObject({ metadata: config.metadata, state: SANDBOX_READY });
  await remove(third);
  await stack.docker.api('DELETE', `/containers/${other}?force=1`);
});

it('refuses what the engine refuses, with its words, and leaves nothing', async () => {
  const sysctls = { 'vm.swappiness': '10' };
  for (const [config, message] of [
    [podConfig({ linux: { sysctls } }), /sysctl/],
    [podConfig({ labels: { 'io.kubernetes.sandbox.id': 'x' } }), /io\.kubernetes\.sandbox\.id/],
  ] as const) {
    await expect(run(config)).rejects.toMatchObject({
      grpcStatus: 'INVALID_ARGUMENT',
      message: expect.stringMatching(message) as string,
    });
  }
  await expect(run(podConfig(), 'kata')).rejects.toMatchObject({ grpcStatus: 'INVALID_ARGUMENT' });
  expect([await engineIds(), await list()]).toEqual([[], []]);
});

it('keeps new resources of a pod', async () => {
  const id = await run(podConfig());
  await shim.runtime.updatePodSandboxResources({
    podSandboxId: id,
    resources: { memoryLimitInBytes: 1n << 40n },
  });
  await shim.stop();
  await shim.start();
  const { info } = await shim.runtime.podSandboxStatus({ podSandboxId: id, verbose: true });
  expect(JSON.parse(info.info ?? '')).toMatchObject({
    resources: { memoryLimitInBytes: 1_099_511_627_776 },
  });
  await remove(id);
  await expect(shim.runtime.updatePodSandboxResources({ podSandboxId: id })).rejects.toMatchObject({
    grpcStatus: 'NOT_FOUND',
  });
});

// D08
it('pulls a private sandbox image with the credentials of the node, once for all pods', async () => {
  const { host, username, password } = stack.registry.auth;
  const pause = await stack.pushImage({
    name: 'private/pause',
    to: 'auth',
    command: ['/bin/sleep', '2147483647'],
    stopSignal: 'SIGKILL',
  });
  const secret = `wrong-${password}`;
  const basic = (text: string) => ({ auth: Buffer.from(`${username}:${text}`).toString('base64') });
  const auths = { [`${host}/private`]: basic(secret), [host]: basic(password) };
  writeFileSync(path.join(stack.dir, 'config.json'), JSON.stringify({ auths }));
  await shim.stop();
  await shim.start({ env: { STOWAGE_SANDBOX_IMAGE: pause.reference } });
  const ids = await Promise.all([run(podConfig()), run(podConfig()), run(podConfig())]);
  expect(new Set(ids).size).toBe(3);
  const { image: present } = await shim.image.imageStatus({ image: { image: pause.reference } });
  expect(present?.pinned).toBe(true);
  for (const id of ids) await remove(id);
  for (const text of [password, secret, basic(password).auth, basic(secret).auth]) {
    expect(shim.app.stdout).not.toContain(text);
  }
  const { body } = await shim.app.get('/metrics');
  expect(body).toMatch(
    /stowage_docker_engine_calls_total\{operation="pull image",result="ok"\} [12]\n/,
  );
});
