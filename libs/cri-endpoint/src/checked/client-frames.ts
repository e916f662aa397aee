import { HeadReader, type RequestHead } from './request-head';
import { frameFlag, frameType } from '../wire/frame-reader';
import { FrameSplitter } from '../wire/frame-splitter';
import { errorCode, Http2Error } from '../wire/http2-error';
import { maxWindow } from '../wire/raw-frames';
import { UntrackableError } from '../wire/untrackable-error';

/** CONTINUATION frames of a header block, as nghttp2 allows them. */
const maxContinuations = 8;

/** SETTINGS of HTTP/2 that concern the way from the runtime to the client. */
const setting = { enablePush: 0x2, initialWindowSize: 0x4, maxFrameSize: 0x5, maxHeaderList: 0x6 };

/** What a client has said of itself in SETTINGS. */
export interface ClientSettings {
  /** Window of each stream to it. */
  readonly initialWindowBytes: number;
  /** Longest header list it takes; undefined: it has not said. */
  readonly maxHeaderListBytes: number | undefined;
}

/** What a client sent, understood. Slices of `input` are valid until the next chunk is pushed. */
export interface ClientListener {
  /** A request, or undefined for one that breaks RFC 9113; or trailers, for a stream known. */
  onHead(streamId: number, head: RequestHead | undefined, endStream: boolean): void;
  /** Whether a header block for this stream is trailers. */
  isKnown(streamId: number): boolean;
  onTrailers(streamId: number, endStream: boolean, isValid: boolean): void;
  /** `windowBytes`: what it takes of the windows, padding included. */
  onData(
    streamId: number,
    input: Buffer,
    start: number,
    end: number,
    endStream: boolean,
    windowBytes: number,
  ): void;
  onReset(streamId: number, code: number): void;
  onWindow(streamId: number, bytes: number): void;
  onSettings(settings: ClientSettings): void;
  onPing(input: Buffer, start: number): void;
  /** A frame that is of no use; it counts. */
  onIdle(): void;
}

/**
 * Reads what a client sends, strictly. A frame that RFC 9113 forbids, that has no place where it
 * stands, or whose type is not known is an {@link Http2Error}.
 */
export class ClientFrames {
  readonly #splitter = new FrameSplitter(
    (type, flags, streamId, input, start, end) =>
      this.#onFrame(type, flags, streamId, input, start, end),
    { preface: true },
  );
  #heads: HeadReader | undefined;
  #settings: ClientSettings = { initialWindowBytes: 65_535, maxHeaderListBytes: undefined };
  #sawSettings = false;

  // A header block that is continued in further frames.
  #blockStreamId = 0;
  #blockEndStream = false;
  #block: Buffer[] = [];

  constructor(private readonly listener: ClientListener) {}

  get settings(): ClientSettings {
    return this.#settings;
  }

  /** Whether the client has begun in HTTP/2. */
  get hasBegun(): boolean {
    return !this.#splitter.awaitsPreface;
  }

  /** Whether a beginning, or a header block, is there in part. */
  get isUnfinished(): boolean {
    const { heldType } = this.#splitter;
    return !this.#sawSettings || this.#blockStreamId !== 0 || heldType === frameType.headers;
  }

  /** @throws {Http2Error} */
  push(chunk: Buffer): void {
    this.#splitter.push(chunk);
  }

  stop(): void {
    this.#splitter.stop();
    this.#block = [];
  }

  #onFrame(
    type: number,
    flags: number,
    streamId: number,
    input: Buffer,
    start: number,
    end: number,
  ): void {
    if (this.#blockStreamId !== 0 && type !== frameType.continuation) {
      throw new Http2Error(errorCode.protocolError, 'a header block is interrupted');
    }
    if (!this.#sawSettings && type !== frameType.settings) {
      throw new Http2Error(errorCode.protocolError, 'SETTINGS do not come first');
    }
    switch (type) {
      case frameType.data:
        this.#data(flags, streamId, input, start, end);
        return;
      case frameType.headers:
        this.#headers(flags, streamId, input, start, end);
        return;
      case frameType.continuation:
        this.#continuation(flags, streamId, input, start, end);
        return;
      case frameType.rstStream:
        checkFrame(streamId !== 0, end - start === 4, 'RST_STREAM');
        this.listener.onReset(streamId, input.readUInt32BE(start));
        return;
      case frameType.settings:
        this.#onSettings(flags, streamId, input, start, end);
        return;
      case frameType.ping:
        checkFrame(streamId === 0, end - start === 8, 'PING');
        // Nobody here sends one, so an acknowledgement is of no use.
        if ((flags & frameFlag.ack) !== 0) this.listener.onIdle();
        else this.listener.onPing(input, start);
        return;
      case frameType.windowUpdate: {
        checkFrame(true, end - start === 4, 'WINDOW_UPDATE');
        const bytes = input.readUInt32BE(start) & maxWindow;
        if (bytes === 0) throw new Http2Error(errorCode.protocolError, 'WINDOW_UPDATE of nothing');
        this.listener.onWindow(streamId, bytes);
        return;
      }
      case frameType.priority:
        checkFrame(streamId !== 0, end - start === 5, 'PRIORITY');
        this.listener.onIdle();
        return;
      case frameType.goAway:
        // The client takes no streams of ours, of which there are none.
        checkFrame(streamId === 0, end - start >= 8, 'GOAWAY');
        this.listener.onIdle();
        return;
      default:
        throw new Http2Error(errorCode.protocolError, `a frame of type ${type}`);
    }
  }

  #data(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    const bytes = end - start;
    if (streamId === 0) throw new Http2Error(errorCode.protocolError, 'DATA on stream 0');
    if ((flags & frameFlag.padded) !== 0) {
      end -= paddingOf(input, start, end);
      start++;
    }
    const endStream = (flags & frameFlag.endStream) !== 0;
    this.listener.onData(streamId, input, start, end, endStream, bytes);
  }

  #headers(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    if (streamId % 2 === 0) throw new Http2Error(errorCode.protocolError, 'HEADERS on that stream');
    if ((flags & frameFlag.padded) !== 0) {
      end -= paddingOf(input, start, end);
      start++;
    }
    if ((flags & frameFlag.priority) !== 0) {
      if (end - start < 5) throw new Http2Error(errorCode.frameSizeError, 'no room for priority');
      start += 5;
    }
    const endStream = (flags & frameFlag.endStream) !== 0;
    if ((flags & frameFlag.endHeaders) !== 0) {
      this.#onBlock(streamId, input, start, end, endStream);
      return;
    }
    this.#blockStreamId = streamId;
    this.#blockEndStream = endStream;
    this.#block = [Buffer.from(input.subarray(start, end))];
  }

  #continuation(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    if (streamId === 0 || streamId !== this.#blockStreamId) {
      throw new Http2Error(errorCode.protocolError, 'CONTINUATION of nothing');
    }
    if (this.#block.length > maxContinuations) {
      throw new Http2Error(errorCode.enhanceYourCalm, 'a header block of too many frames');
    }
    this.#block.push(Buffer.from(input.subarray(start, end)));
    if ((flags & frameFlag.endHeaders) === 0) return;
    const block = Buffer.concat(this.#block);
    this.#block = [];
    this.#blockStreamId = 0;
    this.#onBlock(streamId, block, 0, block.length, this.#blockEndStream);
  }

  #onBlock(streamId: number, input: Buffer, start: number, end: number, endStream: boolean): void {
    this.#heads ??= new HeadReader();
    try {
      if (this.listener.isKnown(streamId)) {
        const isValid = this.#heads.trailers(input, start, end);
        this.listener.onTrailers(streamId, endStream, isValid);
      } else {
        this.listener.onHead(streamId, this.#heads.request(input, start, end), endStream);
      }
    } catch (error) {
      if (!(error instanceof UntrackableError)) throw error;
      throw new Http2Error(errorCode.compressionError, error.message);
    }
  }

  #onSettings(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    const isAck = (flags & frameFlag.ack) !== 0;
    checkFrame(streamId === 0, (end - start) % 6 === 0 && !(isAck && end > start), 'SETTINGS');
    if (isAck) {
      if (!this.#sawSettings) throw new Http2Error(errorCode.protocolError, 'no SETTINGS first');
      this.listener.onIdle();
      return;
    }
    this.#sawSettings = true;
    let { initialWindowBytes, maxHeaderListBytes } = this.#settings;
    for (let at = start; at < end; at += 6) {
      const value = input.readUInt32BE(at + 2);
      switch (input.readUInt16BE(at)) {
        case setting.enablePush:
          if (value > 1) throw new Http2Error(errorCode.protocolError, 'ENABLE_PUSH');
          break;
        case setting.initialWindowSize:
          if (value > maxWindow) {
            throw new Http2Error(errorCode.flowControlError, 'INITIAL_WINDOW_SIZE');
          }
          initialWindowBytes = value;
          break;
        case setting.maxFrameSize:
          if (value < 16_384 || value > 0xffffff) {
            throw new Http2Error(errorCode.protocolError, 'MAX_FRAME_SIZE');
          }
          break;
        case setting.maxHeaderList:
          maxHeaderListBytes = value;
          break;
        default:
          // The rest is about what the client is never sent.
          break;
      }
    }
    this.#settings = { initialWindowBytes, maxHeaderListBytes };
    this.listener.onSettings(this.#settings);
  }
}

/** Bytes of padding, its length byte not included. */
function paddingOf(input: Buffer, start: number, end: number): number {
  if (start === end) throw new Http2Error(errorCode.frameSizeError, 'no room for the pad length');
  const padding = input[start] ?? 0;
  if (padding > end - start - 1) {
    throw new Http2Error(errorCode.protocolError, 'padding exceeds the frame');
  }
  return padding;
}

function checkFrame(isRightStream: boolean, isRightLength: boolean, name: string): void {
  if (!isRightLength) throw new Http2Error(errorCode.frameSizeError, `${name} of a wrong length`);
  if (!isRightStream) throw new Http2Error(errorCode.protocolError, `${name} on a wrong stream`);
}
