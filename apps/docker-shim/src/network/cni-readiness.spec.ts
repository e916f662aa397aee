import { chain, CniFixture, pod } from '../testing/cni-fixture';
import { resultWith } from '../testing/fake-plugin';

let t: CniFixture;
beforeEach(() => (t = new CniFixture()));
afterEach(() => t.close());
const { signal } = new AbortController();

describe('readiness', () => {
  it('STATUS of version 1.1.0 is asked once in ten seconds, each plugin until one is not ready', async () => {
    t.configure(chain({ cniVersion: '1.1.0' }));
    expect(await t.network.readiness()).toBeUndefined();
    expect(await t.network.readiness()).toBeUndefined();
    expect(t.plugins.order()).toEqual(['one STATUS', 'two STATUS']);
    expect(t.plugins.calls()[0]).toMatchObject({
      containerId: '',
      netns: '',
      config: { name: 'net', cniVersion: '1.1.0', type: 'one' },
    });
    t.plugins.fail('one', 'STATUS', { code: 50, msg: 'the daemon is away' });
    t.now += 9_999;
    expect(await t.network.readiness()).toBeUndefined();
    t.now += 1;
    expect(await t.network.readiness()).toBe(
      'CNI plugin one failed at STATUS: the daemon is away (code 50)',
    );
    expect(t.plugins.order()).toEqual(['one STATUS', 'two STATUS', 'one STATUS']);
    expect(await t.add()).toEqual(['10.1.0.5']); // the plugin itself knows best whether it can
  });

  it('before 1.1.0 there is no STATUS', async () => {
    t.configure(chain());
    expect(await t.network.readiness()).toBeUndefined();
    expect(t.plugins.order()).toEqual([]);
  });

  it('a network that gets its ranges from kubelet waits for them', async () => {
    const plugin = { type: 'one', capabilities: { ipRanges: true }, ipam: { type: 'host-local' } };
    t.configure(chain({ plugins: [plugin] }));
    expect(await t.network.readiness()).toBe(
      "network net needs the node's pod CIDR, which is not known yet",
    );
    await expect(t.add()).rejects.toThrow('the pod network is not ready: network net needs');
    t.network.setPodCidrs(['10.1.0.0/24']);
    expect(await t.network.readiness()).toBeUndefined();
    expect(await t.add()).toEqual(['10.1.0.5']);
  });

  it('one with ranges of its own does not', async () => {
    const ipam = { type: 'host-local', ranges: [[{ subnet: '10.1.0.0/24' }]] };
    t.configure(chain({ plugins: [{ type: 'one', capabilities: { ipRanges: true }, ipam }] }));
    expect(await t.network.readiness()).toBeUndefined();
  });
});

describe('CHECK', () => {
  it('asks all plugins with the result that was kept', async () => {
    t.configure(chain());
    await t.add();
    await t.network.check(pod, { signal });
    expect(t.plugins.order().slice(2)).toEqual(['one CHECK', 'two CHECK']);
    expect(t.plugins.calls('CHECK')[0]!.config.prevResult).toEqual(resultWith('10.1.0.5/24'));
    t.plugins.fail('one', 'CHECK', { code: 100, msg: 'no address' });
    await expect(t.network.check(pod, { signal })).rejects.toThrow('no address');
  });

  it.each([{ disableCheck: true }, { cniVersion: '0.3.1' }])(
    'is not asked with %j',
    async (fields) => {
      t.configure(chain(fields));
      await t.add();
      await t.network.check(pod, { signal });
      expect(t.plugins.calls('CHECK')).toEqual([]);
    },
  );

  it('needs a result', async () => {
    t.configure(chain());
    await expect(t.network.check(pod, { signal })).rejects.toThrow('no CNI result is kept');
  });
});
