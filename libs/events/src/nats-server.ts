/** A NATS server as `[nats|tls]://[login@]host[:port]` says it. */
export interface NatsServer {
  readonly isTls: boolean;
  /** Name or address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** A login without password is a token. */
  readonly user?: string;
  readonly password?: string;
}

const defaultPort = 4222;
const schemePattern = /^([a-z][a-z0-9+.-]*):\/\//i;
const addressPattern = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?\/?$/i;

/**
 * Reads a server's URL; undefined when it is invalid. User and password may contain any character,
 * encoded or not: the login ends at the last `@`, the user at the first `:`. An invalid encoding is
 * taken literally.
 */
export function parseNatsServer(text: string): NatsServer | undefined {
  const scheme = schemePattern.exec(text)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'nats' && scheme !== 'tls') return undefined;
  const rest = scheme === undefined ? text : text.slice(scheme.length + 3);
  const at = rest.lastIndexOf('@');
  const [, ipv6, name, digits] = addressPattern.exec(rest.slice(at + 1)) ?? [];
  const host = ipv6 ?? name;
  const port = digits === undefined ? defaultPort : Number(digits);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  if (ipv6 !== undefined && !URL.canParse(`http://[${ipv6}]`)) return undefined;
  const login = at < 0 ? '' : rest.slice(0, at);
  const colon = login.indexOf(':');
  const user = decoded(colon < 0 ? login : login.slice(0, colon));
  const password = colon < 0 ? '' : decoded(login.slice(colon + 1));
  if (user === '' && password !== '') return undefined;
  return {
    isTls: scheme === 'tls',
    host,
    port,
    ...(user !== '' && { user }),
    ...(password !== '' && { password }),
  };
}

/**
 * The servers of a list separated by commas. A password may contain commas: a comma ends a server
 * only where the text on both sides can be a server. For an ambiguous list it returns one entry
 * that is not a server.
 */
export function splitNatsServers(text: string): string[] {
  const pieces = text.split(',');
  const servers: string[] = [];
  let from = 0;
  for (let to = 1; to <= pieces.length; to += 1) {
    const server = pieces.slice(from, to).join(',').trim();
    const next = pieces[to]?.trim() ?? '';
    // `u:1,b@h`: two servers, or one with a comma in its password. It could send a login to the
    // wrong place.
    const isUnclear = !server.includes('@') && next.includes('@') && !schemePattern.test(next);
    if (isUnclear && parseNatsServer(server) !== undefined) return [''];
    if (server !== '' && parseNatsServer(server) === undefined && to < pieces.length) continue;
    if (server !== '') servers.push(server);
    from = to;
  }
  return servers;
}

/**
 * The same text with `mark` in place of every login, and of anything that could be one. Also for
 * texts that are not a server.
 */
export function withoutNatsLogin(text: string, mark = '[redacted]'): string {
  const scheme = schemePattern.exec(text)?.[0] ?? '';
  const rest = text.slice(scheme.length);
  const at = rest.lastIndexOf('@');
  if (at >= 0) return `${scheme}${mark}@${rest.slice(at + 1)}`;
  // `nats://user:secret`, where the host was forgotten.
  return /:(?!\d{1,5}(?:[/,\s]|$))[^\]]*$/.test(rest) && !rest.startsWith('[')
    ? `${scheme}${mark}`
    : text;
}

function decoded(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (encoded) => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return encoded;
    }
  });
}
