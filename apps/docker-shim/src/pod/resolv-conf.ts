import type { DNSConfig } from '@stowage/cri-proto';
import { open } from 'node:fs/promises';
import type { InspectedContainer, NewContainer } from '../engine/engine-client';

/** What the engine takes as "no search list", so that it does not take the host's. */
const noSearch = '.';

/** The engine's fields for a pod's DNS; none where it is to be the engine's own. */
export function engineDns(
  dns: DNSConfig | undefined,
): Pick<NonNullable<NewContainer['HostConfig']>, 'Dns' | 'DnsSearch' | 'DnsOptions'> {
  if (dns === undefined) return {};
  return {
    Dns: dns.servers,
    DnsSearch: dns.searches.length === 0 ? [noSearch] : dns.searches,
    DnsOptions: dns.options,
  };
}

/** The DNS that a sandbox was created with, by its fields in the engine. */
export function dnsOf({ HostConfig }: InspectedContainer): DNSConfig | undefined {
  const servers = HostConfig?.Dns ?? [];
  const searches = HostConfig?.DnsSearch ?? [];
  const options = HostConfig?.DnsOptions ?? [];
  if (servers.length + searches.length + options.length === 0) return undefined;
  return { servers, searches: searches.filter((domain) => domain !== noSearch), options };
}

/** The file for a pod's DNS. */
export function resolvConf({ servers, searches, options }: DNSConfig): string {
  const lines = [
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/**
 * Makes the resolv.conf of a sandbox what its pod asked for: the engine drops name servers on the
 * loopback, and adds some of its own. The file stays the same one, which containers have mounted.
 */
export async function restoreResolvConf(sandbox: InspectedContainer): Promise<void> {
  const dns = dnsOf(sandbox);
  const file = sandbox.ResolvConfPath ?? '';
  if (dns === undefined || file === '') return;
  const wanted = resolvConf(dns);
  const handle = await open(file, 'r+');
  try {
    if ((await handle.readFile('utf8')) === wanted) return;
    const { bytesWritten } = await handle.write(wanted, 0);
    await handle.truncate(bytesWritten);
  } finally {
    await handle.close();
  }
}
