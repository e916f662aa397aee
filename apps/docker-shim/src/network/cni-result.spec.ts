import { readResult } from './cni-result';

const ips = (result: unknown, version = '1.0.0') => readResult(result, version, 'eth0').ips;

it.each([
  [
    '0.1.0 and 0.2.0',
    { cniVersion: '0.2.0', ip4: { ip: '10.1.0.5/24' }, ip6: { ip: 'fd00::5/64' }, dns: {} },
    ['10.1.0.5', 'fd00::5'],
  ],
  ['0.2.0 with IPv6 alone', { cniVersion: '0.2.0', ip6: { ip: 'fd00::5/64' } }, ['fd00::5']],
  [
    '0.3.0 to 0.4.0',
    {
      cniVersion: '0.4.0',
      interfaces: [{ name: 'cni0' }, { name: 'eth0', sandbox: '/proc/7/ns/net' }],
      ips: [
        { version: '6', address: 'fd00::5/64', interface: 1 },
        { version: '4', address: '10.1.0.5/24', interface: 1 },
      ],
    },
    ['fd00::5', '10.1.0.5'],
  ],
  [
    '1.0.0 without interfaces',
    { cniVersion: '1.0.0', ips: [{ address: '10.1.0.5/32' }] },
    ['10.1.0.5'],
  ],
  [
    'the address of the bridge is not the pod’s',
    {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'cni0' }, { name: 'eth0', sandbox: 's' }],
      ips: [
        { address: '10.1.0.1/24', interface: 0 },
        { address: '10.1.0.5/24', interface: 1 },
      ],
    },
    ['10.1.0.5'],
  ],
  [
    'nor is that of a second interface',
    {
      cniVersion: '1.0.0',
      interfaces: [
        { name: 'net1', sandbox: 's' },
        { name: 'eth0', sandbox: 's' },
      ],
      ips: [
        { address: '10.9.0.5/24', interface: 0 },
        { address: '10.1.0.5/24', interface: 1 },
      ],
    },
    ['10.1.0.5'],
  ],
  [
    'an interface of another name, where there is no other',
    {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'host0' }, { name: 'pod0', sandbox: 's' }],
      ips: [
        { address: '10.1.0.1/24', interface: 0 },
        { address: '10.1.0.5/24', interface: 1 },
      ],
    },
    ['10.1.0.5'],
  ],
  [
    'one address once',
    { cniVersion: '1.0.0', ips: [{ address: '10.1.0.5/24' }, { address: '10.1.0.5/32' }] },
    ['10.1.0.5'],
  ],
  ['none', { cniVersion: '1.0.0', interfaces: [], ips: null }, []],
])('addresses of a result: %s', (_what, result, wanted) => {
  expect(ips(result)).toEqual(wanted);
});

it('a result without version has that of the network', () => {
  expect(ips({ ip4: { ip: '10.1.0.5/24' } }, '0.2.0')).toEqual(['10.1.0.5']);
  expect(readResult({ ips: [] }, '0.4.0', 'eth0').raw).toEqual({ cniVersion: '0.4.0', ips: [] });
});

it('keeps what it does not know', () => {
  const result = {
    cniVersion: '1.1.0',
    ips: [],
    routes: [{ dst: '0.0.0.0/0', mtu: 1400 }],
    own: 1,
  };
  expect(readResult(result, '1.1.0', 'eth0').raw).toEqual(result);
});

it.each([
  ['a list', [], 'the result is not a JSON object'],
  ['an unknown version', { cniVersion: '9.0.0' }, 'the result has the unknown version "9.0.0"'],
  ['an address without prefix', { ips: [{ address: '10.1.0.5' }] }, 'wrong ips.0.address'],
  ['a prefix that is too long', { ips: [{ address: '10.1.0.5/33' }] }, 'wrong ips.0.address'],
  ['no address', { ips: [{}] }, 'wrong ips.0.address'],
  ['addresses as an object', { ips: {} }, 'wrong ips'],
  [
    'an interface that is not there',
    { ips: [{ address: '10.1.0.5/24', interface: 3 }] },
    'interface 3, which it lacks',
  ],
  ['an old one with a wrong address', { cniVersion: '0.1.0', ip4: { ip: 'a' } }, 'wrong ip4.ip'],
])('refuses %s', (_what, result, problem) => {
  expect(() => ips(result)).toThrow(problem);
});
