import { UntrackableError } from './untrackable-error';

/** Frame types of RFC 9113 that the reader acts on. */
export const frameType = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  rstStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goAway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

/** Frame flags of RFC 9113. */
export const frameFlag = {
  endStream: 0x1,
  ack: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** Bytes of a frame's header. */
export const frameHeaderBytes = 9;

/** What every HTTP/2 client sends first. */
export const clientPreface: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Receives the frames of one direction of a connection. Slices are only valid during the call. */
export interface FrameListener {
  /** A piece of a DATA frame's payload without padding; `input[start, end)`. */
  onData(streamId: number, input: Buffer, start: number, end: number): void;
  /** The end of a DATA frame of `frameBytes` payload bytes, padding included. */
  onDataEnd(streamId: number, endStream: boolean, frameBytes: number): void;
  /** A whole header block, CONTINUATION frames joined; a PUSH_PROMISE has `promised`. */
  onHeaderBlock(
    streamId: number,
    block: Buffer,
    start: number,
    end: number,
    endStream: boolean,
    promised: boolean,
  ): void;
  onRstStream(streamId: number, code: number): void;
  onSettings(ack: boolean): void;
  /** The first eight bytes of `payload` are the frame's. */
  onPing(ack: boolean, payload: Buffer): void;
  onGoAway(lastStreamId: number, code: number): void;
}

const empty = Buffer.alloc(0);

/**
 * Splits one direction of an HTTP/2 connection into frames, however the bytes arrive. It keeps at
 * most `maxHeaderBlockBytes` of a header block and a few bytes of other frames; DATA passes through
 * in pieces. Throws {@link UntrackableError} for what RFC 9113 forbids; it must not be used after
 * that.
 */
export class FrameReader {
  /** Preface bytes still to come; 0 on the server's side. */
  private prefaceLeft: number;

  // The header of the current frame, and how much of it has arrived.
  private readonly header = Buffer.alloc(frameHeaderBytes);
  private headerLength = 0;

  // The current frame; `left` counts payload bytes that have not arrived, padding included.
  private inPayload = false;
  private type = 0;
  private flags = 0;
  private streamId = 0;
  private frameBytes = 0;
  private left = 0;
  /** Trailing padding of the current frame; -1 until the pad length byte has arrived. */
  private padding = 0;

  /** Payload of a frame that is acted on as a whole and did not arrive in one piece. */
  private held = empty;
  private heldLength = 0;

  // A header block that is continued in further frames.
  private blockStreamId = 0;
  private blockEndStream = false;
  private blockPromised = false;
  private block = empty;
  private blockLength = 0;

  /**
   * Offset in the last chunk behind the last frame that ended there, outside header blocks; -1:
   * none did.
   */
  lastBoundary = -1;

  constructor(
    private readonly listener: FrameListener,
    private readonly maxHeaderBlockBytes: number,
    { preface }: { preface: boolean },
  ) {
    this.prefaceLeft = preface ? clientPreface.length : 0;
  }

  /** True when the bytes so far end between two frames and no header block is open. */
  get atBoundary(): boolean {
    return (
      this.prefaceLeft === 0 &&
      !this.inPayload &&
      this.headerLength === 0 &&
      this.blockStreamId === 0
    );
  }

  /** Bytes of memory held for a header block under way. */
  get heldBytes(): number {
    return this.held.length + this.block.length;
  }

  /** Drops what is held; the reader must not be used again. */
  abandon(): void {
    this.held = empty;
    this.block = empty;
  }

  push(chunk: Buffer): void {
    this.lastBoundary = -1;
    const end = chunk.length;
    let at = this.prefaceLeft > 0 ? this.preface(chunk) : 0;
    while (at < end) {
      if (!this.inPayload) {
        at = this.frameHeader(chunk, at, end);
        if (this.headerLength > 0) return;
        if (this.left > 0) continue;
      } else {
        at = this.payload(chunk, at, end);
      }
      if (this.left === 0) {
        this.frameEnd();
        if (this.blockStreamId === 0) this.lastBoundary = at;
      }
    }
  }

  private preface(chunk: Buffer): number {
    const length = Math.min(this.prefaceLeft, chunk.length);
    const from = clientPreface.length - this.prefaceLeft;
    if (clientPreface.compare(chunk, 0, length, from, from + length) !== 0) {
      throw new UntrackableError('not-http2', 'no client preface');
    }
    this.prefaceLeft -= length;
    return length;
  }

  private frameHeader(chunk: Buffer, at: number, end: number): number {
    let header = chunk;
    let from = at;
    if (this.headerLength > 0 || end - at < frameHeaderBytes) {
      const taken = Math.min(frameHeaderBytes - this.headerLength, end - at);
      chunk.copy(this.header, this.headerLength, at, at + taken);
      this.headerLength += taken;
      if (this.headerLength < frameHeaderBytes) return end;
      header = this.header;
      from = 0;
      at += taken;
    } else {
      at += frameHeaderBytes;
    }
    this.headerLength = 0;
    this.frameBytes = this.left = header.readUIntBE(from, 3);
    this.type = header[from + 3] ?? 0;
    this.flags = header[from + 4] ?? 0;
    this.streamId = header.readUInt32BE(from + 5) & 0x7fffffff;
    this.inPayload = true;
    this.heldLength = 0;
    this.padding = 0;
    this.check();
    return at;
  }

  /** What is wrong with a frame by its header alone. */
  private check(): void {
    const { type, streamId, left } = this;
    if (this.blockStreamId !== 0) {
      if (type !== frameType.continuation || streamId !== this.blockStreamId) {
        throw new UntrackableError('frame', 'a header block is interrupted');
      }
    }
    switch (type) {
      case frameType.data:
      case frameType.headers:
      case frameType.pushPromise:
        if (streamId === 0) throw new UntrackableError('frame', `type ${type} on stream 0`);
        if ((this.flags & frameFlag.padded) !== 0) {
          if (left === 0) throw new UntrackableError('frame', 'no room for the pad length');
          this.padding = -1;
        }
        if (type !== frameType.data) this.checkBlockBytes(left);
        return;
      case frameType.continuation:
        if (this.blockStreamId === 0)
          throw new UntrackableError('frame', 'CONTINUATION of nothing');
        this.checkBlockBytes(this.blockLength + left);
        return;
      case frameType.rstStream:
        if (streamId === 0 || left !== 4) throw new UntrackableError('frame', 'RST_STREAM');
        return;
      case frameType.priority:
        if (streamId === 0 || left !== 5) throw new UntrackableError('frame', 'PRIORITY');
        return;
      case frameType.windowUpdate:
        if (left !== 4) throw new UntrackableError('frame', 'WINDOW_UPDATE');
        return;
      case frameType.settings: {
        const ack = (this.flags & frameFlag.ack) !== 0;
        if (streamId !== 0 || left % 6 !== 0 || (ack && left !== 0)) {
          throw new UntrackableError('frame', 'SETTINGS');
        }
        return;
      }
      case frameType.ping:
        if (streamId !== 0 || left !== 8) throw new UntrackableError('frame', 'PING');
        return;
      case frameType.goAway:
        if (streamId !== 0 || left < 8) throw new UntrackableError('frame', 'GOAWAY');
        return;
      default:
        // Unknown types are skipped, as RFC 9113 asks for.
        return;
    }
  }

  private checkBlockBytes(bytes: number): void {
    if (bytes > this.maxHeaderBlockBytes) {
      throw new UntrackableError('header-size', `header block of ${bytes} bytes`);
    }
  }

  private payload(chunk: Buffer, at: number, end: number): number {
    const available = Math.min(this.left, end - at);
    switch (this.type) {
      case frameType.data:
        return this.dataPayload(chunk, at, available);
      case frameType.headers:
      case frameType.pushPromise:
      case frameType.continuation:
        if (this.heldLength === 0 && available === this.left) {
          this.left = 0;
          this.headerPayload(chunk, at, at + available);
        } else {
          this.hold(chunk, at, available, this.frameBytes);
          if (this.left === 0) this.headerPayload(this.held, 0, this.heldLength);
        }
        return at + available;
      case frameType.rstStream:
      case frameType.ping:
      case frameType.goAway:
        this.hold(chunk, at, available, 8);
        return at + available;
      default:
        this.left -= available;
        return at + available;
    }
  }

  private dataPayload(chunk: Buffer, at: number, available: number): number {
    let from = at;
    const stop = at + available;
    if (this.padding < 0) {
      this.padding = chunk[from++] ?? 0;
      if (this.padding >= this.left)
        throw new UntrackableError('frame', 'padding exceeds the frame');
      this.left--;
    }
    const data = Math.min(stop - from, Math.max(0, this.left - this.padding));
    if (data > 0) this.listener.onData(this.streamId, chunk, from, from + data);
    this.left -= stop - from;
    return stop;
  }

  /** Keeps the next bytes of the payload, at most `most` of the whole frame. */
  private hold(chunk: Buffer, at: number, available: number, most: number): void {
    if (this.held.length < Math.min(most, this.frameBytes)) {
      const bigger = Buffer.allocUnsafe(Math.min(most, this.frameBytes));
      this.held.copy(bigger, 0, 0, this.heldLength);
      this.held = bigger;
    }
    const kept = Math.min(available, most - this.heldLength);
    // Most are the eight bytes of a PING, for which Buffer.copy would make an object.
    if (kept > 8) chunk.copy(this.held, this.heldLength, at, at + kept);
    else for (let i = 0; i < kept; i++) this.held[this.heldLength + i] = chunk[at + i] ?? 0;
    this.heldLength += kept;
    this.left -= available;
  }

  /**
   * The payload of HEADERS, PUSH_PROMISE or CONTINUATION in one piece: takes the fragment out of
   * it.
   */
  private headerPayload(input: Buffer, start: number, end: number): void {
    let padding = 0;
    if (this.padding < 0) padding = input[start++] ?? 0;
    if (this.type === frameType.headers && (this.flags & frameFlag.priority) !== 0) start += 5;
    if (this.type === frameType.pushPromise) start += 4;
    end -= padding;
    if (start > end) throw new UntrackableError('frame', 'padding exceeds the frame');
    if (this.type !== frameType.continuation) {
      this.blockEndStream =
        this.type === frameType.headers && (this.flags & frameFlag.endStream) !== 0;
      this.blockPromised = this.type === frameType.pushPromise;
      this.blockLength = 0;
    }
    if ((this.flags & frameFlag.endHeaders) === 0) {
      this.appendToBlock(input, start, end);
      this.blockStreamId = this.streamId;
      return;
    }
    this.blockStreamId = 0;
    if (this.blockLength > 0) {
      this.appendToBlock(input, start, end);
      this.onBlock(this.block, 0, this.blockLength);
      this.blockLength = 0;
      this.block = empty;
    } else {
      this.onBlock(input, start, end);
    }
  }

  private onBlock(block: Buffer, start: number, end: number): void {
    this.listener.onHeaderBlock(
      this.streamId,
      block,
      start,
      end,
      this.blockEndStream,
      this.blockPromised,
    );
  }

  private appendToBlock(input: Buffer, start: number, end: number): void {
    const length = this.blockLength + end - start;
    if (length > this.block.length) {
      const bigger = Buffer.allocUnsafe(Math.max(length, this.block.length * 2));
      this.block.copy(bigger, 0, 0, this.blockLength);
      this.block = bigger;
    }
    input.copy(this.block, this.blockLength, start, end);
    this.blockLength = length;
  }

  private frameEnd(): void {
    this.inPayload = false;
    const { type, flags, streamId, held } = this;
    switch (type) {
      case frameType.data:
        this.listener.onDataEnd(streamId, (flags & frameFlag.endStream) !== 0, this.frameBytes);
        return;
      case frameType.headers:
      case frameType.pushPromise:
      case frameType.continuation:
        // An empty fragment never reached payload().
        if (this.frameBytes === 0) this.headerPayload(empty, 0, 0);
        this.release();
        return;
      case frameType.rstStream:
        this.listener.onRstStream(streamId, held.readUInt32BE(0));
        return;
      case frameType.settings:
        this.listener.onSettings((flags & frameFlag.ack) !== 0);
        return;
      case frameType.ping:
        this.listener.onPing((flags & frameFlag.ack) !== 0, held);
        return;
      case frameType.goAway:
        this.listener.onGoAway(held.readUInt32BE(0) & 0x7fffffff, held.readUInt32BE(4));
        return;
      default:
        return;
    }
  }

  /** Releases the buffer of one large header frame. */
  private release(): void {
    if (this.held.length > 4096) this.held = empty;
    this.heldLength = 0;
  }
}
