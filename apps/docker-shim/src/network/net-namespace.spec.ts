import { ipv4Addresses, ipv6Addresses, podNamespace } from './net-namespace';

const fibTrie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.1.0.0/24 2 0 2
        |-- 10.1.0.0
           /24 link UNICAST
        |-- 10.1.0.5
           /32 host LOCAL
        |-- 10.1.0.255
           /32 link BROADCAST
     |-- 10.9.0.7
        /32 host LOCAL
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.1
              /32 host LOCAL
Local:
        |-- 10.1.0.5
           /32 host LOCAL
        |-- 10.9.0.7
           /32 host LOCAL
        |-- 10.77.3.4
           /32 host LOCAL
`;
const routes = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100010A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
net1\t0000090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
`;

it.each([
  ['eth0', ['10.1.0.5', '10.77.3.4']],
  ['net1', ['10.9.0.7', '10.77.3.4']],
])('IPv4 addresses of %s: by its routes, and those that no route names', (name, addresses) => {
  expect(ipv4Addresses(fibTrie, routes, name)).toEqual(addresses);
});

it('IPv6 addresses are the global ones of the interface', () => {
  const ifInet6 = `fd000000000000000000000000000005 02 40 00 80     eth0
fe800000000000000c5d00fffe000001 02 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000007 03 40 00 80     net1
`;
  expect(ipv6Addresses(ifInet6, 'eth0')).toEqual(['fd00::5']);
});

it.each([
  ['no process', undefined],
  ['a process that is gone', 2 ** 22 + 1],
  ['a process on the network of the host', process.pid],
])('%s has no namespace that may be changed', async (_what, pid) => {
  expect(await podNamespace(pid)).toBeUndefined();
});
