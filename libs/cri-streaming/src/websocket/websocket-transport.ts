import { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';

/** How much waits to be read before the connection waits, bytes. */
const readAhead = 256 * 1024;

/**
 * The binary messages of a WebSocket as one stream of bytes in each direction. Its end closes the
 * WebSocket, which has no half: nothing can be sent after that.
 */
export class WebSocketTransport extends Duplex {
  constructor(private readonly socket: WebSocket) {
    super({ allowHalfOpen: true, readableHighWaterMark: readAhead });
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: RawData, isBinary) => {
      if (!isBinary) socket.close(1003, 'only binary messages carry SPDY');
      else if (!this.push(data)) socket.pause();
    });
    socket.on('error', (error) => this.destroy(error));
    // What came is read on; writing fails from now on.
    socket.once('close', () => this.push(null));
  }

  override _read(): void {
    if (this.socket.isPaused) this.socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.socket.send(chunk, { binary: true }, done);
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    const message = Buffer.concat(chunks.map(({ chunk }) => chunk));
    this.socket.send(message, { binary: true }, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.socket.close(1000);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.socket.isPaused) this.socket.resume();
    this.socket.terminate();
    done(error);
  }
}
