import { NamespaceMode, PodSandboxState } from '@stowage/cri-proto';
import { eventually, startStack, type Stack } from '@stowage/testing';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { FakePlugins, resultWith } from '../testing/fake-plugin';
import { ShimProcess } from '../testing/shim-process';

/** Pods whose network is of CNI plugins, through docker-shim as a process. */
let stack: Stack;
let shim: ShimProcess;
let plugins: FakePlugins;
let folder: string;

const config = (name: string, changes: object = {}) => ({
  metadata: { name, namespace: 'shop', uid: `uid-${name}`, attempt: 0 },
  ...changes,
});
const onHost = {
  linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
};
const run = async (given: object) =>
  (await shim.runtime.runPodSandbox({ config: given })).podSandboxId;
const stop = (podSandboxId: string) => shim.runtime.stopPodSandbox({ podSandboxId });
const remove = (podSandboxId: string) => shim.runtime.removePodSandbox({ podSandboxId });
const status = async (podSandboxId: string) =>
  (await shim.runtime.podSandboxStatus({ podSandboxId })).status;
const network = async () =>
  (await shim.runtime.status({})).status?.conditions.find(({ type }) => type === 'NetworkReady');
const namesIn = (dir: string) => (existsSync(dir) ? readdirSync(dir) : []);
/** All that a pod leaves if anything of it is left. */
const left = async () => [
  ...((await stack.docker.api('GET', '/containers/json?all=1')) as { Id: string }[]).map(
    ({ Id }) => Id,
  ),
  ...namesIn(path.join(stack.dir, 'docker-shim', 'sandbox')),
  ...namesIn(path.join(stack.dir, 'docker-shim', 'pods')),
  ...namesIn(path.join(folder, 'cache', 'results')),
];
const configFile = () => path.join(folder, 'net.d', '10-net.conflist');

function configure(): void {
  const portmap = { type: 'two', capabilities: { portMappings: true } };
  const list = { cniVersion: '1.0.0', name: 'net', plugins: [{ type: 'one' }, portmap] };
  writeFileSync(configFile(), JSON.stringify(list));
}

const start = () =>
  shim.start({
    env: {
      STOWAGE_NETWORK_MODE: 'cni',
      STOWAGE_CNI_CONF_DIR: path.join(folder, 'net.d'),
      STOWAGE_CNI_BIN_DIRS: plugins.binDir,
      STOWAGE_CNI_CACHE_DIR: path.join(folder, 'cache'),
    },
  });

beforeAll(async () => {
  stack = await startStack({ docker: {}, nats: false });
  folder = path.join(stack.dir, 'cni');
  mkdirSync(path.join(folder, 'net.d'), { recursive: true });
  plugins = new FakePlugins(folder);
  for (const name of ['one', 'two']) plugins.add(name);
  shim = new ShimProcess(stack);
  await start();
}, 60_000);

afterAll(async () => {
  await shim.stop();
  await stack.down();
});

// D16
it('a pod on the host’s network lives without any network configuration, others wait for one', async () => {
  expect(await network()).toMatchObject({ status: false, reason: 'NetworkPluginNotReady' });
  const id = await run(config('on-host', onHost));
  expect(await status(id)).toMatchObject({
    state: PodSandboxState.SANDBOX_READY,
    network: { ip: '', additionalIps: [] },
  });
  await expect(run(config('early'))).rejects.toThrow(/no network configuration/);
  expect(await network()).toMatchObject({ status: false });
  await stop(id);
  await remove(id);
  expect([await left(), plugins.calls()]).toEqual([[], []]);

  configure();
  await eventually(async () => (await network())?.status === true, { timeoutMs: 10_000 });
  const { info } = await shim.runtime.status({ verbose: true });
  expect(JSON.parse(info.config ?? '')).toMatchObject({ networkMode: 'cni', networkName: 'net' });
});

// D15, D17
it('a pod has its addresses of both families, also after a restart, and plugins know the pod', async () => {
  plugins.result('one', resultWith('10.1.0.7/24', 'fd00:1::7/64'));
  plugins.answer(
    'two',
    'ADD',
    `echo '${JSON.stringify(resultWith('10.1.0.7/24', 'fd00:1::7/64'))}'`,
  );
  const portMappings = [{ protocol: 0, containerPort: 80, hostPort: 8080, hostIp: '' }];
  const id = await run(config('web', { portMappings }));
  const addresses = { ip: '10.1.0.7', additionalIps: [{ ip: 'fd00:1::7' }] };
  expect(await status(id)).toMatchObject({ network: addresses });
  const args =
    'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;' +
    `K8S_POD_INFRA_CONTAINER_ID=${id};K8S_POD_UID=uid-web`;
  const [one, two] = plugins.calls('ADD');
  expect([one?.args, two?.args]).toEqual([args, args]);
  expect([one?.containerId, one?.ifName]).toEqual([id, 'eth0']);
  const pid = (await stack.docker.api('GET', `/containers/${id}/json`)) as {
    State: { Pid: number };
  };
  expect(one?.netns).toBe(`/proc/${pid.State.Pid}/ns/net`);
  expect(two?.config.runtimeConfig).toEqual({
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '' }],
  });

  await shim.app.kill();
  await shim.restart({
    env: {
      STOWAGE_NETWORK_MODE: 'cni',
      STOWAGE_CNI_CONF_DIR: path.join(folder, 'net.d'),
      STOWAGE_CNI_BIN_DIRS: plugins.binDir,
      STOWAGE_CNI_CACHE_DIR: path.join(folder, 'cache'),
    },
  });
  expect(await status(id)).toMatchObject({
    state: PodSandboxState.SANDBOX_READY,
    network: addresses,
  });
  expect(plugins.calls('ADD')).toHaveLength(2);

  await stop(id);
  expect(plugins.order().slice(-2)).toEqual(['two DEL', 'one DEL']);
  expect(await status(id)).toMatchObject({ network: { ip: '', additionalIps: [] } });
  await remove(id);
  expect(plugins.calls('DEL')).toHaveLength(2);
  expect(await left()).toEqual([]);
}, 30_000);

// D18
it('a plugin that fails leaves nothing, however often', async () => {
  plugins.fail('two', 'ADD', { code: 11, msg: 'no addresses' });
  const before = plugins.calls('DEL').length;
  for (let round = 1; round <= 5; round += 1) {
    await expect(run(config('failing'))).rejects.toThrow(/two failed at ADD: no addresses/);
    expect([round, await left()]).toEqual([round, []]);
    expect((await shim.runtime.listPodSandbox({})).items).toEqual([]);
  }
  const removed = plugins.calls('DEL').slice(before);
  expect(removed.filter(({ plugin }) => plugin === 'one')).toHaveLength(5);
  expect(removed.filter(({ plugin }) => plugin === 'two')).toHaveLength(5);
  plugins.answer('two', 'ADD');
}, 30_000);

it('a pod whose network cannot be taken down stays until it can', async () => {
  const id = await run(config('stuck'));
  plugins.fail('one', 'DEL', { code: 11, msg: 'try again' });
  await expect(stop(id)).rejects.toThrow(/one failed at DEL: try again/);
  await expect(remove(id)).rejects.toThrow(/try again/);
  expect((await shim.runtime.listPodSandbox({})).items.map((item) => item.id)).toEqual([id]);
  // Behind the shim's back it goes, and its network is still to be taken down.
  await stack.docker.api('DELETE', `/containers/${id}?force=1&v=1`);
  await expect(remove(id)).rejects.toThrow(/try again/);
  plugins.answer('one', 'DEL');
  // The pod's own configuration counts, not that of the moment.
  rmSync(configFile());
  await stop(id);
  await remove(id);
  expect(await left()).toEqual([]);
  configure();
}, 30_000);
