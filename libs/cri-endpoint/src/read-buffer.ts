import type { OnReadOpts } from 'node:net';

/** As much as one read of a socket gives at most; libuv's own buffers are as large. */
const readBytes = 64 * 1024;

/**
 * The memory that one socket reads into (`onread` of `net.connect`): used again for the next read unless who took
 * the chunk still needs it. Long replies would else leave 64 KiB to the garbage collector with each read.
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
