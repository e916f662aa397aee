import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BridgeNetwork, engineIps } from './bridge-network';
import type { NetworkPod } from './pod-network';

const pod: NetworkPod = {
  sandboxId: 'a1',
  name: 'web-0',
  namespace: 'shop',
  uid: '8f2a',
  pid: 42,
  portMappings: [],
  annotations: {},
};
const connection = (available: boolean) => ({
  availability: () => ({ available, since: new Date(), connections: 1 }),
  engine: () => {
    throw new Error('not asked');
  },
});

it.each([
  [[], undefined],
  [[], {}],
  [[], { bridge: { IPAddress: '', GlobalIPv6Address: '' } }],
  [['10.0.0.2'], { bridge: { IPAddress: '10.0.0.2' } }],
  [['10.0.0.2', 'fd00::2'], { bridge: { IPAddress: '10.0.0.2', GlobalIPv6Address: 'fd00::2' } }],
  [['fd00::2', '10.0.1.2'], { a: { GlobalIPv6Address: 'fd00::2' }, b: { IPAddress: '10.0.1.2' } }],
])('addresses %j of %j', (ips, Networks) => {
  expect(engineIps({ NetworkSettings: { Networks } })).toEqual(ips);
});

it('is ready when the engine is', async () => {
  expect(await new BridgeNetwork(connection(true)).readiness()).toBeUndefined();
  expect(await new BridgeNetwork(connection(false)).readiness()).toBe(
    'Docker Engine does not answer',
  );
});

describe('hairpin mode', () => {
  let root: string;
  const file = (...parts: string[]) => path.join(root, ...parts);
  const device = (name: string, index: number) => {
    mkdirSync(file('sys/class/net', name, 'brport'), { recursive: true });
    writeFileSync(file('sys/class/net', name, 'ifindex'), `${index}\n`);
    writeFileSync(file('sys/class/net', name, 'brport/hairpin_mode'), '0');
  };
  const mode = (name: string) =>
    readFileSync(file('sys/class/net', name, 'brport/hairpin_mode'), 'utf8');
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'bridge-network-'));
    mkdirSync(file('proc/42/root/sys/class/net/eth0'), { recursive: true });
    writeFileSync(file('proc/42/root/sys/class/net/eth0/iflink'), '7\n');
    device('veth1', 6);
    device('veth2', 7);
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it.each([
    [true, '1'],
    [false, '0'],
  ])('%s: only the port of the pod is %s', async (hairpin, expected) => {
    await new BridgeNetwork(connection(true), { hairpin, root }).add(pod);
    expect([mode('veth1'), mode('veth2')]).toEqual(['0', expected]);
  });

  it('fails when there is no such port', async () => {
    rmSync(file('sys/class/net/veth2'), { recursive: true });
    const network = new BridgeNetwork(connection(true), { hairpin: true, root });
    await expect(network.add(pod)).rejects.toThrow('index 7');
  });
});
