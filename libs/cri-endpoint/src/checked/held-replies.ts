import { frameHeaderBytes, frameType } from '../wire/frame-reader';
import type { PipeCall } from './pipe-call';

/** A reply that waits for the client's window. */
export interface HeldReply {
  readonly call: PipeCall;
  readonly type: number;
  readonly flags: number;
  /** The whole frame, or the frames of a header block. */
  readonly frames: Buffer;
  /** The header block, where it came in several frames. */
  readonly block?: Buffer;
}

/**
 * Replies of the runtime for which the client has no window, and what follows them in their calls.
 */
export class HeldReplies {
  #replies: HeldReply[] = [];
  /** Memory that they take. */
  bytes = 0;
  /** DATA among them, as windows count it. */
  dataBytes = 0;

  get isEmpty(): boolean {
    return this.#replies.length === 0;
  }

  push(reply: HeldReply): void {
    this.#replies.push(reply);
    reply.call.heldReplies++;
    this.bytes += reply.frames.length;
    this.dataBytes += dataBytesOf(reply);
  }

  /** Takes the next one out, if the client's window has room for it. */
  shift(window: number): HeldReply | undefined {
    const [next] = this.#replies;
    if (next === undefined || dataBytesOf(next) > window) return undefined;
    this.#replies.shift();
    this.#took(next);
    return next;
  }

  /** Drops those of a call that is over. */
  drop(call: PipeCall): void {
    if (call.heldReplies === 0) return;
    this.#replies = this.#replies.filter((reply) => {
      if (reply.call === call) this.#took(reply);
      return reply.call !== call;
    });
  }

  clear(): void {
    for (const reply of this.#replies.splice(0)) this.#took(reply);
  }

  #took(reply: HeldReply): void {
    reply.call.heldReplies--;
    this.bytes -= reply.frames.length;
    this.dataBytes -= dataBytesOf(reply);
  }
}

function dataBytesOf({ type, frames }: HeldReply): number {
  return type === frameType.data ? frames.length - frameHeaderBytes : 0;
}
