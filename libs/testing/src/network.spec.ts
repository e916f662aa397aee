import { gatewayOf, removalCommands } from './network';

const mapping = (network: string, chain: string): string =>
  `-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"${network}\\" id: \\"4af\\"" -m multiport --dports 80 -j ${chain}`;

const shared = [
  '*nat',
  ':POSTROUTING ACCEPT [0:0]',
  ':CNI-HOSTPORT-DNAT - [0:0]',
  ':CNI-HOSTPORT-MASQ - [0:0]',
  ':CNI-HOSTPORT-SETMARK - [0:0]',
  '-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
  '-A POSTROUTING -j CNI-HOSTPORT-MASQ',
  '-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE',
];
const one = [mapping('stowage-1', 'CNI-DN-1'), '-A CNI-DN-1 -p tcp -j CNI-HOSTPORT-SETMARK'];
const two = [mapping('stowage-12', 'CNI-DN-2'), '-A CNI-DN-2 -p tcp -j CNI-HOSTPORT-SETMARK'];

const removeOne = [mapping('stowage-1', 'CNI-DN-1').replace('-A', '-D'), '-F CNI-DN-1'];

it.each<[string, string[], boolean, string[][]]>([
  ['nothing where no port was ever mapped', ['*nat', ':POSTROUTING ACCEPT [0:0]'], true, []],
  ['nothing where only others have mapped ports', [...shared, ...two], true, []],
  [
    'its own mapping while another network has one too, whatever may go',
    [...shared, ...one, ...two],
    true,
    [removeOne, ['-X CNI-DN-1']],
  ],
  [
    'its own mapping while another stack may be about to map a port',
    [...shared, ...one],
    false,
    [removeOne, ['-X CNI-DN-1']],
  ],
  [
    'the shared chains too when nobody else uses them',
    [...shared, ...one],
    true,
    [
      [
        '-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
        '-D POSTROUTING -j CNI-HOSTPORT-MASQ',
        '-F CNI-DN-1',
        '-F CNI-HOSTPORT-DNAT',
        '-F CNI-HOSTPORT-SETMARK',
        '-F CNI-HOSTPORT-MASQ',
      ],
      ['-X CNI-DN-1', '-X CNI-HOSTPORT-DNAT', '-X CNI-HOSTPORT-SETMARK', '-X CNI-HOSTPORT-MASQ'],
    ],
  ],
])('of the port rules, network stowage-1 removes %s', (_, lines, alsoShared, wanted) => {
  expect(removalCommands(lines, 'stowage-1', alsoShared)).toEqual(wanted);
});

it('the bridge has the first address of its subnet', () => {
  expect(gatewayOf('10.70.3.0/24')).toBe('10.70.3.1');
});
