import net from 'node:net';
import type { ReadBuffer } from './read-buffer';

/**
 * The same connection, with its bytes read into `received` (docs/adr/0049). Node.js has `onread`
 * for connections that it makes, not for those that it accepts, so the handle of the accepted one
 * goes to a new socket; where it cannot be had, the accepted one stays and its chunks are passed
 * on. To be called in the same turn in which the connection was accepted.
 */
export function readInto(accepted: net.Socket, received: ReadBuffer): net.Socket {
  const holder = accepted as unknown as { _handle?: object | null };
  const handle = holder._handle;
  if (handle == null) {
    accepted.on('data', (chunk: Buffer) => void received.onChunk(chunk));
    return accepted;
  }
  holder._handle = null;
  accepted.destroy();
  const options = { handle, onread: received.onread };
  const socket = new net.Socket({ ...options, readable: true, writable: true });
  socket.on('error', () => undefined);
  return socket;
}
