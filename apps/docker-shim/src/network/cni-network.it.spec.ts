import { PortMapping } from '@stowage/cri-proto';
import { eventually } from '@stowage/testing';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { CniNetwork } from './cni-network';
import { setHairpin } from './host-bridge';
import type { NetworkPod } from './pod-network';

/**
 * Debian's own plugins. What is the host's network to them is a namespace of its own here, so that
 * nothing of the machine changes: the plugins are started in it.
 */
const realPlugins = '/usr/lib/cni';
const run = promisify(execFile);
const { signal } = new AbortController();

let folder: string;
let processes: ChildProcess[];
let node: number;
let network: CniNetwork;

/** A process in a network namespace of its own. */
async function inNewNamespace(): Promise<number> {
  const child = spawn('unshare', ['--net', '--', 'sleep', '1000'], { stdio: 'ignore' });
  processes.push(child);
  const pid = child.pid!;
  const own = readlinkSync('/proc/self/ns/net');
  await eventually(
    () =>
      readlinkSync(`/proc/${pid}/ns/net`) !== own &&
      readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'sleep',
  );
  return pid;
}

async function end(pid: number): Promise<void> {
  const child = processes.find((process) => process.pid === pid)!;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** Runs a program in the network namespace of a process; returns what it printed. */
const at = async (pid: number, ...command: string[]) =>
  (await run('nsenter', [`--net=/proc/${pid}/ns/net`, '--', ...command])).stdout;

/** Starts plugins in the namespace of the node. */
function wrap(type: string, program: string): void {
  const file = path.join(folder, 'bin', type);
  writeFileSync(file, `#!/bin/sh\nexec nsenter --net=/proc/${node}/ns/net -- ${program}\n`);
  chmodSync(file, 0o755);
}

const leases = () =>
  readdirSync(path.join(folder, 'ipam', 'it')).filter((name) => name.includes('10.'));
const links = async (pid: number) =>
  (JSON.parse(await at(pid, 'ip', '-j', 'link')) as { ifname: string; link_type: string }[])
    .map(({ ifname }) => ifname)
    .filter((name) => name !== 'lo');
const veths = async () => (await links(node)).filter((name) => name.startsWith('veth'));
const kept = () => {
  const results = path.join(folder, 'cache', 'results');
  return existsSync(results) ? readdirSync(results) : [];
};

function configure(more: object[] = []): void {
  const ranges = [[{ subnet: '10.240.9.0/24' }], [{ subnet: 'fd00:240:9::/64' }]];
  const bridge = {
    type: 'bridge',
    bridge: 'itbr0',
    isGateway: true,
    ipam: {
      type: 'host-local',
      dataDir: path.join(folder, 'ipam'),
      ranges,
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    },
  };
  const portmap = { type: 'portmap', backend: 'iptables', capabilities: { portMappings: true } };
  writeFileSync(
    path.join(folder, 'net.d', '10-it.conflist'),
    JSON.stringify({ cniVersion: '1.0.0', name: 'it', plugins: [bridge, portmap, ...more] }),
  );
}

const start = () =>
  new CniNetwork({
    confDir: path.join(folder, 'net.d'),
    binDirs: [path.join(folder, 'bin')],
    cacheDir: path.join(folder, 'cache'),
    stateDir: path.join(folder, 'state'),
    podCidrs: [],
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
  });

const podOf = (pid: number, digit: string): NetworkPod => ({
  sandboxId: digit.repeat(64),
  name: `pod-${digit}`,
  namespace: 'it',
  uid: `uid-${digit}`,
  pid,
  portMappings: [],
  annotations: {},
});

beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cni-it-'));
  processes = [];
  for (const name of ['net.d', 'bin']) mkdirSync(path.join(folder, name));
  node = await inNewNamespace();
  await at(node, 'ip', 'link', 'set', 'lo', 'up');
  for (const type of ['bridge', 'host-local', 'portmap']) {
    wrap(type, path.join(realPlugins, type));
  }
  configure();
  network = start();
});
afterEach(async () => {
  network.close();
  for (const child of processes) {
    if (child.exitCode == null && child.signalCode == null) await end(child.pid!);
  }
  rmSync(folder, { recursive: true, force: true });
});

it('a pod gets its addresses, is reached at them and at its port, and leaves nothing when it goes', async () => {
  expect(await network.readiness()).toBeUndefined();
  const pid = await inNewNamespace();
  const pod = {
    ...podOf(pid, 'a'),
    portMappings: [PortMapping.fromPartial({ hostPort: 8080, containerPort: 80 })],
  };
  const [v4 = '', v6 = '', ...more] = await network.add(pod, { signal });
  expect(more).toEqual([]);
  expect(v4).toMatch(/^10\.240\.9\.\d+$/);
  expect(v6).toMatch(/^fd00:240:9::/);
  expect(await network.ips(pod.sandboxId)).toEqual([v4, v6]);
  await at(node, 'busybox', 'ping', '-c', '1', '-w', '10', v4);

  const server = spawn('nsenter', [
    `--net=/proc/${pid}/ns/net`,
    ...['--', 'busybox', 'nc', '-ll', '-p', '80', '-e', 'echo', 'served'],
  ]);
  processes.push(server);
  const node4 = '10.240.9.1';
  await eventually(async () => {
    const answer = at(node, 'sh', '-c', `busybox nc -w 2 ${node4} 8080 </dev/null`);
    return (await answer.catch(() => '')).trim() === 'served';
  });

  expect(leases()).toEqual([v4]);
  const file = path.join(folder, 'cache', 'results', `it-${pod.sandboxId}-eth0`);
  const entry = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  expect(entry).toMatchObject({
    kind: 'cniCacheV1',
    containerId: pod.sandboxId,
    ifName: 'eth0',
    networkName: 'it',
    netns: `/proc/${pid}/ns/net`,
    capabilityArgs: { portMappings: [{ hostPort: 8080, containerPort: 80 }] },
    result: { cniVersion: '1.0.0', ips: [{ address: `${v4}/24` }, { address: `${v6}/64` }] },
  });

  await network.remove(pod, { signal });
  expect(await links(pid)).toEqual([]);
  expect(await veths()).toEqual([]);
  expect(leases()).toEqual([]);
  expect(kept()).toEqual([]);
  expect(await at(node, 'iptables-save', '-t', 'nat')).not.toContain('8080');
  await network.remove(pod, { signal });
});

it('pods reach each other; one whose process is gone is removed all the same', async () => {
  const pods = [podOf(await inNewNamespace(), 'a'), podOf(await inNewNamespace(), 'b')] as const;
  const [[a = ''], [b = '']] = await Promise.all([
    network.add(pods[0], { signal }),
    network.add(pods[1], { signal }),
  ]);
  expect(a).not.toBe(b);
  await at(pods[0].pid, 'busybox', 'ping', '-c', '1', '-w', '10', b);
  await network.check(pods[1], { signal });
  await at(pods[1].pid, 'ip', 'addr', 'del', `${b}/24`, 'dev', 'eth0');
  await expect(network.check(pods[1], { signal })).rejects.toThrow(
    'CNI plugin bridge failed at CHECK',
  );
  await at(pods[1].pid, 'ip', 'addr', 'add', `${b}/24`, 'dev', 'eth0');
  await end(pods[0].pid);
  await network.remove(pods[0], { signal });
  expect(leases()).toEqual([b]);
  await eventually(async () => (await veths()).length === 1);
  await at(node, 'busybox', 'ping', '-c', '1', '-w', '10', b);
});

// D18
it('an ADD that fails at the second plugin leaves no link, no lease and no entry', async () => {
  const failing = path.join(folder, 'bin', 'failing');
  writeFileSync(
    failing,
    `#!/bin/sh
cat > /dev/null
case $CNI_COMMAND in
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}' ;;
ADD) echo '{"code":99,"msg":"no"}'; exit 1 ;;
esac
`,
  );
  chmodSync(failing, 0o755);
  configure([{ type: 'failing' }]);
  const pid = await inNewNamespace();
  for (let round = 0; round < 5; round++) {
    await expect(network.add(podOf(pid, 'a'), { signal })).rejects.toThrow(
      'CNI plugin failing failed at ADD: no (code 99)',
    );
    expect(await links(pid)).toEqual([]);
    expect(await veths()).toEqual([]);
    expect(leases()).toEqual([]);
    expect(kept()).toEqual([]);
  }
});

it('the error of a real plugin arrives', async () => {
  const pid = await inNewNamespace();
  await at(pid, 'ip', 'link', 'add', 'eth0', 'type', 'bridge');
  await expect(network.add(podOf(pid, 'a'), { signal })).rejects.toThrow(
    /^CNI plugin bridge failed at ADD: .*eth0.*\(code \d+\)$/,
  );
  expect(leases()).toEqual([]);
});

it('addresses of which nothing was kept are read in the namespace, once', async () => {
  const pid = await inNewNamespace();
  const pod = podOf(pid, 'a');
  const added = await network.add(pod, { signal });
  await at(pid, 'ip', 'link', 'add', 'net1', 'type', 'bridge');
  await at(pid, 'ip', 'addr', 'add', '10.66.0.9/24', 'dev', 'net1');
  await at(pid, 'ip', 'link', 'set', 'net1', 'up');
  rmSync(path.join(folder, 'cache'), { recursive: true });
  network = start();
  expect(await network.ips(pod.sandboxId)).toBeUndefined();
  await eventually(async () => {
    const found = await start().ips(pod.sandboxId, pid);
    return found?.length === 2; // an IPv6 address counts when nobody else has it
  });
  expect(await network.ips(pod.sandboxId, pid)).toEqual(added);
  await end(pid);
  expect(await network.ips(pod.sandboxId)).toEqual(added);
  expect(await start().ips(pod.sandboxId, pid)).toBeUndefined();
});

it('a pod that is up is not forgotten for want of a configuration', async () => {
  const pid = await inNewNamespace();
  const pod = podOf(pid, 'a');
  await network.add(pod, { signal });
  rmSync(path.join(folder, 'cache'), { recursive: true });
  rmSync(path.join(folder, 'net.d', '10-it.conflist'));
  await expect(network.remove(pod, { signal })).rejects.toThrow('no network configuration in');
  configure();
  await network.remove(pod, { signal });
  expect(leases()).toEqual([]);
});

it('the network of the host is never touched', async () => {
  const pod = podOf(process.pid, 'a');
  await expect(network.add(pod, { signal })).rejects.toThrow('no network namespace of its own');
  expect(kept()).toEqual([]);
});

describe('hairpin mode', () => {
  /** Prefix of links on the machine itself, which these tests remove. */
  const bridge = `ithp${process.pid % 100_000}`;
  const veth = `ithv${process.pid % 100_000}`;
  const hairpin = () => readFileSync(`/sys/class/net/${veth}/brport/hairpin_mode`, 'utf8').trim();

  beforeEach(async () => {
    await run('ip', ['link', 'add', 'name', bridge, 'type', 'bridge']);
  });
  afterEach(async () => {
    for (const name of [veth, bridge]) {
      if (existsSync(`/sys/class/net/${name}`)) await run('ip', ['link', 'delete', name]);
    }
  });
  const connect = (pid: number) =>
    run('ip', [
      ...['link', 'add', 'name', veth, 'type', 'veth'],
      ...['peer', 'name', 'eth0', 'netns', String(pid)],
    ]);

  it("is set at the host's end of the pod's interface", async () => {
    const pid = await inNewNamespace();
    await connect(pid);
    await run('ip', ['link', 'set', veth, 'master', bridge]);
    expect(hairpin()).toBe('0');
    await setHairpin(pid, signal);
    expect(hairpin()).toBe('1');
  });

  it('says what is missing', async () => {
    const pid = await inNewNamespace();
    await expect(setHairpin(pid, signal)).rejects.toThrow('its eth0 cannot be looked at');
    await connect(pid);
    await expect(setHairpin(pid, signal)).rejects.toThrow(`${veth} is on no bridge`);
    await expect(setHairpin(process.pid, signal)).rejects.toThrow(
      'no network namespace of its own',
    );
    await expect(setHairpin(pid, AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
  });
});
