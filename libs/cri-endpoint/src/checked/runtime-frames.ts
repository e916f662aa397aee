import { frameFlag, frameHeaderBytes, frameType } from '../wire/frame-reader';
import { FrameSplitter, type OnFrame } from '../wire/frame-splitter';
import { errorCode, Http2Error } from '../wire/http2-error';
import { maxStreamId, maxWindow } from '../wire/raw-frames';

/** Largest response header block. */
const maxBlockBytes = 256 * 1024;

/** Replies of the runtime. Slices of `input` are valid until the next chunk is pushed. */
export interface ReplyListener {
  /** A whole DATA, HEADERS or RST_STREAM frame of a call; a header block is whole in it. */
  readonly onReply: OnFrame;
  /** A header block that came in several frames, behind room for the header of a frame. */
  onLongBlock(streamId: number, endStream: boolean, block: Buffer): void;
}

/** What else the runtime sent. Slices of `input` are valid until the next chunk is pushed. */
export interface RuntimeListener {
  /** One value of SETTINGS; {@link onSettingsEnd} follows the last one. */
  onSetting(id: number, value: number): void;
  onSettingsEnd(): void;
  onSettingsAck(): void;
  onPing(input: Buffer, start: number, end: number): void;
  onGoAway(lastStreamId: number): void;
  onWindow(streamId: number, bytes: number): void;
}

/**
 * Reads what a runtime sends. A frame that RFC 9113 forbids is an {@link Http2Error}; those of an
 * unknown type are skipped.
 */
export class RuntimeFrames {
  readonly #splitter = new FrameSplitter(
    (type, flags, streamId, input, start, end) =>
      this.#onFrame(type, flags, streamId, input, start, end),
    { preface: false },
  );
  #sawSettings = false;

  // A header block that is continued in further frames.
  #blockStreamId = 0;
  #blockEndStream = false;
  #block: Buffer[] = [];
  #blockBytes = 0;

  constructor(
    private readonly replies: ReplyListener,
    private readonly listener: RuntimeListener,
  ) {}

  /** @throws {Http2Error} */
  push(chunk: Buffer): void {
    this.#splitter.push(chunk);
  }

  stop(): void {
    this.#splitter.stop();
  }

  #onFrame(
    type: number,
    flags: number,
    streamId: number,
    input: Buffer,
    start: number,
    end: number,
  ): void {
    const bytes = end - start;
    if (this.#blockStreamId !== 0) {
      if (type !== frameType.continuation || streamId !== this.#blockStreamId) {
        broken('a header block is interrupted');
      }
      this.#continuation(flags, streamId, input, start, end);
      return;
    }
    if (!this.#sawSettings && type !== frameType.settings) broken('SETTINGS do not come first');
    switch (type) {
      case frameType.data:
        if ((flags & frameFlag.padded) !== 0 && (bytes === 0 || (input[start] ?? 0) >= bytes)) {
          broken('padding');
        }
        this.replies.onReply(type, flags, streamId, input, start, end);
        return;
      case frameType.headers:
        if ((flags & frameFlag.endHeaders) !== 0) {
          this.replies.onReply(type, flags, streamId, input, start, end);
        } else {
          this.#beginBlock(flags, streamId, input, start, end);
        }
        return;
      case frameType.rstStream:
        if (bytes !== 4) broken('RST_STREAM');
        this.replies.onReply(type, flags, streamId, input, start, end);
        return;
      case frameType.settings:
        this.#settings(flags, streamId, input, start, end);
        return;
      case frameType.ping:
        if (bytes !== 8 || streamId !== 0) broken('PING');
        if ((flags & frameFlag.ack) === 0) this.listener.onPing(input, start, end);
        return;
      case frameType.goAway:
        if (bytes < 8 || streamId !== 0) broken('GOAWAY');
        this.listener.onGoAway(input.readUInt32BE(start) & maxStreamId);
        return;
      case frameType.windowUpdate:
        if (bytes !== 4) broken('WINDOW_UPDATE');
        this.listener.onWindow(streamId, input.readUInt32BE(start) & maxWindow);
        return;
      case frameType.pushPromise:
      case frameType.continuation:
        return broken(`a frame of type ${type}`);
      default:
        return;
    }
  }

  #beginBlock(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    const place = fragmentPlace(flags, input, start, end);
    this.#blockStreamId = streamId;
    this.#blockEndStream = (flags & frameFlag.endStream) !== 0;
    this.#blockBytes = end - start;
    this.#block = [
      Buffer.alloc(frameHeaderBytes),
      Buffer.from(input.subarray(place.start, place.end)),
    ];
  }

  #continuation(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    this.#blockBytes += end - start + frameHeaderBytes;
    if (this.#blockBytes > maxBlockBytes) broken('a header block that is too large');
    this.#block.push(Buffer.from(input.subarray(start, end)));
    if ((flags & frameFlag.endHeaders) === 0) return;
    const block = Buffer.concat(this.#block);
    this.#blockStreamId = 0;
    this.#block = [];
    this.replies.onLongBlock(streamId, this.#blockEndStream, block);
  }

  #settings(flags: number, streamId: number, input: Buffer, start: number, end: number): void {
    if (streamId !== 0 || (end - start) % 6 !== 0) broken('SETTINGS');
    if ((flags & frameFlag.ack) !== 0) {
      if (!this.#sawSettings) broken('SETTINGS do not come first');
      this.listener.onSettingsAck();
      return;
    }
    this.#sawSettings = true;
    for (let at = start; at < end; at += 6) {
      this.listener.onSetting(input.readUInt16BE(at), input.readUInt32BE(at + 2));
    }
    this.listener.onSettingsEnd();
  }
}

/** The runtime broke HTTP/2. */
export function broken(what: string): never {
  throw new Http2Error(errorCode.protocolError, what);
}

/** The fragment of a HEADERS frame, without padding and priority. */
export function fragmentPlace(
  flags: number,
  input: Buffer,
  start: number,
  end: number,
): { start: number; end: number } {
  let padding = 0;
  if ((flags & frameFlag.padded) !== 0) padding = input[start++] ?? 0;
  if ((flags & frameFlag.priority) !== 0) start += 5;
  if (start > end - padding) broken('padding');
  return { start, end: end - padding };
}
