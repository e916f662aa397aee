import net from 'node:net';

function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

const text = (value: string): Buffer =>
  Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);
const field = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.of(0), text(name), text(value)]);

/**
 * HTTP/2 on a socket, frame by frame: what a gRPC library would not send, and as fast as it goes.
 */
export class FrameClient {
  isClosed = false;
  readonly #socket: net.Socket;
  #lastStreamId = -1;

  constructor(socketPath: string) {
    this.#socket = net.connect(socketPath);
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => (this.isClosed = true));
    this.#socket.resume();
    // The preface, SETTINGS, and the acknowledgement of those that are to come.
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    this.write(preface, frame(4, 0, 0, Buffer.alloc(0)), frame(4, 1, 0, Buffer.alloc(0)));
  }

  /** HEADERS of a new call. */
  begin(path: string): Buffer {
    this.#lastStreamId += 2;
    const block = Buffer.concat([
      Buffer.of(0x83, 0x86, 0x04),
      text(path),
      Buffer.of(0x01),
      text('localhost'),
      field('content-type', 'application/grpc'),
      field('te', 'trailers'),
    ]);
    return frame(1, 4, this.#lastStreamId, block);
  }

  /** Any frame, right or wrong; of the call begun last, or of the connection. */
  raw(type: number, flags: number, payload: Buffer, ofCall = true): Buffer {
    return frame(type, flags, ofCall ? Math.max(1, this.#lastStreamId) : 0, payload);
  }

  /**
   * HEADERS of a new call that name a long field once and refer to it `times` times: a byte each.
   */
  bomb(path: string, times: number): Buffer {
    const call = this.begin(path);
    const value = Buffer.alloc(4_000, 'b');
    // A literal that is indexed, whose length takes three bytes, and the first entry of the table.
    const long = Buffer.concat([
      Buffer.of(0x40),
      text('x-bomb'),
      Buffer.of(0x7f, 0xa1, 0x1e),
      value,
    ]);
    const block = Buffer.concat([call.subarray(9), long, Buffer.alloc(times, 0xbe)]);
    return frame(1, 5, this.#lastStreamId, block);
  }

  /** DATA of the call begun last: an empty message, or a part of one that goes on. */
  data(part?: Buffer): Buffer {
    return part === undefined
      ? frame(0, 1, this.#lastStreamId, Buffer.alloc(5))
      : frame(0, 0, this.#lastStreamId, part);
  }

  /** RST_STREAM (CANCEL) of the call begun last. */
  reset(): Buffer {
    return frame(3, 0, this.#lastStreamId, Buffer.from([0, 0, 0, 8]));
  }

  /** A PING that is too short. */
  shortPing(): Buffer {
    return frame(6, 0, 0, Buffer.alloc(3));
  }

  write(...parts: Buffer[]): void {
    this.#socket.write(Buffer.concat(parts));
  }

  /** Reads no more. */
  stopReading(): void {
    this.#socket.pause();
  }

  leave(): void {
    this.#socket.destroy();
  }
}
