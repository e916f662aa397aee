import { eventually } from '@stowage/testing';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { chain, CniFixture, otherId, otherPod, pod, sandboxId } from '../testing/cni-fixture';

let t: CniFixture;
beforeEach(() => (t = new CniFixture()));
afterEach(() => t.close());

describe('collection of garbage', () => {
  it('DEL for sandboxes that are no more, GC with those that are, in both spellings', async () => {
    t.configure(chain({ cniVersion: '1.1.0' }));
    await t.add();
    t.network = t.start();
    await t.add(otherPod);
    const late = { ...pod, sandboxId: 'c'.repeat(64) };
    await t.add(late);
    await t.network.collectGarbage([otherId]);
    const after = t.plugins.calls().slice(6);
    // The list of the caller is older than what was added meanwhile.
    expect(
      after.map(({ plugin, command, containerId, netns: given }) => [
        plugin,
        command,
        containerId,
        given,
      ]),
    ).toEqual([
      ['two', 'DEL', sandboxId, ''],
      ['one', 'DEL', sandboxId, ''],
      ['one', 'GC', '', ''],
      ['two', 'GC', '', ''],
    ]);
    const valid = [otherId, late.sandboxId].map((containerID) => ({ containerID, ifname: 'eth0' }));
    for (const { config } of t.plugins.calls('GC')) {
      expect(config).toMatchObject({ name: 'net', cniVersion: '1.1.0' });
      expect(config['cni.dev/valid-attachments']).toEqual(valid);
      expect(config['cni.dev/attachments']).toEqual(valid);
    }
    expect(t.kept()).toEqual([otherId, late.sandboxId].map((sandbox) => `net-${sandbox}-eth0`));
  });

  it('a sandbox that cannot be removed keeps no other, and all plugins are asked', async () => {
    t.configure(chain({ cniVersion: '1.1.0' }));
    await t.add();
    await t.add(otherPod);
    t.network = t.start();
    t.plugins.answer('two', 'DEL', `case $CNI_CONTAINERID in ${sandboxId}) exit 1;; esac`);
    t.plugins.fail('one', 'GC', { code: 9, msg: 'no' });
    await t.network.collectGarbage([]);
    expect(t.kept()).toEqual([`net-${sandboxId}-eth0`]);
    expect(t.plugins.calls('GC').map(({ plugin }) => plugin)).toEqual(['one', 'two']);
    expect(
      t.logged.filter(({ level }) => level === 'warn').map(({ fields }) => fields.problem),
    ).toEqual([
      expect.stringContaining('plugin two failed at DEL'),
      expect.stringContaining('plugin one failed at GC: no (code 9)'),
    ]);
  });

  it.each([
    ['disableGC', { cniVersion: '1.1.0', disableGC: true }, [], 1],
    ['a version before 1.1.0', { cniVersion: '1.0.0' }, ['two DEL', 'one DEL'], 0],
  ])('with %s no plugin is asked for GC', async (_what, fields, calls, left) => {
    t.configure(chain(fields));
    await t.add();
    t.network = t.start();
    await t.network.collectGarbage([]);
    expect(t.plugins.order().slice(2)).toEqual(calls);
    expect(t.kept()).toHaveLength(left);
  });

  it('what other programs keep in the folder stays', async () => {
    t.configure(chain());
    await t.add();
    const own = t.entry(`net-${sandboxId}-eth0`);
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
        path.join(t.results, `net-${content.containerId}-eth0`),
        JSON.stringify(content),
      );
    }
    t.network = t.start();
    await t.network.collectGarbage([sandboxId]);
    expect(t.plugins.calls('DEL')).toEqual([]);
    expect(t.kept()).toHaveLength(3);
  });

  it('runs while nothing else does', async () => {
    t.configure(chain({ cniVersion: '1.1.0', plugins: [{ type: 'one' }] }));
    await t.network.readiness();
    const gate = path.join(t.folder, 'gate');
    t.plugins.answer('one', 'GC', `while [ ! -e '${gate}' ]; do sleep 0.02; done`);
    const collecting = t.network.collectGarbage([]);
    await eventually(() => t.plugins.calls('GC').length === 1);
    const adding = t.add();
    await t.network.readiness();
    expect(t.plugins.calls('ADD')).toEqual([]);
    writeFileSync(gate, '');
    await collecting;
    expect(await adding).toEqual(['10.1.0.5']);
  });
});
