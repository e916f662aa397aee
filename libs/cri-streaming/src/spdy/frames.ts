/** Frames of SPDY/3.1, as far as streams of Kubernetes need them. */

/** The peer broke the protocol, and the connection cannot go on. */
export class SpdyProtocolError extends Error {
  constructor(problem: string) {
    super(`SPDY: ${problem}`);
    this.name = 'SpdyProtocolError';
  }
}

export const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

/** In RST_STREAM. */
export const streamStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  cancel: 5,
} as const;

/** In GOAWAY. */
export const goAwayStatus = { ok: 0, protocolError: 1 } as const;

export const flagFin = 0x01;
/** Longest frame that its 24 bits can say, bytes. */
export const maxFrameBytes = 2 ** 24 - 1;
/** Longest control frame that is read: a header block of the longest kind, bytes. */
const maxControlBytes = 64 * 1024 + 1024;
const version = 3;
const headBytes = 8;

/** A control frame as it came. */
export interface ControlFrame {
  readonly kind: 'control';
  /** One of {@link frameType}, or one that is not known. */
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** A piece of a data frame; long frames come in several. */
export interface DataFrame {
  readonly kind: 'data';
  readonly streamId: number;
  readonly payload: Buffer;
  /** The stream's last piece. */
  readonly isLast: boolean;
}

export type SpdyFrame = ControlFrame | DataFrame;

/** Cuts bytes into frames, however they are cut when they come. */
export class FrameParser {
  /** Beginning of a frame that is not complete. */
  #rest: Buffer = Buffer.alloc(0);
  /** The data frame that is being read, and how many of its bytes are to come. */
  #data: { streamId: number; fin: boolean; left: number } | undefined;

  /**
   * The frames that are complete with this chunk, and what there is of a data frame.
   *
   * @throws {SpdyProtocolError}
   */
  *parse(chunk: Buffer): Generator<SpdyFrame, void, undefined> {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = Buffer.alloc(0);
    for (;;) {
      if (this.#data !== undefined) {
        const data = this.#data;
        const payload = bytes.subarray(0, data.left);
        bytes = bytes.subarray(payload.length);
        data.left -= payload.length;
        const isComplete = data.left === 0;
        if (isComplete) this.#data = undefined;
        const isLast = isComplete && data.fin;
        if (payload.length > 0 || isLast) {
          yield { kind: 'data', streamId: data.streamId, payload, isLast };
        }
        if (!isComplete) return;
      }
      if (bytes.length < headBytes) break;
      const first = bytes.readUInt32BE(0);
      const flags = bytes.readUInt8(4);
      const length = bytes.readUIntBE(5, 3);
      if (first >>> 31 === 0) {
        this.#data = { streamId: first, fin: (flags & flagFin) !== 0, left: length };
        bytes = bytes.subarray(headBytes);
        continue;
      }
      const spoken = (first >>> 16) & 0x7fff;
      if (spoken !== version) throw new SpdyProtocolError(`version ${spoken} is not spoken here`);
      if (length > maxControlBytes) {
        throw new SpdyProtocolError(`control frame is longer than ${maxControlBytes} bytes`);
      }
      if (bytes.length < headBytes + length) break;
      const payload = bytes.subarray(headBytes, headBytes + length);
      bytes = bytes.subarray(headBytes + length);
      yield { kind: 'control', type: first & 0xffff, flags, payload };
    }
    this.#rest = Buffer.from(bytes);
  }
}

/** A control frame. */
export function controlFrame(type: number, payload: Buffer, flags = 0): Buffer {
  const frame = Buffer.alloc(headBytes + payload.length);
  frame.writeUInt32BE(((0x8000 | version) * 0x10000 + type) >>> 0, 0);
  frame.writeUInt32BE((flags * 0x1000000 + payload.length) >>> 0, 4);
  payload.copy(frame, headBytes);
  return frame;
}

/** A control frame that holds nothing but 32-bit numbers. */
export function numbersFrame(type: number, ...numbers: readonly number[]): Buffer {
  const payload = Buffer.alloc(4 * numbers.length);
  numbers.forEach((number, index) => payload.writeUInt32BE(number >>> 0, 4 * index));
  return controlFrame(type, payload);
}

/** What stands before the content of a data frame. */
export function dataHead(streamId: number, length: number, isLast: boolean): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt32BE(((isLast ? flagFin : 0) * 0x1000000 + length) >>> 0, 4);
  return head;
}
