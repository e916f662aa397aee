import { ProgramFailedError, findProgram, runProgram } from './run-program';

interface LinkAddress {
  ifname?: string;
  addr_info?: { local?: string; prefixlen?: number }[];
}

/**
 * A /24 subnet that overlaps no address and no route of this machine and none of `taken` (CIDR
 * notation). Call it under the lock `stacks` and make the bridge before releasing it.
 */
export async function chooseSubnet(taken: readonly string[]): Promise<string> {
  const addresses = JSON.parse(
    await runProgram('ip', ['-j', '-4', 'addr', 'show']),
  ) as LinkAddress[];
  const routes = JSON.parse(
    await runProgram('ip', ['-j', '-4', 'route', 'show', 'table', 'all']),
  ) as { dst?: string }[];
  const used = [
    ...taken,
    ...routes.map(({ dst }) => dst ?? 'default'),
    ...addresses.flatMap(({ addr_info = [] }) =>
      addr_info.map(({ local = '', prefixlen = 32 }) => `${local}/${prefixlen}`),
    ),
  ]
    .map(parseCidr)
    .filter((range) => range !== undefined);
  // 10.64.0.0/10 in a random order of its /24 parts: two machines on one network rarely choose
  // alike.
  const parts = 64 * 256;
  const first = Math.floor(Math.random() * parts);
  for (let step = 0; step < parts; step += 1) {
    const part = (first + step) % parts;
    const subnet = `10.${64 + (part >> 8)}.${part & 255}.0/24`;
    const range = parseCidr(subnet);
    if (range !== undefined && !used.some((other) => overlap(range, other))) return subnet;
  }
  throw new Error('no free /24 subnet in 10.64.0.0/10: every one overlaps a route of this machine');
}

interface AddressRange {
  first: number;
  last: number;
}

function parseCidr(text: string): AddressRange | undefined {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)(?:\/(\d+))?$/.exec(text);
  if (match == null) return undefined; // `default` and other routes without an address
  const bytes = match.slice(1, 5).map(Number);
  const size = 2 ** (32 - Number(match[5] ?? 32));
  const address = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const first = Math.floor(address / size) * size;
  return { first, last: first + size - 1 };
}

const overlap = (a: AddressRange, b: AddressRange): boolean =>
  a.first <= b.last && b.first <= a.last;

/** First host address of a /24 subnet: the bridge's own. */
export const gatewayOf = (subnet: string): string => subnet.replace(/\.0\/24$/, '.1');

/**
 * Makes the bridge with its address. The CNI plugin finds it ready and so has no need to switch on
 * IP forwarding, which would outlive the stack. `env` marks the programs that do it.
 */
export async function createBridge(
  bridge: string,
  subnet: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const ethernet = ['02', ...Array.from({ length: 5 }, randomByte)].join(':');
  const ip = (...args: string[]): Promise<string> => runProgram('ip', args, { env });
  await ip('link', 'add', 'name', bridge, 'address', ethernet, 'type', 'bridge');
  await ip('addr', 'add', `${gatewayOf(subnet)}/24`, 'dev', bridge);
  await ip('link', 'set', bridge, 'up');
}

const randomByte = (): string =>
  Math.floor(Math.random() * 256)
    .toString(16)
    .padStart(2, '0');

/** Removes a bridge or another link; one that is gone already is fine. */
export async function removeLink(name: string): Promise<void> {
  try {
    await runProgram('ip', ['link', 'delete', name]);
  } catch (error) {
    if (error instanceof ProgramFailedError && error.stderr.includes('Cannot find device')) return;
    throw error;
  }
}

/**
 * Removes the veth pairs of the subnet that Docker Engine has left here: it was killed before it
 * could move one end into a container. Their addresses are made of the container's IP address.
 */
export async function removeEngineLinks(subnet: string): Promise<void> {
  const [a = 0, b = 0, c = 0] = subnet.split('.').map(Number);
  const prefix = ['02', '42', ...[a, b, c].map((byte) => byte.toString(16).padStart(2, '0')), ''];
  const shown = await runProgram('ip', ['-j', 'link', 'show', 'type', 'veth']);
  const links = JSON.parse(shown || '[]') as { ifname?: string; address?: string }[];
  for (const { ifname, address } of links) {
    if (ifname !== undefined && address?.startsWith(prefix.join(':')) === true) {
      await removeLink(ifname);
    }
  }
}

/**
 * CNI configuration of the stack's network: bridge with host-local addresses, and port mappings.
 */
export function cniConfig(
  network: string,
  bridge: string,
  subnet: string,
  dataDir: string,
): string {
  return JSON.stringify({
    cniVersion: '0.4.0',
    name: network,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: false,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir,
          ranges: [[{ subnet, gateway: gatewayOf(subnet) }]],
          routes: [{ dst: '0.0.0.0/0', gw: gatewayOf(subnet) }],
        },
      },
      { type: 'portmap', backend: 'iptables', capabilities: { portMappings: true } },
    ],
  });
}

/** Chains that the port-mapping plugin shares between all networks and never removes. */
const sharedChains = ['CNI-HOSTPORT-DNAT', 'CNI-HOSTPORT-SETMARK', 'CNI-HOSTPORT-MASQ'];

/**
 * Removes the port-mapping rules of one network, and the plugin's shared chains when no rule uses
 * them any more and `alsoShared` says that nobody else is about to.
 */
export async function removePortRules(
  network: string,
  { alsoShared }: { alsoShared: boolean },
): Promise<void> {
  if (findProgram('iptables-save') === undefined) return;
  for (const family of ['iptables', 'ip6tables']) {
    const save = `${family}-save`;
    if (findProgram(save) === undefined) continue;
    const lines = (await runProgram(save, ['-t', 'nat'])).split('\n');
    for (const commands of removalCommands(lines, network, alsoShared)) {
      await runProgram(`${family}-restore`, ['--noflush'], {
        input: ['*nat', ...commands, 'COMMIT', ''].join('\n'),
      });
    }
  }
}

/**
 * Input of `iptables-restore` for `removePortRules`, from lines of `iptables-save`: first the
 * rules, then the chains, because within one transaction a chain counts as used by a rule deleted
 * in it.
 */
export function removalCommands(
  lines: readonly string[],
  network: string,
  alsoShared: boolean,
): string[][] {
  const rules = lines.filter((line) => line.startsWith('-A '));
  const chainOf = (rule: string): string => rule.split(' ')[1] ?? '';
  const targetOf = (rule: string): string => / -j (\S+)/.exec(rule)?.[1] ?? '';
  const mappings = rules.filter((rule) => chainOf(rule) === 'CNI-HOSTPORT-DNAT');
  const ours = mappings.filter((rule) => rule.includes(`name: \\"${network}\\"`));
  const doomed = new Set(ours.map(targetOf));
  if (alsoShared && ours.length === mappings.length) {
    for (const chain of sharedChains) {
      if (lines.some((line) => line.startsWith(`:${chain} `))) doomed.add(chain);
    }
  }
  if (doomed.size === 0) return [];
  const chains = [...doomed];
  const references = rules.filter(
    (rule) => doomed.has(targetOf(rule)) && !doomed.has(chainOf(rule)),
  );
  return [
    [
      ...references.map((rule) => rule.replace('-A', '-D')),
      ...chains.map((chain) => `-F ${chain}`),
    ],
    chains.map((chain) => `-X ${chain}`),
  ];
}
