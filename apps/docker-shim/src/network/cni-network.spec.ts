import { DNSConfig, PortMapping } from '@stowage/cri-proto';
import { eventually } from '@stowage/testing';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FakePlugins, resultWith } from '../testing/fake-plugin';
import { CniError, PodNetworkLeftError } from './cni-errors';
import { CniNetwork } from './cni-network';
import type { EndedPluginCall } from './cni-plugins';
import type { NetworkPod } from './pod-network';

const id = 'a'.repeat(64);
const otherId = 'b'.repeat(64);
const netns = '/proc/77/ns/net';
const args = `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=${id};K8S_POD_UID=u-1`;
const pod: NetworkPod = {
  sandboxId: id,
  name: 'web-0',
  namespace: 'shop',
  uid: 'u-1',
  pid: 77,
  portMappings: [],
  annotations: {},
};
const other: NetworkPod = { ...pod, sandboxId: otherId };
const gone = { ...pod, pid: undefined };

let folder: string;
let plugins: FakePlugins;
let network: CniNetwork;
let logged: { level: string; fields: Record<string, unknown>; message: string }[];
let ended: EndedPluginCall[];
let now: number;

const confDir = () => path.join(folder, 'net.d');
const results = () => path.join(folder, 'cache', 'results');
const kept = (): string[] => (existsSync(results()) ? readdirSync(results()) : []);
const entry = (name: string) =>
  JSON.parse(readFileSync(path.join(results(), name), 'utf8')) as Record<string, unknown>;
const configure = (config: object, name = '10-net.conflist') => {
  mkdirSync(confDir(), { recursive: true });
  writeFileSync(path.join(confDir(), name), JSON.stringify(config));
};
const chain = (fields: object = {}) => ({
  cniVersion: '1.0.0',
  name: 'net',
  plugins: [
    { type: 'one', own: true },
    { type: 'two', capabilities: { portMappings: true } },
  ],
  ...fields,
});
const log = (level: string) => (fields: object | string, message?: string) =>
  logged.push({ level, fields: fields as Record<string, unknown>, message: message ?? '' });
const start = (options: Partial<ConstructorParameters<typeof CniNetwork>[0]> = {}) =>
  new CniNetwork({
    confDir: confDir(),
    binDirs: [path.join(folder, 'no-such'), plugins.binDir],
    cacheDir: path.join(folder, 'cache'),
    podCidrs: [],
    stateDir: path.join(folder, 'state'),
    log: { debug: log('debug'), info: log('info'), warn: log('warn') },
    now: () => now,
    namespaceOf: (pid) => Promise.resolve(pid === undefined ? undefined : `/proc/${pid}/ns/net`),
    onEnded: (call) => ended.push(call),
    ...options,
  });
const { signal } = new AbortController();
const add = (added = pod) => network.add(added, { signal });
const remove = (removed: Parameters<CniNetwork['remove']>[0] = pod) =>
  network.remove(removed, { signal });

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cni-network-'));
  plugins = new FakePlugins(folder);
  plugins.add('one');
  plugins.add('two');
  logged = [];
  ended = [];
  now = 1000;
  network = start();
});
afterEach(() => {
  network.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('ADD', () => {
  // D17
  it('calls the plugins in order, each with the result before it, and says who the pod is', async () => {
    configure(chain());
    plugins.result('two', resultWith('10.1.0.6/24'));
    expect(await add()).toEqual(['10.1.0.6']);
    const common = {
      command: 'ADD',
      containerId: id,
      netns,
      ifName: 'eth0',
      args,
      path: `${path.join(folder, 'no-such')}:${plugins.binDir}`,
    };
    expect(plugins.calls()).toEqual([
      {
        ...common,
        plugin: 'one',
        config: { type: 'one', own: true, name: 'net', cniVersion: '1.0.0' },
      },
      {
        ...common,
        plugin: 'two',
        config: {
          type: 'two',
          capabilities: { portMappings: true },
          name: 'net',
          cniVersion: '1.0.0',
          prevResult: resultWith('10.1.0.5/24'),
        },
      },
    ]);
  });

  it('gives each plugin what it declares, and no other', async () => {
    const everything = { portMappings: true, bandwidth: true, ipRanges: true, dns: true };
    configure(
      chain({
        plugins: [
          { type: 'one', capabilities: everything },
          { type: 'two', capabilities: { bandwidth: true, dns: false } },
        ],
      }),
    );
    network.setPodCidrs(['10.1.0.0/24']);
    await add({
      ...pod,
      portMappings: [PortMapping.fromPartial({ containerPort: 80, hostPort: 8080 })],
      annotations: { 'kubernetes.io/ingress-bandwidth': '1M' },
      dns: DNSConfig.fromPartial({ servers: ['10.0.0.10'] }),
    });
    const bandwidth = { ingressRate: 1_000_000, ingressBurst: 2_147_483_647 };
    expect(plugins.calls().map(({ config }) => config.runtimeConfig)).toEqual([
      {
        portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '' }],
        bandwidth,
        ipRanges: [[{ subnet: '10.1.0.0/24' }]],
        dns: { servers: ['10.0.0.10'], searches: [], options: [] },
      },
      { bandwidth },
    ]);
  });

  it("keeps the result in the form of the CNI library's cache", async () => {
    configure(chain());
    await add({
      ...pod,
      portMappings: [PortMapping.fromPartial({ containerPort: 8, hostPort: 9 })],
    });
    expect(kept()).toEqual([`net-${id}-eth0`]);
    const { config, ...fields } = entry(`net-${id}-eth0`);
    expect(JSON.parse(Buffer.from(String(config), 'base64').toString())).toEqual(chain());
    expect(fields).toEqual({
      kind: 'cniCacheV1',
      containerId: id,
      ifName: 'eth0',
      networkName: 'net',
      netns,
      cniArgs: args.split(';').map((pair) => pair.split('=')),
      capabilityArgs: {
        portMappings: [{ hostPort: 9, containerPort: 8, protocol: 'tcp', hostIP: '' }],
      },
      result: resultWith('10.1.0.5/24'),
    });
  });

  // D15
  it('gives all addresses, the first one first, also after a restart', async () => {
    configure(chain({ plugins: [{ type: 'one' }] }));
    plugins.result('one', resultWith('fd00::5/64', '10.1.0.5/24'));
    expect(await add()).toEqual(['fd00::5', '10.1.0.5']);
    expect(await network.ips(id)).toEqual(['fd00::5', '10.1.0.5']);
    network = start();
    expect(await network.ips(id)).toEqual(['fd00::5', '10.1.0.5']);
    expect(await network.result(id)).toEqual(resultWith('fd00::5/64', '10.1.0.5/24'));
    expect(plugins.order()).toEqual(['one ADD']);
    expect(await network.ips(otherId)).toBeUndefined();
  });

  // D18
  it('a failing plugin leaves nothing, however often', async () => {
    configure(chain());
    plugins.fail('two', 'ADD', { code: 7, msg: 'no ports', details: 'all taken' });
    for (let round = 0; round < 5; round++) {
      await expect(add()).rejects.toMatchObject({
        code: 'CNI_PLUGIN_FAILED',
        message: 'CNI plugin two failed at ADD: no ports; all taken (code 7)',
      });
      expect(kept()).toEqual([]);
    }
    const round = ['one ADD', 'two ADD', 'two DEL', 'one DEL'];
    expect(plugins.order()).toEqual([round, round, round, round, round].flat());
    expect(await network.ips(id)).toBeUndefined();
  });

  it('a plugin that asks for another try says so to callers', async () => {
    configure(chain());
    plugins.fail('one', 'ADD', { code: 11, msg: 'later' });
    await expect(add()).rejects.toMatchObject({ grpcStatus: 'UNAVAILABLE', retryable: true });
  });

  it.each([
    [
      'dies without a word',
      'exit 5',
      'it ended with exit code 5 and said nothing on standard output',
    ],
    ['kills itself', 'kill -9 $$', 'it was killed and said nothing on standard output'],
    ['prints nothing', 'true', 'the result is not JSON'],
    ['prints no result', 'echo "[]"', 'the result is not a JSON object'],
    ['has no address', `echo '{"cniVersion":"1.0.0"}'`, 'the result has no address'],
  ])('a plugin that %s fails, and DEL follows', async (_what, script, problem) => {
    configure(chain({ plugins: [{ type: 'one' }] }));
    plugins.answer('one', 'ADD', script);
    await expect(add()).rejects.toThrow(`CNI plugin one failed at ADD: ${problem}`);
    expect(plugins.order()).toEqual(['one ADD', 'one DEL']);
    expect(kept()).toEqual([]);
  });

  it('who gives up ends the plugin and all it started, and DEL follows', async () => {
    configure(chain());
    const pidFile = path.join(folder, 'pid');
    plugins.answer('two', 'ADD', `sleep 300 & echo $! > '${pidFile}'; wait`);
    const caller = new AbortController();
    const adding = network.add(pod, { signal: caller.signal });
    await eventually(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').endsWith('\n'));
    caller.abort(new Error('no longer wanted'));
    await expect(adding).rejects.toThrow('no longer wanted');
    const sleeper = readFileSync(pidFile, 'utf8').trim();
    await eventually(() => !isAlive(sleeper));
    expect(plugins.order().slice(2)).toEqual(['two DEL', 'one DEL']);
    expect(kept()).toEqual([]);
    expect(ended.filter(({ result }) => result === 'cancelled')).toMatchObject([
      { command: 'ADD' },
    ]);
  });

  it('when DEL fails too the error says that something is left, and a later removal finds it', async () => {
    configure(chain());
    plugins.fail('two', 'ADD', { code: 7, msg: 'no ports' });
    plugins.fail('two', 'DEL', { code: 8, msg: 'stuck' });
    const error = await add().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PodNetworkLeftError);
    expect((error as Error).message).toContain('no ports');
    expect((error as Error).message).toContain('stuck');
    expect(kept()).toEqual([`net-${id}-eth0`]);
    rmSync(confDir(), { recursive: true });
    plugins.answer('two', 'DEL');
    await remove();
    expect(plugins.order().slice(-2)).toEqual(['two DEL', 'one DEL']);
    expect(kept()).toEqual([]);
  });

  it.each([
    ['without configuration', () => undefined, pod, 'no network configuration in'],
    ['for a process that is gone', () => configure(chain()), { ...pod, pid: 0 }, 'is gone'],
    [
      'with a bandwidth that is none',
      () => configure(chain()),
      { ...pod, annotations: { 'kubernetes.io/ingress-bandwidth': 'fast' } },
      'annotation kubernetes.io/ingress-bandwidth',
    ],
    [
      'with a name that is two arguments',
      () => configure(chain()),
      { ...pod, name: 'a;B=c' },
      'metadata.name',
    ],
  ])('%s no plugin is called', async (_what, prepare, added, problem) => {
    prepare();
    network = start({
      namespaceOf: (pid) => Promise.resolve(pid ? `/proc/${pid}/ns/net` : undefined),
    });
    await expect(add(added)).rejects.toThrow(problem);
    expect(plugins.order()).toEqual([]);
    expect(kept()).toEqual([]);
  });

  it('calls for one pod never overlap, pods are independent of each other', async () => {
    configure(chain({ plugins: [{ type: 'one' }] }));
    const gate = path.join(folder, 'gate');
    plugins.answer(
      'one',
      'ADD',
      `case $CNI_CONTAINERID in ${id}) while [ ! -e '${gate}' ]; do sleep 0.02; done;; esac
      echo '${JSON.stringify(resultWith('10.1.0.5/24'))}'`,
    );
    const adding = add();
    const removing = remove();
    await add(other);
    await remove(other);
    expect(plugins.calls('DEL').map(({ containerId }) => containerId)).toEqual([otherId]);
    writeFileSync(gate, '');
    await Promise.all([adding, removing]);
    expect(plugins.calls('DEL')).toHaveLength(2);
    expect(kept()).toEqual([]);
  });

  it('waits for a plugin that is being written', async () => {
    configure(chain());
    await network.readiness();
    const file = path.join(plugins.binDir, 'one');
    const writing = openSync(file, 'r+');
    const timer = setTimeout(() => closeSync(writing), 500);
    try {
      expect(await add()).toEqual(['10.1.0.5']);
    } finally {
      clearTimeout(timer);
    }
  });

  it('logs the beginning of what a plugin writes to standard error, and none of our environment reaches it', async () => {
    configure(chain({ plugins: [{ type: 'one' }] }));
    process.env.STOWAGE_NATS_SERVERS = 'nats://user:password@host';
    try {
      plugins.answer(
        'one',
        'ADD',
        `env | grep STOWAGE_ >&2; head -c 10000 /dev/zero | tr '\\0' x >&2; echo '${JSON.stringify(resultWith('10.1.0.5/24'))}'`,
      );
      await add();
    } finally {
      delete process.env.STOWAGE_NATS_SERVERS;
    }
    const [line, ...more] = logged.filter(({ fields }) => fields.stderr !== undefined);
    expect(more).toEqual([]);
    expect(line).toMatchObject({ level: 'debug', fields: { plugin: 'one', command: 'ADD' } });
    expect(line!.fields.stderr).toBe('x'.repeat(4096));
  });

  it('counts each plugin that ran', async () => {
    configure(chain());
    plugins.fail('two', 'ADD', { code: 7, msg: 'no' });
    await add().catch(() => undefined);
    expect(
      ended
        .filter(({ command }) => command !== 'VERSION')
        .map(({ command, result }) => [command, result]),
    ).toEqual([
      ['ADD', 'ok'],
      ['ADD', 'failed'],
      ['DEL', 'ok'],
      ['DEL', 'ok'],
    ]);
  });
});

describe('DEL', () => {
  it('goes backwards with the result, and with the configuration and arguments of then', async () => {
    configure(chain());
    await add({
      ...pod,
      portMappings: [PortMapping.fromPartial({ containerPort: 8, hostPort: 9 })],
    });
    configure(chain({ name: 'another', plugins: [{ type: 'one' }] }));
    await remove({ ...pod, name: 'unknown', portMappings: [] });
    const calls = plugins.calls('DEL');
    expect(calls.map(({ plugin }) => plugin)).toEqual(['two', 'one']);
    for (const call of calls) {
      expect(call).toMatchObject({ args, netns, containerId: id, ifName: 'eth0' });
      expect(call.config).toMatchObject({ name: 'net', prevResult: resultWith('10.1.0.5/24') });
    }
    expect(calls[0]!.config.runtimeConfig).toEqual({
      portMappings: [{ hostPort: 9, containerPort: 8, protocol: 'tcp', hostIP: '' }],
    });
    expect(kept()).toEqual([]);
    expect(await network.ips(id)).toBeUndefined();
  });

  it('before version 0.4.0 there is no result at DEL', async () => {
    configure(chain({ cniVersion: '0.3.1' }));
    await add();
    await remove();
    expect(plugins.calls('DEL').map(({ config }) => config.prevResult)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('has no namespace when the process is gone', async () => {
    configure(chain());
    await add();
    await remove(gone);
    expect(plugins.calls('DEL').map(({ netns: given }) => given)).toEqual(['', '']);
  });

  it('without anything kept it uses what is configured now, also again and again', async () => {
    configure(chain());
    await remove(gone);
    await remove(gone);
    expect(plugins.order()).toEqual(['two DEL', 'one DEL', 'two DEL', 'one DEL']);
    expect(plugins.calls()[0]).toMatchObject({ args, netns: '' });
  });

  it('without anything kept or configured there is nothing to do', async () => {
    await remove(gone);
    expect(plugins.order()).toEqual([]);
  });

  it('a plugin that fails keeps those before it and what is kept; the next call goes on', async () => {
    configure(chain());
    await add();
    plugins.fail('two', 'DEL', { code: 8, msg: 'stuck' });
    await expect(remove()).rejects.toThrow('CNI plugin two failed at DEL: stuck (code 8)');
    expect(plugins.order().slice(2)).toEqual(['two DEL']);
    expect(await network.ips(id)).toEqual(['10.1.0.5']);
    plugins.answer('two', 'DEL');
    await remove();
    expect(kept()).toEqual([]);
  });

  it('a plugin that knows nothing of the container has nothing to take away', async () => {
    configure(chain());
    await add();
    plugins.fail('two', 'DEL', { code: 3, msg: 'unknown container' });
    await remove();
    expect(plugins.order().slice(2)).toEqual(['two DEL', 'one DEL']);
    expect(kept()).toEqual([]);
  });

  it('a plugin that is not there does not keep the others, but the call fails until it is', async () => {
    configure(chain());
    await add();
    plugins.remove('two');
    await expect(remove()).rejects.toThrow('CNI plugin two failed at DEL: it is not in');
    expect(plugins.order().slice(2)).toEqual(['one DEL']);
    expect(kept()).toEqual([`net-${id}-eth0`]);
    plugins.add('two');
    await remove();
    expect(kept()).toEqual([]);
  });

  it('a removal that was given up before its turn calls nothing', async () => {
    configure(chain());
    await add();
    await expect(
      network.remove(pod, { signal: AbortSignal.abort(new Error('over')) }),
    ).rejects.toThrow('over');
    expect(plugins.order()).toEqual(['one ADD', 'two ADD']);
  });
});

describe('what others have kept', () => {
  const peerArgs = args
    .split(';')
    .slice(0, 4)
    .map((pair) => pair.split('='));
  /** As cri-dockerd keeps it: keys in the order of the library, no UID. */
  const keep = (fields: object, name: string) => {
    mkdirSync(results(), { recursive: true });
    writeFileSync(
      path.join(results(), name),
      JSON.stringify({ kind: 'cniCacheV1', containerId: id, ...fields }),
    );
  };
  const keepPeers = () => {
    keep(
      {
        config: Buffer.from(JSON.stringify(chain())).toString('base64'),
        ifName: 'eth0',
        networkName: 'net',
        netns: '/proc/77/ns/net',
        cniArgs: peerArgs,
        capabilityArgs: { portMappings: [], ipRanges: [[{ subnet: '' }]] },
        result: resultWith('10.1.0.9/24'),
      },
      `net-${id}-eth0`,
    );
    keep(
      {
        config: Buffer.from(
          '{"cniVersion":"0.2.0","name":"cni-loopback","plugins":[{"type":"loopback"}]}',
        ).toString('base64'),
        ifName: 'lo',
        networkName: 'cni-loopback',
        netns: '/proc/77/ns/net',
        cniArgs: peerArgs,
        result: { cniVersion: '0.2.0', ip4: { ip: '127.0.0.1/8' } },
      },
      `cni-loopback-${id}-lo`,
    );
  };

  it("cri-dockerd's entries give the addresses, and go at DEL with their own arguments", async () => {
    keepPeers();
    expect(await network.ips(id)).toEqual(['10.1.0.9']);
    await remove();
    expect(plugins.order()).toEqual(['two DEL', 'one DEL']);
    expect(plugins.calls()[0]).toMatchObject({
      args: args.replace(';K8S_POD_UID=u-1', ''),
      config: { prevResult: resultWith('10.1.0.9/24') },
    });
    expect(kept()).toEqual([]);
  });

  it('of a sandbox that is no more both stay until DEL succeeds', async () => {
    keepPeers();
    plugins.answer('one', 'DEL', 'exit 1');
    await network.collectGarbage([]);
    expect(kept()).toHaveLength(2);
    plugins.answer('one', 'DEL');
    await network.collectGarbage([]);
    expect(kept()).toEqual([]);
    expect(plugins.calls('DEL').map(({ netns: given }) => given)).toEqual(['', '', '', '']);
  });

  it('an entry without configuration goes with that of today, when it is of the same network', async () => {
    keep(
      { ifName: 'eth0', networkName: 'net', config: '', result: resultWith('10.1.0.9/24') },
      `net-${id}-eth0`,
    );
    await expect(remove()).rejects.toThrow(
      'the configuration of the CNI network net is not known any more',
    );
    expect(kept()).toHaveLength(1);
    configure(chain());
    await remove();
    expect(plugins.calls()[0]!.config.prevResult).toEqual(resultWith('10.1.0.9/24'));
    expect(kept()).toEqual([]);
  });

  it('an entry that cannot be read is as good as none', async () => {
    mkdirSync(results(), { recursive: true });
    writeFileSync(path.join(results(), `net-${id}-eth0`), '{"kind":');
    configure(chain());
    expect(await network.ips(id)).toBeUndefined();
    await remove();
    expect(plugins.order()).toEqual(['two DEL', 'one DEL']);
    expect(kept()).toEqual([]);
  });

  it('a sandbox of which nothing is kept is looked at once', async () => {
    expect(await network.ips(id, 2 ** 22 + 1)).toBeUndefined();
  });
});

describe('CHECK', () => {
  it('asks all plugins with the result that was kept', async () => {
    configure(chain());
    await add();
    await network.check(pod, { signal });
    expect(plugins.order().slice(2)).toEqual(['one CHECK', 'two CHECK']);
    expect(plugins.calls('CHECK')[0]!.config.prevResult).toEqual(resultWith('10.1.0.5/24'));
    plugins.fail('one', 'CHECK', { code: 100, msg: 'no address' });
    await expect(network.check(pod, { signal })).rejects.toThrow('no address');
  });

  it.each([{ disableCheck: true }, { cniVersion: '0.3.1' }])(
    'is not asked with %j',
    async (fields) => {
      configure(chain(fields));
      await add();
      await network.check(pod, { signal });
      expect(plugins.calls('CHECK')).toEqual([]);
    },
  );

  it('needs a result', async () => {
    configure(chain());
    await expect(network.check(pod, { signal })).rejects.toThrow('no CNI result is kept');
  });
});

describe('readiness', () => {
  it('STATUS of version 1.1.0 is asked once in ten seconds, each plugin until one is not ready', async () => {
    configure(chain({ cniVersion: '1.1.0' }));
    expect(await network.readiness()).toBeUndefined();
    expect(await network.readiness()).toBeUndefined();
    expect(plugins.order()).toEqual(['one STATUS', 'two STATUS']);
    expect(plugins.calls()[0]).toMatchObject({
      containerId: '',
      netns: '',
      config: { name: 'net', cniVersion: '1.1.0', type: 'one' },
    });
    plugins.fail('one', 'STATUS', { code: 50, msg: 'the daemon is away' });
    now += 9_999;
    expect(await network.readiness()).toBeUndefined();
    now += 1;
    expect(await network.readiness()).toBe(
      'CNI plugin one failed at STATUS: the daemon is away (code 50)',
    );
    expect(plugins.order()).toEqual(['one STATUS', 'two STATUS', 'one STATUS']);
    expect(await add()).toEqual(['10.1.0.5']); // the plugin itself knows best whether it can
  });

  it('before 1.1.0 there is no STATUS', async () => {
    configure(chain());
    expect(await network.readiness()).toBeUndefined();
    expect(plugins.order()).toEqual([]);
  });

  it('a network that gets its ranges from kubelet waits for them', async () => {
    const plugin = { type: 'one', capabilities: { ipRanges: true }, ipam: { type: 'host-local' } };
    configure(chain({ plugins: [plugin] }));
    expect(await network.readiness()).toBe(
      "network net needs the node's pod CIDR, which is not known yet",
    );
    await expect(add()).rejects.toThrow('the pod network is not ready: network net needs');
    network.setPodCidrs(['10.1.0.0/24']);
    expect(await network.readiness()).toBeUndefined();
    expect(await add()).toEqual(['10.1.0.5']);
  });

  it('one with ranges of its own does not', async () => {
    const ipam = { type: 'host-local', ranges: [[{ subnet: '10.1.0.0/24' }]] };
    configure(chain({ plugins: [{ type: 'one', capabilities: { ipRanges: true }, ipam }] }));
    expect(await network.readiness()).toBeUndefined();
  });
});

describe('collection of garbage', () => {
  it('DEL for sandboxes that are no more, GC with those that are, in both spellings', async () => {
    configure(chain({ cniVersion: '1.1.0' }));
    await add();
    network = start();
    await add(other);
    const late = { ...pod, sandboxId: 'c'.repeat(64) };
    await add(late);
    await network.collectGarbage([otherId]);
    const after = plugins.calls().slice(6);
    // The list of the caller is older than what was added meanwhile.
    expect(
      after.map(({ plugin, command, containerId, netns: given }) => [
        plugin,
        command,
        containerId,
        given,
      ]),
    ).toEqual([
      ['two', 'DEL', id, ''],
      ['one', 'DEL', id, ''],
      ['one', 'GC', '', ''],
      ['two', 'GC', '', ''],
    ]);
    const valid = [otherId, late.sandboxId].map((containerID) => ({ containerID, ifname: 'eth0' }));
    for (const { config } of plugins.calls('GC')) {
      expect(config).toMatchObject({ name: 'net', cniVersion: '1.1.0' });
      expect(config['cni.dev/valid-attachments']).toEqual(valid);
      expect(config['cni.dev/attachments']).toEqual(valid);
    }
    expect(kept()).toEqual([otherId, late.sandboxId].map((sandbox) => `net-${sandbox}-eth0`));
  });

  it('a sandbox that cannot be removed keeps no other, and all plugins are asked', async () => {
    configure(chain({ cniVersion: '1.1.0' }));
    await add();
    await add(other);
    network = start();
    plugins.answer('two', 'DEL', `case $CNI_CONTAINERID in ${id}) exit 1;; esac`);
    plugins.fail('one', 'GC', { code: 9, msg: 'no' });
    await network.collectGarbage([]);
    expect(kept()).toEqual([`net-${id}-eth0`]);
    expect(plugins.calls('GC').map(({ plugin }) => plugin)).toEqual(['one', 'two']);
    expect(
      logged.filter(({ level }) => level === 'warn').map(({ fields }) => fields.problem),
    ).toEqual([
      expect.stringContaining('plugin two failed at DEL'),
      expect.stringContaining('plugin one failed at GC: no (code 9)'),
    ]);
  });

  it.each([
    ['disableGC', { cniVersion: '1.1.0', disableGC: true }, [], 1],
    ['a version before 1.1.0', { cniVersion: '1.0.0' }, ['two DEL', 'one DEL'], 0],
  ])('with %s no plugin is asked for GC', async (_what, fields, calls, left) => {
    configure(chain(fields));
    await add();
    network = start();
    await network.collectGarbage([]);
    expect(plugins.order().slice(2)).toEqual(calls);
    expect(kept()).toHaveLength(left);
  });

  it('what other programs keep in the folder stays', async () => {
    configure(chain());
    await add();
    const own = entry(`net-${id}-eth0`);
    const foreign = [
      {
        ...own,
        containerId: 'crio',
        netns: '/var/run/netns/1',
        cniArgs: [['K8S_POD_INFRA_CONTAINER_ID', 'crio']],
      },
      { ...own, containerId: 'podman', cniArgs: undefined },
    ];
    for (const content of foreign) {
      writeFileSync(
        path.join(results(), `net-${content.containerId}-eth0`),
        JSON.stringify(content),
      );
    }
    network = start();
    await network.collectGarbage([id]);
    expect(plugins.calls('DEL')).toEqual([]);
    expect(kept()).toHaveLength(3);
  });

  it('runs while nothing else does', async () => {
    configure(chain({ cniVersion: '1.1.0', plugins: [{ type: 'one' }] }));
    await network.readiness();
    const gate = path.join(folder, 'gate');
    plugins.answer('one', 'GC', `while [ ! -e '${gate}' ]; do sleep 0.02; done`);
    const collecting = network.collectGarbage([]);
    await eventually(() => plugins.calls('GC').length === 1);
    const adding = add();
    await network.readiness();
    expect(plugins.calls('ADD')).toEqual([]);
    writeFileSync(gate, '');
    await collecting;
    expect(await adding).toEqual(['10.1.0.5']);
  });
});

it('an error of a plugin has its parts', () => {
  const error = new CniError('ADD', 'one', 'no', { code: 7, details: 'why' });
  expect(error).toMatchObject({
    plugin: 'one',
    command: 'ADD',
    answer: { code: 7, details: 'why' },
  });
});

function isAlive(pid: string): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
