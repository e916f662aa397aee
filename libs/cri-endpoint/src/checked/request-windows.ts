import type { PipeCall } from './pipe-call';
import { frameType } from '../wire/frame-reader';
import type { FrameWriter } from '../wire/frame-writer';
import { errorCode, Http2Error } from '../wire/http2-error';

/** Window of a connection for requests, and how much of it is given back at once. */
export const receiveWindowBytes = 1024 * 1024;
const creditBytes = 256 * 1024;
/** The same for a stream, which has the window that HTTP/2 begins with. */
const streamCreditBytes = 32 * 1024;

/** What a client may send of DATA: the windows of its connection and of its streams. */
export class RequestWindows {
  #left = receiveWindowBytes;
  #takenBytes = 0;

  constructor(private readonly writer: FrameWriter) {}

  /**
   * DATA has come, for a call that goes on or for none.
   * @throws {Http2Error} when it is more than the client may send
   */
  came(call: PipeCall | undefined, bytes: number): void {
    this.#left -= bytes;
    if (call !== undefined) call.receiveWindow -= bytes;
    if (this.#left < 0 || (call !== undefined && call.receiveWindow < 0)) {
      throw new Http2Error(errorCode.flowControlError, 'more DATA than the window allows');
    }
  }

  /** DATA was taken, so that the client may send as much again. */
  taken(call: PipeCall | undefined, bytes: number): void {
    this.#takenBytes += bytes;
    if (this.#takenBytes >= creditBytes) {
      this.writer.uint32(frameType.windowUpdate, 0, this.#takenBytes);
      this.#left += this.#takenBytes;
      this.#takenBytes = 0;
    }
    if (call === undefined || call.requestEnded) return;
    call.takenBytes += bytes;
    if (call.takenBytes < streamCreditBytes) return;
    this.writer.uint32(frameType.windowUpdate, call.streamId, call.takenBytes);
    call.receiveWindow += call.takenBytes;
    call.takenBytes = 0;
  }
}
