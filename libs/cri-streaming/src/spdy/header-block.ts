import zlib from 'node:zlib';
import { spdyDictionary } from './dictionary';
import { SpdyProtocolError } from './frames';

/** Names in lower case; of several values of a name the first. */
export type SpdyHeaders = ReadonlyMap<string, string>;

/** Longest header block after inflating, bytes. */
export const maxHeaderBytes = 64 * 1024;

/**
 * Reads header blocks. There is one compressed stream for all blocks of a direction of a
 * connection, cut at a flush after each: they have to be read in order, one at a time.
 */
export class HeaderInflater {
  readonly #zlib = zlib.createInflate({
    dictionary: spdyDictionary,
    flush: zlib.constants.Z_SYNC_FLUSH,
  });
  #chunks: Buffer[] = [];
  #bytes = 0;
  #fail: ((error: Error) => void) | undefined;
  #closed: (() => void) | undefined;

  constructor() {
    this.#zlib.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#bytes <= maxHeaderBytes) this.#chunks.push(chunk);
      else this.#zlib.destroy();
    });
    this.#zlib.once('close', () => this.#closed?.());
    this.#zlib.on('error', (error) => this.#fail?.(new SpdyProtocolError(error.message)));
  }

  /** @throws {SpdyProtocolError} also for all blocks after a bad one. */
  async inflate(block: Buffer): Promise<SpdyHeaders> {
    this.#chunks = [];
    this.#bytes = 0;
    await new Promise<void>((resolve, reject) => {
      this.#fail = reject;
      this.#closed = resolve;
      this.#zlib.write(block, (error) => {
        if (error == null) resolve();
        else reject(new SpdyProtocolError(error.message));
      });
    });
    if (this.#bytes > maxHeaderBytes) {
      throw new SpdyProtocolError(`header block is longer than ${maxHeaderBytes} bytes`);
    }
    return parseHeaders(Buffer.concat(this.#chunks, this.#bytes));
  }

  close(): void {
    this.#zlib.close();
  }
}

function parseHeaders(block: Buffer): SpdyHeaders {
  let at = 0;
  const uint32 = (): number => {
    if (at + 4 > block.length) throw new SpdyProtocolError('header block ends too early');
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = uint32();
    if (at + length > block.length) throw new SpdyProtocolError('header block ends too early');
    at += length;
    return block.toString('utf8', at - length, at);
  };
  const headers = new Map<string, string>();
  for (let left = uint32(); left > 0; left -= 1) {
    const name = text().toLowerCase();
    const [value = ''] = text().split('\0', 1);
    if (!headers.has(name)) headers.set(name, value);
  }
  return headers;
}

/** Beginning of a zlib stream that refers to the dictionary, and the dictionary's checksum. */
const streamHead = Buffer.from([0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2]);
/** An empty stored block: what zlib writes at a sync flush. */
const flush = Buffer.from([0, 0, 0, 0xff, 0xff]);

/**
 * Writes header blocks: what this side has to say of a stream is short, so that it is stored in the
 * compressed stream as it is, and no compressor is kept for each connection.
 */
export class HeaderDeflater {
  #isFirst = true;

  deflate(headers: SpdyHeaders = new Map()): Buffer {
    const parts: Buffer[] = [uint32Of(headers.size)];
    for (const [name, value] of headers) {
      for (const text of [name, value]) {
        const bytes = Buffer.from(text);
        parts.push(uint32Of(bytes.length), bytes);
      }
    }
    const block = Buffer.concat(parts);
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(block.length, 1);
    stored.writeUInt16LE(block.length ^ 0xffff, 3);
    const head = this.#isFirst ? [streamHead] : [];
    this.#isFirst = false;
    return Buffer.concat([...head, stored, block, flush]);
  }
}

function uint32Of(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
