import { decodeGrpcMessage } from '../grpc-wire';
import { HpackDecoder } from '../wire/hpack-decoder';
import { sameBytes } from '../wire/same-bytes';
import type { PipeCall } from './pipe-call';

const none = Buffer.alloc(0);

/**
 * Reads what the runtime's header blocks say about a call. Each block stands for itself, as the
 * runtime was told to use no table, and one that does is an UntrackableError. Most are the same as
 * the one before, and are not decoded again.
 */
export class ReplyStatus {
  readonly #decoder = new HpackDecoder(0);
  #httpStatus = 0;
  #grpcStatus: number | undefined;
  #grpcMessage: string | undefined;
  // The headers and trailers decoded last.
  #head = none;
  #trailers = none;
  #lastStatus: number | undefined;
  #lastMessage: string | undefined;

  /** Response headers. */
  head(call: PipeCall, input: Buffer, start: number, end: number): void {
    if (!sameBytes(this.#head, 0, this.#head.length, input, start, end)) {
      this.#decode(input, start, end);
      // Those of an interim response do not count.
      if (this.#httpStatus < 200) return;
      this.#head = Buffer.from(input.subarray(start, end));
    }
    call.headersSent = true;
  }

  /** Trailers, or the headers of a reply without anything else. */
  end(call: PipeCall, input: Buffer, start: number, end: number): void {
    if (!sameBytes(this.#trailers, 0, this.#trailers.length, input, start, end)) {
      this.#decode(input, start, end);
      this.#lastStatus = this.#grpcStatus;
      this.#lastMessage = this.#grpcMessage;
      this.#trailers = Buffer.from(input.subarray(start, end));
    }
    call.grpcStatus = this.#lastStatus;
    if (call.tap !== undefined && this.#lastMessage !== undefined) {
      call.grpcMessage = decodeGrpcMessage(this.#lastMessage);
    }
  }

  #decode(input: Buffer, start: number, end: number): void {
    this.#httpStatus = 0;
    this.#grpcStatus = undefined;
    this.#grpcMessage = undefined;
    this.#decoder.decode(input, start, end, (name, value) => {
      if (name === ':status') this.#httpStatus = Number(value);
      else if (name === 'grpc-status' && /^\d{1,4}$/.test(value)) this.#grpcStatus = Number(value);
      else if (name === 'grpc-message') this.#grpcMessage = value;
    });
  }
}
