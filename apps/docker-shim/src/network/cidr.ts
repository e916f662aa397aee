import { isIP } from 'node:net';

/** The address of a text in CIDR notation, such as `10.1.0.5/24`; undefined when it is none. */
export function addressOf(cidr: string): string | undefined {
  const [, ip = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(cidr) ?? [];
  const family = isIP(ip);
  return family === 0 || Number(bits) > (family === 4 ? 32 : 128) ? undefined : ip;
}
