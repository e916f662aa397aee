import type { AnswerEnd } from './local-answer';
import type { PipeCall } from './pipe-call';
import { maxHeaderListBytes } from './request-head';
import { receiveWindowBytes } from './request-windows';
import { maxCallsPerConnection } from '../client-share';
import { encodeGrpcMessage } from '../grpc-wire';
import { frameFlag, frameHeaderBytes, frameType } from '../wire/frame-reader';
import { putFrameHeader, type FrameWriter } from '../wire/frame-writer';
import { headerBlock } from '../wire/header-fields';
import { errorCode } from '../wire/http2-error';
import { goAwayFrame } from '../wire/raw-frames';

/** Window of a connection that HTTP/2 begins with. */
const firstWindowBytes = 65_535;
/** Longest status text, in bytes before escaping, so that it fits into one frame. */
const maxTextBytes = 2_048;

const setting = { maxCalls: 0x3, maxHeaders: 0x6 };

/** What every client is sent first: its limits, and the window of the connection. */
const greeting = ((): Buffer => {
  const settingsBytes = 12;
  const out = Buffer.alloc(2 * frameHeaderBytes + settingsBytes + 4);
  putFrameHeader(out, 0, frameType.settings, 0, 0, settingsBytes);
  out.writeUInt16BE(setting.maxCalls, frameHeaderBytes);
  out.writeUInt32BE(maxCallsPerConnection, frameHeaderBytes + 2);
  out.writeUInt16BE(setting.maxHeaders, frameHeaderBytes + 6);
  out.writeUInt32BE(maxHeaderListBytes, frameHeaderBytes + 8);
  const window = frameHeaderBytes + settingsBytes;
  putFrameHeader(out, window, frameType.windowUpdate, 0, 0, 4);
  out.writeUInt32BE(receiveWindowBytes - firstWindowBytes, window + frameHeaderBytes);
  return out;
})();

const headFields = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
] as const;
const answerHead = headerBlock(headFields);
const okTrailers = headerBlock([['grpc-status', '0']]);

/** Frames to a client that do not come from the runtime. */
export class ClientReplies {
  #hasGreeted = false;

  constructor(private readonly writer: FrameWriter) {}

  /** Our SETTINGS, once. */
  greet(): void {
    if (this.#hasGreeted) return;
    this.#hasGreeted = true;
    this.writer.bytes(greeting, 0, greeting.length);
  }

  settingsAck(): void {
    this.writer.header(frameType.settings, frameFlag.ack, 0, 0);
  }

  /** The answer to a PING whose payload begins at `start`. */
  pong(input: Buffer, start: number): void {
    this.writer.header(frameType.ping, frameFlag.ack, 0, 8);
    this.writer.bytes(input, start, start + 8);
  }

  reset(streamId: number, code: number): void {
    this.writer.uint32(frameType.rstStream, streamId, code);
  }

  goAway(lastStreamId: number, code: number = errorCode.noError): void {
    const frame = goAwayFrame(lastStreamId, code);
    this.writer.bytes(frame, 0, frame.length);
  }

  /** Response headers, unless the client has some. */
  head(call: PipeCall): void {
    if (call.headersSent) return;
    call.headersSent = true;
    this.#headers(call.streamId, frameFlag.endHeaders, answerHead);
  }

  /**
   * The end of an answer: trailers, or a reply of nothing else. A request that goes on is cut off,
   * for nobody waits for the rest of it.
   */
  end(call: PipeCall, { code, message, extra = {} }: AnswerEnd): void {
    const text = Buffer.from(message, 'utf8').subarray(0, maxTextBytes).toString('utf8');
    const block =
      code === 0 && call.headersSent && text === ''
        ? okTrailers
        : headerBlock([
            ...(call.headersSent ? [] : headFields),
            ['grpc-status', String(code)],
            ...(text === '' ? [] : [['grpc-message', encodeGrpcMessage(text)] as const]),
            ...Object.entries(extra),
          ]);
    this.#headers(call.streamId, frameFlag.endHeaders | frameFlag.endStream, block);
    call.answerEnded = true;
    if (!call.requestEnded) this.reset(call.streamId, errorCode.noError);
  }

  #headers(streamId: number, flags: number, block: Buffer): void {
    this.writer.header(frameType.headers, flags, streamId, block.length);
    this.writer.bytes(block, 0, block.length);
  }
}
