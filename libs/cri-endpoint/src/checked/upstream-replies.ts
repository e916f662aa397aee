import { HeldReplies, type HeldReply } from './held-replies';
import type { PipeCall } from './pipe-call';
import { ReplyStatus } from './reply-status';
import { broken, fragmentPlace, type ReplyListener } from './runtime-frames';
import type { UpstreamClient } from './upstream-client';
import type { UpstreamStreams } from './upstream-streams';
import { frameFlag, frameHeaderBytes, frameType } from '../wire/frame-reader';
import type { FrameWriter } from '../wire/frame-writer';
import { headerBlockFrames } from '../wire/header-fields';
import { maxWindow } from '../wire/raw-frames';

/** Window of a connection that HTTP/2 begins with. */
const firstWindowBytes = 65_535;
/** How much of the window that nobody used is given back at once, while that much is left. */
const grantBytes = 16 * 1024;
/** What is kept of replies for which a client has no window before no more is read. */
const maxHeldBytes = 64 * 1024;

/**
 * Replies that come over one connection: they go to the client as they are, but for the number of
 * the stream. Streams are under the client's own flow control; of the window of its connection the
 * runtime gets what the client has given.
 */
export class UpstreamReplies implements ReplyListener {
  /** What the runtime may send of DATA on the whole connection. */
  #granted = firstWindowBytes;
  readonly #held = new HeldReplies();
  readonly #status = new ReplyStatus();

  constructor(
    private readonly client: UpstreamClient,
    private readonly streams: UpstreamStreams,
    private readonly runtime: FrameWriter,
  ) {}

  /** Whether something waits for the client's window. */
  get areHeld(): boolean {
    return !this.#held.isEmpty;
  }

  /** Whether no more is to be read, as the client does not take it. */
  get areStopped(): boolean {
    return this.#held.bytes > maxHeldBytes || this.client.isFull;
  }

  onReply(
    type: number,
    flags: number,
    streamId: number,
    input: Buffer,
    start: number,
    end: number,
  ): void {
    const call = this.streams.find(streamId);
    const isData = type === frameType.data;
    if (isData) {
      this.#granted -= end - start;
      if (this.#granted < 0) broken('more DATA than the window allows');
    }
    if (call === undefined) {
      // Nobody waits for it: the window that it took is free again.
      if (isData) this.#giveBack();
      return;
    }
    input.writeUInt32BE(call.streamId, start - 4);
    if (call.heldReplies > 0 || (isData && this.client.window < end - start)) {
      const frames = Buffer.from(input.subarray(start - frameHeaderBytes, end));
      this.#held.push({ call, type, flags, frames });
      return;
    }
    this.#deliver(call, type, flags, input, start, end);
  }

  onLongBlock(streamId: number, endStream: boolean, framed: Buffer): void {
    const call = this.streams.find(streamId);
    if (call === undefined) return;
    const flags = endStream ? frameFlag.endStream : 0;
    const frames = Buffer.concat(headerBlockFrames(framed, call.streamId, flags));
    const block = framed.subarray(frameHeaderBytes);
    const reply: HeldReply = { call, type: frameType.headers, flags, frames, block };
    if (call.heldReplies > 0) this.#held.push(reply);
    else this.#deliverBlock(reply, block);
  }

  /** Gives the runtime what the client takes, when that is at least `least` more than it has. */
  grant(least = 1): void {
    const more = Math.min(maxWindow, this.client.window - this.#held.dataBytes) - this.#granted;
    if (more < least) return;
    this.#granted += more;
    this.runtime.uint32(frameType.windowUpdate, 0, more);
  }

  /** Passes on what was held, as far as the client's window allows; false: nothing was. */
  release(): boolean {
    if (this.#held.isEmpty) return false;
    let next = this.#held.shift(this.client.window);
    while (next !== undefined) {
      const { call, type, flags, frames, block } = next;
      if (block !== undefined) this.#deliverBlock(next, block);
      else this.#deliver(call, type, flags, frames, frameHeaderBytes, frames.length);
      next = this.#held.shift(this.client.window);
    }
    return true;
  }

  /** Drops what is held of a call that is over. */
  drop(call: PipeCall): void {
    this.#held.drop(call);
    this.#giveBack();
  }

  /** Drops all that is held. */
  clear(): void {
    this.#held.clear();
  }

  /** Not for each frame, but never so late that the runtime waits for it. */
  #giveBack(): void {
    this.grant(this.#granted < grantBytes ? 1 : grantBytes);
  }

  #deliver(
    call: PipeCall,
    type: number,
    flags: number,
    input: Buffer,
    start: number,
    end: number,
  ): void {
    const { writer } = this.client;
    if (type === frameType.data) {
      this.#countData(call, flags, input, start, end);
    } else if (type === frameType.headers) {
      const place = fragmentPlace(flags, input, start, end);
      this.#note(call, flags, input, place.start, place.end);
    }
    writer.bytes(input, start - frameHeaderBytes, end);
    if (type === frameType.rstStream) this.client.runtimeReset(call);
    else if ((flags & frameFlag.endStream) !== 0) this.client.answerEnded(call);
  }

  #deliverBlock({ call, flags, frames }: HeldReply, block: Buffer): void {
    this.#note(call, flags, block, 0, block.length);
    this.client.writer.bytes(frames, 0, frames.length);
    if ((flags & frameFlag.endStream) !== 0) this.client.answerEnded(call);
  }

  #countData(call: PipeCall, flags: number, input: Buffer, start: number, end: number): void {
    this.client.sendsData(call, end - start);
    let from = start;
    let to = end;
    if ((flags & frameFlag.padded) !== 0) to -= input[from++] ?? 0;
    call.responseBytes += to - from;
    call.tap?.response(input.subarray(from, to));
  }

  #note(call: PipeCall, flags: number, input: Buffer, start: number, end: number): void {
    if ((flags & frameFlag.endStream) !== 0) this.#status.end(call, input, start, end);
    else this.#status.head(call, input, start, end);
  }
}
