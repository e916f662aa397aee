import { BridgeNetwork, engineIps } from './bridge-network';

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
