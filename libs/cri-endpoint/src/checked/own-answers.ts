import type { ClientReplies } from './client-replies';
import type { AnswerSink } from './local-answer';
import type { PipeCall } from './pipe-call';
import { frameType } from '../wire/frame-reader';
import { maxFrameBytes } from '../wire/frame-splitter';
import type { FrameWriter } from '../wire/frame-writer';

/** The connection that answers go over. */
export interface AnswerTarget {
  readonly writer: FrameWriter;
  readonly replies: ClientReplies;
  /** What the client takes of DATA on the whole connection. */
  readonly window: number;
  /** Whether the client does not take what is sent to it. */
  readonly isFull: boolean;
  sendsData(call: PipeCall, bytes: number): void;
  finish(call: PipeCall): void;
  flush(): void;
}

/** Sends the answers of handlers to a client, as far as its windows allow. */
export class OwnAnswers implements AnswerSink {
  /** Calls whose answers wait. */
  readonly #blocked = new Set<PipeCall>();

  constructor(private readonly target: AnswerTarget) {}

  pump(call: PipeCall): void {
    const { local } = call;
    if (local === undefined || call.isOver) return;
    const { writer, replies } = this.target;
    const { waiting } = local;
    let first = waiting[0];
    if (first !== undefined) replies.head(call);
    while (first !== undefined) {
      const room = Math.min(this.target.window, call.sendWindow, maxFrameBytes);
      if (room <= 0 || this.target.isFull) {
        this.#blocked.add(call);
        return;
      }
      const bytes = Math.min(room, first.length);
      writer.header(frameType.data, 0, call.streamId, bytes);
      writer.bytes(first, 0, bytes);
      this.target.sendsData(call, bytes);
      if (bytes === first.length) waiting.shift();
      else waiting[0] = first.subarray(bytes);
      local.sent(bytes);
      first = waiting[0];
    }
    this.#blocked.delete(call);
    if (local.end === undefined) return;
    call.outcome = 'completed';
    replies.end(call, local.end);
    local.isWritten = true;
    writer.onLeft(() => local.left());
    this.target.finish(call);
  }

  /** All that waited goes on. */
  pumpAll(): void {
    for (const call of [...this.#blocked]) this.pump(call);
  }

  forget(call: PipeCall): void {
    this.#blocked.delete(call);
  }

  flush(): void {
    this.target.flush();
  }
}
