import { readFileSync } from 'node:fs';
import net from 'node:net';

/** Ports of that range that Node.js's `fetch` refuses to speak to. */
const refusedByFetch = [10_080];

/**
 * Free loopback ports below the range that the kernel hands out by itself, so that a server finds
 * its port free again after it was stopped. Call it under the lock `stacks`, with the ports of the
 * other stacks.
 */
export async function chooseStablePorts(
  count: number,
  taken: readonly number[],
): Promise<number[]> {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/);
  const ephemeralFrom = Number(range[0] ?? 32_768);
  const [from, to] = ephemeralFrom > 12_000 ? [10_000, ephemeralFrom] : [10_000, 65_535];
  const chosen = new Set<number>();
  for (let attempt = 0; chosen.size < count && attempt < 1_000; attempt += 1) {
    const port = from + Math.floor(Math.random() * (to - from));
    if (taken.includes(port) || refusedByFetch.includes(port)) continue;
    if (await isFree(port)) chosen.add(port);
  }
  if (chosen.size < count)
    throw new Error(`no ${count} free loopback ports between ${from} and ${to}`);
  return [...chosen];
}

/**
 * A loopback port that is free now, and that the kernel does not hand to a connection before it is
 * used.
 */
export async function freePort(): Promise<number> {
  const [port = 0] = await chooseStablePorts(1, []);
  return port;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.on('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
