import { randomBytes } from 'node:crypto';
import http from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';

/** What the library's client does after its handshake. */
interface AcceptedSocket {
  _isServer: boolean;
  _protocol: string;
  setSocket(socket: Socket, head: Buffer, options: { maxPayload: number }): void;
}

const Unconnected = WebSocket as unknown as new (
  address: null,
  protocols: undefined,
  options: object,
) => WebSocket;

/**
 * A WebSocket for `SPDY/3.1+portforward.k8s.io`. The handshake is made here, as the library's
 * client does not take a name with a slash.
 */
export function openTunnel(url: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, {
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
        'Sec-WebSocket-Protocol': 'SPDY/3.1+portforward.k8s.io',
      },
    });
    request.once('error', reject);
    request.once('response', ({ statusCode }) => reject(new Error(`status ${statusCode}`)));
    request.once('upgrade', ({ headers }, socket: Socket, head: Buffer) => {
      const webSocket = new Unconnected(null, undefined, { closeTimeout: 10_000 });
      const accepted = webSocket as unknown as AcceptedSocket;
      accepted._isServer = false;
      accepted._protocol = headers['sec-websocket-protocol'] ?? '';
      accepted.setSocket(socket, head, { maxPayload: 0 });
      resolve(webSocket);
    });
  });
}
