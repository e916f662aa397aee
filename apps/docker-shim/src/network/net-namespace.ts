import { readFile, readlink } from 'node:fs/promises';
import { SocketAddress } from 'node:net';

/**
 * Path of the network namespace of a process; undefined when it is gone, or when the process is in
 * the host's: then its id is another one's by now, and nothing must be changed there.
 */
export async function podNamespace(pid: number | undefined): Promise<string | undefined> {
  if (pid === undefined || pid <= 0) return undefined;
  const path = `/proc/${pid}/ns/net`;
  const [own, ...hosts] = await Promise.all(
    [path, '/proc/self/ns/net', '/proc/1/ns/net'].map((link) =>
      readlink(link).catch(() => undefined),
    ),
  );
  return own === undefined || hosts.includes(own) ? undefined : path;
}

/**
 * Addresses of an interface in the network namespace of a process, IPv4 first, without those of the
 * link alone. Empty when process or interface are gone.
 */
export async function namespaceAddresses(pid: number, ifName: string): Promise<string[]> {
  if ((await podNamespace(pid)) === undefined) return [];
  const [fibTrie, routes, ifInet6] = await Promise.all(
    ['fib_trie', 'route', 'if_inet6'].map((name) =>
      readFile(`/proc/${pid}/net/${name}`, 'utf8').catch(() => ''),
    ),
  );
  return [
    ...ipv4Addresses(fibTrie ?? '', routes ?? '', ifName),
    ...ipv6Addresses(ifInet6 ?? '', ifName),
  ];
}

/**
 * Addresses of the namespace itself in the kernel's `fib_trie`, without the loopback's. That does
 * not name interfaces, so addresses in a range that the routes have on another one are left out.
 */
export function ipv4Addresses(fibTrie: string, routes: string, ifName: string): string[] {
  const local = [...fibTrie.matchAll(/\|-- (\d+\.\d+\.\d+\.\d+)\n\s+\/32 host LOCAL/g)];
  const ranges = rangesOf(routes);
  const found = local
    .map(([, address = '']) => address)
    .filter((address) => {
      const value = numberOf(address.split('.').map(Number));
      const on = ranges.filter(({ range, mask }) => (value & mask) >>> 0 === range);
      return (
        !address.startsWith('127.') && (on.length === 0 || on.some(({ name }) => name === ifName))
      );
    });
  return [...new Set(found)];
}

/** Ranges that are reached directly, from the kernel's `route`. */
function rangesOf(routes: string): { name: string; range: number; mask: number }[] {
  return routes
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t').map((field) => field.trim()))
    .filter(([, , gateway, , , , , mask]) => gateway === '00000000' && mask !== '00000000')
    .map(([name = '', range = '', , , , , , mask = '']) => ({
      name,
      range: fromHex(range),
      mask: fromHex(mask),
    }));
}

/** Bytes as the kernel prints them there: in the order of a little-endian machine. */
const fromHex = (text: string): number => numberOf([...Buffer.from(text, 'hex')].reverse());

const numberOf = (bytes: readonly number[]): number =>
  bytes.reduce((sum, byte) => sum * 256 + byte, 0);

/** Global addresses of an interface in the kernel's `if_inet6`. */
export function ipv6Addresses(ifInet6: string, ifName: string): string[] {
  return ifInet6
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , scope, , name]) => scope === '00' && name === ifName)
    .map(([hex = '']) => {
      const address = hex.match(/.{4}/g)?.join(':') ?? '';
      return new SocketAddress({ address, family: 'ipv6' }).address;
    });
}
