import type { PipeCall } from './pipe-call';
import { broken } from './runtime-frames';
import { messagePrefixBytes } from '../grpc-wire';
import { frameFlag, frameHeaderBytes, frameType } from '../wire/frame-reader';
import { maxFrameBytes } from '../wire/frame-splitter';
import { putFrameHeader, type FrameWriter } from '../wire/frame-writer';
import { maxWindow } from '../wire/raw-frames';

const firstWindowBytes = 65_535;
/** Messages up to this size are put together in the writer's memory. */
const shortMessageBytes = 4 * 1024;
const none = Buffer.alloc(0);

/** The connection that uploads go over. */
export interface UploadTarget {
  /** Whether the runtime does not take what is sent to it. */
  readonly isFull: boolean;
  /** DATA of the client was taken. */
  consumed(call: PipeCall, bytes: number): void;
}

/** Sends DATA of requests to the runtime, as far as its windows allow. */
export class Uploads {
  /** What the runtime takes on the whole connection, and of each new stream. */
  #window = firstWindowBytes;
  #streamWindow = firstWindowBytes;
  /** Calls whose DATA waits. */
  readonly #blocked = new Set<PipeCall>();

  constructor(
    private readonly writer: FrameWriter,
    private readonly target: UploadTarget,
  ) {}

  /** The call has a stream from now on. */
  begin(call: PipeCall): void {
    call.uploadWindow = this.#streamWindow;
  }

  /** DATA of the client, for a call that has a stream. */
  data(call: PipeCall, input: Buffer, start: number, end: number): void {
    const bytes = end - start;
    if (call.upload.length === 0 && this.#takes(call, bytes)) {
      this.#write(call, input, start, end, call.uploadEnded);
      this.target.consumed(call, bytes);
      return;
    }
    keep(call, input, start, end);
    this.goOn(call);
  }

  /** The message that was understood, which is all of the request. */
  message(call: PipeCall, message: Uint8Array): void {
    const bytes = messagePrefixBytes + message.length;
    call.uploadEnded = true;
    const { writer } = this;
    if (bytes <= shortMessageBytes && this.#takes(call, bytes)) {
      const at = writer.reserve(frameHeaderBytes + bytes);
      const from = at + frameHeaderBytes;
      const flags = frameFlag.endStream;
      putFrameHeader(writer.slab, at, frameType.data, flags, call.upstreamId, bytes);
      putMessage(writer.slab, from, message);
      call.tap?.request(writer.slab.subarray(from, from + bytes));
      this.#window -= bytes;
      call.uploadWindow -= bytes;
      return;
    }
    const framed = Buffer.allocUnsafe(bytes);
    putMessage(framed, 0, message);
    call.tap?.request(framed);
    call.upload.push(framed);
    this.goOn(call);
  }

  /** Sends what the windows allow of the DATA that waits, and the end after the last of it. */
  goOn(call: PipeCall): void {
    const { upload } = call;
    let first = upload[0];
    if (first === undefined && call.uploadEnded) this.#write(call, none, 0, 0, true);
    while (first !== undefined) {
      const room = Math.min(this.#window, call.uploadWindow, maxFrameBytes);
      const bytes = this.target.isFull ? 0 : Math.min(room, first.length);
      if (bytes <= 0) {
        this.#blocked.add(call);
        return;
      }
      const isWhole = bytes === first.length;
      const isLast = isWhole && upload.length === 1 && call.uploadEnded;
      this.#write(call, first, 0, bytes, isLast);
      // What was looked at here was taken when it came.
      if (call.check === undefined) this.target.consumed(call, bytes);
      if (isWhole) upload.shift();
      else upload[0] = first.subarray(bytes);
      first = upload[0];
    }
    this.#blocked.delete(call);
  }

  /** All that waited goes on. */
  goOnAll(): void {
    for (const call of [...this.#blocked]) this.goOn(call);
  }

  forget(call: PipeCall): void {
    this.#blocked.delete(call);
  }

  /** The runtime takes more on the whole connection. */
  window(bytes: number): void {
    this.#window += bytes;
    if (this.#window > maxWindow) broken('a window that is too large');
    this.goOnAll();
  }

  /** The runtime takes more of a stream. */
  streamWindow(call: PipeCall, bytes: number): void {
    call.uploadWindow += bytes;
    if (call.uploadWindow > maxWindow) broken('a window that is too large');
    if (call.upload.length > 0) this.goOn(call);
  }

  /** The runtime's SETTINGS_INITIAL_WINDOW_SIZE. */
  firstStreamWindow(bytes: number, calls: Iterable<PipeCall>): void {
    if (bytes > maxWindow) broken('INITIAL_WINDOW_SIZE');
    const more = bytes - this.#streamWindow;
    this.#streamWindow = bytes;
    for (const call of calls) {
      call.uploadWindow += more;
      if (call.upload.length > 0) this.#blocked.add(call);
    }
  }

  #takes(call: PipeCall, bytes: number): boolean {
    return bytes <= this.#window && bytes <= call.uploadWindow && !this.target.isFull;
  }

  #write(call: PipeCall, input: Buffer, start: number, end: number, endStream: boolean): void {
    const bytes = end - start;
    const { writer } = this;
    this.#window -= bytes;
    call.uploadWindow -= bytes;
    writer.header(frameType.data, endStream ? frameFlag.endStream : 0, call.upstreamId, bytes);
    if (bytes > 0) writer.bytes(input, start, end);
  }
}

/** Keeps DATA until there is room for it. A copy, so that a few bytes do not keep a whole chunk. */
export function keep(call: PipeCall, input: Buffer, start: number, end: number): void {
  if (end > start) call.upload.push(Buffer.from(input.subarray(start, end)));
}

function putMessage(out: Buffer, at: number, message: Uint8Array): void {
  out[at] = 0;
  out.writeUInt32BE(message.length, at + 1);
  out.set(message, at + messagePrefixBytes);
}
