import { DNSConfig, PortMapping } from '@stowage/cri-proto';
import { eventually } from '@stowage/testing';
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  chain,
  CniFixture,
  otherId,
  otherPod,
  pod,
  podArgs,
  sandboxId,
} from '../testing/cni-fixture';
import { resultWith } from '../testing/fake-plugin';
import { PodNetworkLeftError } from './cni-errors';

let t: CniFixture;
beforeEach(() => (t = new CniFixture()));
afterEach(() => t.close());
const netns = '/proc/77/ns/net';

describe('ADD', () => {
  // D17
  it('calls the plugins in order, each with the result before it, and says who the pod is', async () => {
    t.configure(chain());
    t.plugins.result('two', resultWith('10.1.0.6/24'));
    expect(await t.add()).toEqual(['10.1.0.6']);
    const common = {
      command: 'ADD',
      containerId: sandboxId,
      netns,
      ifName: 'eth0',
      args: podArgs,
      path: `${path.join(t.folder, 'no-such')}:${t.plugins.binDir}`,
    };
    expect(t.plugins.calls()).toEqual([
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
    t.configure(
      chain({
        plugins: [
          { type: 'one', capabilities: everything },
          { type: 'two', capabilities: { bandwidth: true, dns: false } },
        ],
      }),
    );
    t.network.setPodCidrs(['10.1.0.0/24']);
    await t.add({
      ...pod,
      portMappings: [PortMapping.fromPartial({ containerPort: 80, hostPort: 8080 })],
      annotations: { 'kubernetes.io/ingress-bandwidth': '1M' },
      dns: DNSConfig.fromPartial({ servers: ['10.0.0.10'] }),
    });
    const bandwidth = { ingressRate: 1_000_000, ingressBurst: 2_147_483_647 };
    expect(t.plugins.calls().map(({ config }) => config.runtimeConfig)).toEqual([
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
    t.configure(chain());
    await t.add({
      ...pod,
      portMappings: [PortMapping.fromPartial({ containerPort: 8, hostPort: 9 })],
    });
    expect(t.kept()).toEqual([`net-${sandboxId}-eth0`]);
    const { config, ...fields } = t.entry(`net-${sandboxId}-eth0`);
    expect(JSON.parse(Buffer.from(String(config), 'base64').toString())).toEqual(chain());
    expect(fields).toEqual({
      kind: 'cniCacheV1',
      containerId: sandboxId,
      ifName: 'eth0',
      networkName: 'net',
      netns,
      cniArgs: podArgs.split(';').map((pair) => pair.split('=')),
      capabilityArgs: {
        portMappings: [{ hostPort: 9, containerPort: 8, protocol: 'tcp', hostIP: '' }],
      },
      result: resultWith('10.1.0.5/24'),
    });
  });

  // D15
  it('gives all addresses, the first one first, also after a restart', async () => {
    t.configure(chain({ plugins: [{ type: 'one' }] }));
    t.plugins.result('one', resultWith('fd00::5/64', '10.1.0.5/24'));
    expect(await t.add()).toEqual(['fd00::5', '10.1.0.5']);
    expect(await t.network.ips(sandboxId)).toEqual(['fd00::5', '10.1.0.5']);
    t.network = t.start();
    expect(await t.network.ips(sandboxId)).toEqual(['fd00::5', '10.1.0.5']);
    expect(await t.network.result(sandboxId)).toEqual(resultWith('fd00::5/64', '10.1.0.5/24'));
    expect(t.plugins.order()).toEqual(['one ADD']);
    expect(await t.network.ips(otherId)).toBeUndefined();
  });

  // D18
  it('a failing plugin leaves nothing, however often', async () => {
    t.configure(chain());
    t.plugins.fail('two', 'ADD', { code: 7, msg: 'no ports', details: 'all taken' });
    for (let round = 0; round < 5; round++) {
      await expect(t.add()).rejects.toMatchObject({
        code: 'CNI_PLUGIN_FAILED',
        message: 'CNI plugin two failed at ADD: no ports; all taken (code 7)',
        answer: { code: 7, details: 'all taken' },
      });
      expect(t.kept()).toEqual([]);
    }
    const round = ['one ADD', 'two ADD', 'two DEL', 'one DEL'];
    expect(t.plugins.order()).toEqual([round, round, round, round, round].flat());
    expect(await t.network.ips(sandboxId)).toBeUndefined();
  });

  it('a plugin that asks for another try says so to callers', async () => {
    t.configure(chain());
    t.plugins.fail('one', 'ADD', { code: 11, msg: 'later' });
    await expect(t.add()).rejects.toMatchObject({ grpcStatus: 'UNAVAILABLE', retryable: true });
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
    t.configure(chain({ plugins: [{ type: 'one' }] }));
    t.plugins.answer('one', 'ADD', script);
    await expect(t.add()).rejects.toThrow(`CNI plugin one failed at ADD: ${problem}`);
    expect(t.plugins.order()).toEqual(['one ADD', 'one DEL']);
    expect(t.kept()).toEqual([]);
  });

  it('who gives up ends the plugin and all it started, and DEL follows', async () => {
    t.configure(chain());
    const pidFile = path.join(t.folder, 'pid');
    t.plugins.answer('two', 'ADD', `sleep 300 & echo $! > '${pidFile}'; wait`);
    const caller = new AbortController();
    const adding = t.network.add(pod, { signal: caller.signal });
    await eventually(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').endsWith('\n'));
    caller.abort(new Error('no longer wanted'));
    await expect(adding).rejects.toThrow('no longer wanted');
    const sleeper = readFileSync(pidFile, 'utf8').trim();
    await eventually(() => !isAlive(sleeper));
    expect(t.plugins.order().slice(2)).toEqual(['two DEL', 'one DEL']);
    expect(t.kept()).toEqual([]);
    expect(t.ended.filter(({ result }) => result === 'cancelled')).toMatchObject([
      { command: 'ADD' },
    ]);
  });

  it('when DEL fails too the error says that something is left, and a later removal finds it', async () => {
    t.configure(chain());
    t.plugins.fail('two', 'ADD', { code: 7, msg: 'no ports' });
    t.plugins.fail('two', 'DEL', { code: 8, msg: 'stuck' });
    const error = await t.add().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PodNetworkLeftError);
    expect((error as Error).message).toContain('no ports');
    expect((error as Error).message).toContain('stuck');
    expect(t.kept()).toEqual([`net-${sandboxId}-eth0`]);
    rmSync(t.confDir, { recursive: true });
    t.plugins.answer('two', 'DEL');
    await t.remove();
    expect(t.plugins.order().slice(-2)).toEqual(['two DEL', 'one DEL']);
    expect(t.kept()).toEqual([]);
  });

  it.each([
    ['without configuration', () => undefined, pod, 'no network configuration in'],
    ['for a process that is gone', () => t.configure(chain()), { ...pod, pid: 0 }, 'is gone'],
    [
      'with a bandwidth that is none',
      () => t.configure(chain()),
      { ...pod, annotations: { 'kubernetes.io/ingress-bandwidth': 'fast' } },
      'annotation kubernetes.io/ingress-bandwidth',
    ],
    [
      'with a name that is two arguments',
      () => t.configure(chain()),
      { ...pod, name: 'a;B=c' },
      'metadata.name',
    ],
  ])('%s no plugin is called', async (_what, prepare, added, problem) => {
    prepare();
    await expect(t.add(added)).rejects.toThrow(problem);
    expect(t.plugins.order()).toEqual([]);
    expect(t.kept()).toEqual([]);
  });

  it('where nothing can be kept no plugin is called', async () => {
    t.configure(chain());
    writeFileSync(path.dirname(t.results), '');
    await expect(t.add()).rejects.toThrow('ENOTDIR');
    expect(t.plugins.order()).toEqual([]);
  });

  it('calls for one pod never overlap, pods are independent of each other', async () => {
    t.configure(chain({ plugins: [{ type: 'one' }] }));
    const gate = path.join(t.folder, 'gate');
    t.plugins.answer(
      'one',
      'ADD',
      `case $CNI_CONTAINERID in ${sandboxId}) while [ ! -e '${gate}' ]; do sleep 0.02; done;; esac
      echo '${JSON.stringify(resultWith('10.1.0.5/24'))}'`,
    );
    const adding = t.add();
    const removing = t.remove();
    await t.add(otherPod);
    await t.remove(otherPod);
    expect(t.plugins.calls('DEL').map(({ containerId }) => containerId)).toEqual([otherId]);
    writeFileSync(gate, '');
    await Promise.all([adding, removing]);
    expect(t.plugins.calls('DEL')).toHaveLength(2);
    expect(t.kept()).toEqual([]);
  });

  it('waits for a plugin that is being written', async () => {
    t.configure(chain());
    await t.network.readiness();
    const file = path.join(t.plugins.binDir, 'one');
    const writing = openSync(file, 'r+');
    const timer = setTimeout(() => closeSync(writing), 500);
    try {
      expect(await t.add()).toEqual(['10.1.0.5']);
    } finally {
      clearTimeout(timer);
    }
  });

  it('logs the beginning of what a plugin writes to standard error, and none of our environment reaches it', async () => {
    t.configure(chain({ plugins: [{ type: 'one' }] }));
    process.env.STOWAGE_NATS_SERVERS = 'nats://user:password@host';
    try {
      t.plugins.answer(
        'one',
        'ADD',
        `env | grep STOWAGE_ >&2; head -c 10000 /dev/zero | tr '\\0' x >&2; echo '${JSON.stringify(resultWith('10.1.0.5/24'))}'`,
      );
      await t.add();
    } finally {
      delete process.env.STOWAGE_NATS_SERVERS;
    }
    const [line, ...more] = t.logged.filter(({ fields }) => fields.stderr !== undefined);
    expect(more).toEqual([]);
    expect(line).toMatchObject({ level: 'debug', fields: { plugin: 'one', command: 'ADD' } });
    expect(line!.fields.stderr).toBe('x'.repeat(4096));
  });

  it('counts each plugin that ran', async () => {
    t.configure(chain());
    t.plugins.fail('two', 'ADD', { code: 7, msg: 'no' });
    await t.add().catch(() => undefined);
    expect(
      t.ended
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

function isAlive(pid: string): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
