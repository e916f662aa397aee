/** Where a server listens: a TCP port on a host, or a unix socket. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Longest path that fits a unix socket address on Linux (108 bytes with the closing NUL). */
export const maxSocketPathBytes = 107;

/**
 * `unix:///run/x.sock` or `/run/x.sock` as a path; undefined when it is not absolute or does not
 * fit.
 */
export function parseSocketPath(text: string): string | undefined {
  const path = text.startsWith('unix://') ? text.slice('unix://'.length) : text;
  if (!path.startsWith('/') || path.endsWith('/') || path.includes('\0')) return undefined;
  return Buffer.byteLength(path) <= maxSocketPathBytes ? path : undefined;
}

/**
 * `host:port`, `[ipv6]:port`, `:port` (all interfaces) or a unix socket. Port 0 lets the system
 * choose one. Undefined when the text is none of them.
 */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (text.startsWith('/') || text.startsWith('unix://')) {
    const path = parseSocketPath(text);
    return path === undefined ? undefined : { kind: 'unix', path };
  }
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match == null || port > 65_535) return undefined;
  const host = match[1] ?? match[2] ?? '';
  return { kind: 'tcp', host: host === '' ? '::' : host, port };
}
