import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/** Header with the protocols that a client of SPDY offers, and the one that was chosen. */
const protocolHeader = 'x-stream-protocol-version';

/** A request that no session comes of, with what the client is answered. */
export class HandshakeError extends Error {
  constructor(
    readonly status: 400 | 403 | 404 | 405 | 503,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'HandshakeError';
  }
}

const statusTexts: Readonly<Record<HandshakeError['status'], string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  503: 'Service Unavailable',
};

/**
 * The first protocol of the client's that is known here.
 *
 * @param known names; '' is for clients that offer none.
 * @throws {HandshakeError} when there is none.
 */
export function negotiate(
  offered: readonly string[],
  known: readonly string[],
  header: string,
): string {
  const wanted = offered.length === 0 ? [''] : offered;
  const chosen = wanted.find((name) => known.includes(name));
  if (chosen !== undefined) return chosen;
  const named = known.filter((name) => name !== '').join(', ');
  throw new HandshakeError(
    403,
    `unable to upgrade: no common protocol: the client offers ${offered.join(', ') || 'none'}; known are ${named}`,
    { [header]: named },
  );
}

/** The protocol of a client of SPDY. */
export function negotiateSpdy(request: IncomingMessage, known: readonly string[]): string {
  const offered = listOf(request.headers[protocolHeader]);
  return negotiate(offered, known, 'X-Accepted-Stream-Protocol-Versions');
}

/** The protocol of a client of WebSocket. */
export function negotiateWebSocket(request: IncomingMessage, known: readonly string[]): string {
  const offered = listOf(request.headers['sec-websocket-protocol']);
  return negotiate(offered, known, 'X-Accepted-Stream-Protocol-Versions');
}

/** Names in a header that may come several times, and with several names each time. */
function listOf(value: string | string[] | undefined): string[] {
  return [value ?? '']
    .flat()
    .flatMap((text) => text.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** Answers that the connection speaks SPDY from here on. */
export function acceptSpdy(socket: Duplex, protocol: string): void {
  const chosen = protocol === '' ? '' : `X-Stream-Protocol-Version: ${protocol}\r\n`;
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n${chosen}\r\n`,
  );
}

/** Answers a request to upgrade with an error, and closes the connection. */
export function refuseUpgrade(socket: Duplex, { status, message, headers }: HandshakeError): void {
  const text = `${message}\n`;
  const head = [
    `HTTP/1.1 ${status} ${statusTexts[status]}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.on('error', () => undefined);
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), 10_000);
  socket.once('close', () => clearTimeout(timer));
}
