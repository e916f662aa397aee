import { forwardPort } from './forward-port';
import type { PortTarget } from './types';
import { WebSocketChannels } from './websocket/websocket-channels';
import type { WebSocket } from 'ws';

/** A whole SPDY connection in the messages of a WebSocket. */
export const tunnelledSpdyProtocol = 'SPDY/3.1+portforward.k8s.io';

/** The protocols with channels for each port, by their names; the last has none. */
export const webSocketPortForwardProtocols: Readonly<
  Record<string, { readonly isBase64: boolean }>
> = {
  'v4.channel.k8s.io': { isBase64: false },
  'v4.base64.channel.k8s.io': { isBase64: true },
  '': { isBase64: false },
};

/** Two channels for each port: one for content, one for an error. */
export function portChannels(
  socket: WebSocket,
  ports: readonly number[],
  isBase64: boolean,
  onActivity: () => void,
): WebSocketChannels {
  return new WebSocketChannels(socket, {
    count: 2 * ports.length,
    isBase64,
    canEndChannels: false,
    onActivity,
  });
}

/** Forwards each port once, and ends the connection when all are done. */
export async function forwardPortsInChannels(
  channels: WebSocketChannels,
  ports: readonly number[],
  target: PortTarget,
  signal: AbortSignal,
): Promise<void> {
  const forwarded = ports.map((port, index) => {
    const [data, error] = [2 * index, 2 * index + 1];
    const name = Buffer.alloc(2);
    name.writeUInt16LE(port);
    for (const channel of [data, error]) channels.send(channel, name);
    return forwardPort(
      {
        port,
        input: channels.readable(data),
        output: channels.writable(data),
        error: channels.writable(error),
        hasHalfClose: false,
      },
      target,
      signal,
    );
  });
  await Promise.race([Promise.all(forwarded), channels.gone]);
  await channels.finish();
}
