import type { OnReadOpts } from 'node:net';

/** The most that one read of a socket returns; libuv's own buffers have the same size. */
const readBytes = 64 * 1024;
/** What a connection begins with on which there may never be a long reply. */
export const shortReadBytes = 4 * 1024;

/**
 * The memory that one socket reads into (`onread` of node:net): reused for the next read unless the
 * receiver of the chunk still needs it. Otherwise each read would leave 64 KiB to the garbage
 * collector.
 */
export class ReadBuffer {
  #bytes: Buffer;
  /** Takes each chunk; returns false when it keeps the chunk's memory. */
  onChunk: (chunk: Buffer) => boolean = () => true;

  readonly onread: OnReadOpts & { buffer: () => Uint8Array } = {
    buffer: () => this.#bytes,
    callback: (length) => {
      const isFull = length === this.#bytes.length;
      const done = this.onChunk(this.#bytes.subarray(0, length));
      const bytes = isFull ? this.mostBytes : this.#bytes.length;
      if (!done || bytes !== this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(bytes);
      return true;
    },
  };

  /**
   * @param firstBytes what a read returns at most, until one has returned that much.
   * @param mostBytes what it returns at most from then on.
   */
  constructor(
    firstBytes: number = readBytes,
    private readonly mostBytes = readBytes,
  ) {
    this.#bytes = Buffer.allocUnsafeSlow(firstBytes);
  }
}
