/**
 * Host (with port) and path of a registry key or an image name, as Go's net/url reads them. Text is
 * handled in UTF-8 bytes, one JavaScript character each, so that comparisons are the bytewise ones
 * of Go.
 */
export interface RegistryUrl {
  readonly host: string;
  /** Percent-decoded; empty or from the first slash on. */
  readonly path: string;
}

const hostChars = /^[A-Za-z0-9\-._~!$&'()*+,;=:[\]<>"\x80-\xff]*$/;
const userInfoChars = /^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/;
const port = /^(:\d*)?$/;

/**
 * Parses `host[:port][/path][?query][#fragment]`; user info is dropped. Undefined for what Go
 * refuses: control characters, a port that is no number, characters that no host can have, broken
 * percent escapes. Brackets stand only around a whole host (Go since 1.25).
 */
export function parseSchemeless(text: string): RegistryUrl | undefined {
  return parseSchemelessBytes(Buffer.from(text, 'utf8').toString('latin1'));
}

/** parseSchemeless of a text that is in bytes already. */
export function parseSchemelessBytes(bytes: string): RegistryUrl | undefined {
  const [beforeFragment, fragment] = cut(bytes, '#');
  if (percentDecoded(fragment) == null) return undefined;
  if (/[\x00-\x1f\x7f]/.test(beforeFragment)) return undefined;
  const [beforeQuery] = cut(beforeFragment, '?');
  const slash = beforeQuery.indexOf('/');
  const authority = slash < 0 ? beforeQuery : beforeQuery.slice(0, slash);
  const at = authority.lastIndexOf('@');
  if (at >= 0 && !isUserInfo(authority.slice(0, at))) return undefined;
  const host = parseHost(authority.slice(at + 1));
  const path = slash < 0 ? '' : percentDecoded(beforeQuery.slice(slash));
  return host == null || path == null ? undefined : { host, path };
}

const isUserInfo = (text: string): boolean =>
  userInfoChars.test(text) && percentDecoded(text) != null;

function parseHost(host: string): string | undefined {
  const open = host.lastIndexOf('[');
  if (open > 0 || (open < 0 && host.includes(']'))) return undefined;
  if (open === 0) {
    const close = host.lastIndexOf(']');
    if (close < 0 || !port.test(host.slice(close + 1))) return undefined;
  } else {
    const colon = host.lastIndexOf(':');
    if (colon >= 0 && !port.test(host.slice(colon))) return undefined;
  }
  // In a host only bytes above ASCII may be escaped, and "%25" in the zone of an IPv6 address.
  const zone = open === 0 ? host.indexOf('%25') : -1;
  const escaped = zone < 0 ? host : host.slice(0, zone) + host.slice(zone + 3);
  if (/%(?![89A-Fa-f][0-9A-Fa-f])/.test(escaped)) return undefined;
  const decoded = percentDecoded(host);
  return decoded != null && hostChars.test(decoded.replaceAll('%', '')) ? decoded : undefined;
}

/** Undefined when a "%" is not followed by two hexadecimal digits. */
function percentDecoded(text: string): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  return text.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/**
 * Host without port, and port, as Go's net.SplitHostPort; a host that it cannot split is all host.
 */
export function splitHostPort(hostPort: string): { host: string; port: string } {
  const whole = { host: hostPort, port: '' };
  const colon = hostPort.lastIndexOf(':');
  if (colon < 0) return whole;
  const bracketed = hostPort.startsWith('[');
  const close = hostPort.indexOf(']');
  if (bracketed && close + 1 !== colon) return whole;
  const host = bracketed ? hostPort.slice(1, close) : hostPort.slice(0, colon);
  if (/[[\]]/.test(host) || (!bracketed && host.includes(':'))) return whole;
  return { host, port: hostPort.slice(colon + 1) };
}

function cut(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
