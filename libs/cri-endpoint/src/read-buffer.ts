import type { OnReadOpts } from 'node:net';

/** The most that one read of a socket returns; libuv's own buffers have the same size. */
const readBytes = 64 * 1024;

/**
 * The memory that one socket reads into (`onread` of `net.connect`): reused for the next read
 * unless the receiver of the chunk still needs it. Otherwise long replies would leave 64 KiB to the
 * garbage collector with each read.
 */
export class ReadBuffer {
  private bytes = Buffer.allocUnsafeSlow(readBytes);
  /** Takes each chunk; returns false when it keeps the chunk's memory. */
  onChunk: (chunk: Buffer) => boolean = () => true;

  readonly onread: OnReadOpts & { buffer: () => Uint8Array } = {
    buffer: () => this.bytes,
    callback: (length) => {
      const done = this.onChunk(this.bytes.subarray(0, length));
      if (!done) this.bytes = Buffer.allocUnsafeSlow(readBytes);
      return true;
    },
  };
}
