import { PortMapping } from '@stowage/cri-proto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { chain, CniFixture, gonePod, pod, podArgs, sandboxId } from '../testing/cni-fixture';
import { resultWith } from '../testing/fake-plugin';

let t: CniFixture;
beforeEach(() => (t = new CniFixture()));
afterEach(() => t.close());
const netns = '/proc/77/ns/net';

describe('DEL', () => {
  it('goes backwards with the result, and with the configuration and arguments of then', async () => {
    t.configure(chain());
    await t.add({
      ...pod,
      portMappings: [PortMapping.fromPartial({ containerPort: 8, hostPort: 9 })],
    });
    t.configure(chain({ name: 'another', plugins: [{ type: 'one' }] }));
    await t.remove({ ...pod, name: 'unknown', portMappings: [] });
    const calls = t.plugins.calls('DEL');
    expect(calls.map(({ plugin }) => plugin)).toEqual(['two', 'one']);
    for (const call of calls) {
      expect(call).toMatchObject({ args: podArgs, netns, containerId: sandboxId, ifName: 'eth0' });
      expect(call.config).toMatchObject({ name: 'net', prevResult: resultWith('10.1.0.5/24') });
    }
    expect(calls[0]!.config.runtimeConfig).toEqual({
      portMappings: [{ hostPort: 9, containerPort: 8, protocol: 'tcp', hostIP: '' }],
    });
    expect(t.kept()).toEqual([]);
    expect(await t.network.ips(sandboxId)).toBeUndefined();
  });

  it('before version 0.4.0 there is no result at DEL', async () => {
    t.configure(chain({ cniVersion: '0.3.1' }));
    await t.add();
    await t.remove();
    expect(t.plugins.calls('DEL').map(({ config }) => config.prevResult)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('has no namespace when the process is gone', async () => {
    t.configure(chain());
    await t.add();
    await t.remove(gonePod);
    expect(t.plugins.calls('DEL').map(({ netns: given }) => given)).toEqual(['', '']);
  });

  it('without anything kept it uses what is configured now, also again and again', async () => {
    t.configure(chain());
    await t.remove(gonePod);
    await t.remove(gonePod);
    expect(t.plugins.order()).toEqual(['two DEL', 'one DEL', 'two DEL', 'one DEL']);
    expect(t.plugins.calls()[0]).toMatchObject({ args: podArgs, netns: '' });
  });

  it('without anything kept or configured there is nothing to do', async () => {
    await t.remove(gonePod);
    expect(t.plugins.order()).toEqual([]);
  });

  it('a plugin that fails keeps those before it and what is kept; the next call goes on', async () => {
    t.configure(chain());
    await t.add();
    t.plugins.fail('two', 'DEL', { code: 8, msg: 'stuck' });
    await expect(t.remove()).rejects.toThrow('CNI plugin two failed at DEL: stuck (code 8)');
    expect(t.plugins.order().slice(2)).toEqual(['two DEL']);
    expect(await t.network.ips(sandboxId)).toEqual(['10.1.0.5']);
    t.plugins.answer('two', 'DEL');
    await t.remove();
    expect(t.kept()).toEqual([]);
  });

  it('a plugin that knows nothing of the container has nothing to take away', async () => {
    t.configure(chain());
    await t.add();
    t.plugins.fail('two', 'DEL', { code: 3, msg: 'unknown container' });
    await t.remove();
    expect(t.plugins.order().slice(2)).toEqual(['two DEL', 'one DEL']);
    expect(t.kept()).toEqual([]);
  });

  it('a plugin that is not there does not keep the others, but the call fails until it is', async () => {
    t.configure(chain());
    await t.add();
    t.plugins.remove('two');
    await expect(t.remove()).rejects.toThrow('CNI plugin two failed at DEL: it is not in');
    expect(t.plugins.order().slice(2)).toEqual(['one DEL']);
    expect(t.kept()).toEqual([`net-${sandboxId}-eth0`]);
    t.plugins.add('two');
    await t.remove();
    expect(t.kept()).toEqual([]);
  });

  it('a removal that was given up before its turn calls nothing', async () => {
    t.configure(chain());
    await t.add();
    await expect(
      t.network.remove(pod, { signal: AbortSignal.abort(new Error('over')) }),
    ).rejects.toThrow('over');
    expect(t.plugins.order()).toEqual(['one ADD', 'two ADD']);
  });
});

describe('what others have kept', () => {
  const peerArgs = podArgs
    .split(';')
    .slice(0, 4)
    .map((pair) => pair.split('='));
  /** As cri-dockerd keeps it: keys in the order of the library, no UID. */
  const keep = (fields: object, name: string) => {
    mkdirSync(t.results, { recursive: true });
    writeFileSync(
      path.join(t.results, name),
      JSON.stringify({ kind: 'cniCacheV1', containerId: sandboxId, ...fields }),
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
      `net-${sandboxId}-eth0`,
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
      `cni-loopback-${sandboxId}-lo`,
    );
  };

  it("cri-dockerd's entries give the addresses, and go at DEL with their own arguments", async () => {
    keepPeers();
    expect(await t.network.ips(sandboxId)).toEqual(['10.1.0.9']);
    await t.remove();
    expect(t.plugins.order()).toEqual(['two DEL', 'one DEL']);
    expect(t.plugins.calls()[0]).toMatchObject({
      args: podArgs.replace(';K8S_POD_UID=u-1', ''),
      config: { prevResult: resultWith('10.1.0.9/24') },
    });
    expect(t.kept()).toEqual([]);
  });

  it('of a sandbox that is no more both stay until DEL succeeds', async () => {
    keepPeers();
    t.plugins.answer('one', 'DEL', 'exit 1');
    await t.network.collectGarbage([]);
    expect(t.kept()).toHaveLength(2);
    t.plugins.answer('one', 'DEL');
    await t.network.collectGarbage([]);
    expect(t.kept()).toEqual([]);
    expect(t.plugins.calls('DEL').map(({ netns: given }) => given)).toEqual(['', '', '', '']);
  });

  it('an entry without configuration goes with that of today, when it is of the same network', async () => {
    keep(
      { ifName: 'eth0', networkName: 'net', config: '', result: resultWith('10.1.0.9/24') },
      `net-${sandboxId}-eth0`,
    );
    await expect(t.remove()).rejects.toThrow(
      'the configuration of the CNI network net is not known any more',
    );
    expect(t.kept()).toHaveLength(1);
    t.configure(chain());
    await t.remove();
    expect(t.plugins.calls()[0]!.config.prevResult).toEqual(resultWith('10.1.0.9/24'));
    expect(t.kept()).toEqual([]);
  });

  it('an entry that cannot be read is as good as none', async () => {
    mkdirSync(t.results, { recursive: true });
    writeFileSync(path.join(t.results, `net-${sandboxId}-eth0`), '{"kind":');
    t.configure(chain());
    expect(await t.network.ips(sandboxId)).toBeUndefined();
    await t.remove();
    expect(t.plugins.order()).toEqual(['two DEL', 'one DEL']);
    expect(t.kept()).toEqual([]);
  });
});
