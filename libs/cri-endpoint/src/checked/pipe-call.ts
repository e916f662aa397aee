import type { RequestHead } from './request-head';
import type { CallTap } from '../call-tap';
import type { HeldRequest } from '../client-share';
import type { MessageReader } from '../grpc-wire';
import type { CallOutcome, CallSummary, CheckedCall, RequestCheck } from '../types';
import type { LocalAnswer } from './local-answer';
import type { PipeUpstream } from './pipe-upstream';

/** Window of each stream of a client: the default of HTTP/2, for requests are small. */
const clientStreamWindowBytes = 65_535;

/** One call of a client, from its headers until both sides have ended. */
export class PipeCall implements CheckedCall {
  readonly startedAt = Date.now();
  readonly began = performance.now();

  requestEnded = false;
  answerEnded = false;
  /** Whether response headers went to the client. */
  headersSent = false;
  /** Set once it is over. */
  endedAt: number | undefined;
  requestBytes = 0;
  responseBytes = 0;
  outcome: CallOutcome | undefined;
  grpcStatus: number | undefined;
  /** Text of the status, unescaped. */
  grpcMessage: string | undefined;
  /** Copies of its messages, while it is observed. */
  tap: CallTap | undefined;

  /** What may still come of the client's DATA, and what of it was taken since that was said. */
  receiveWindow = clientStreamWindowBytes;
  takenBytes = 0;
  /** Bytes of DATA that went to the client. */
  sentBytes = 0;

  // A request that is read here before anybody gets it.
  check: RequestCheck | undefined;
  reader: MessageReader | undefined;
  held: HeldRequest | undefined;
  local: LocalAnswer | undefined;

  // The way to the runtime, for a call that goes there.
  upstream: PipeUpstream | undefined;
  /** Path that the runtime is asked for. */
  upstreamPath = '';
  /** Stream of the connection to the runtime; 0: not begun there. */
  upstreamId = 0;
  /** The message that was understood, in place of the client's. */
  body: Uint8Array | undefined;
  /** What the runtime takes of the stream's DATA. */
  uploadWindow = 0;
  /** DATA that waits for the runtime's windows. */
  upload: Buffer[] = [];
  uploadEnded = false;
  /** Replies that wait for the client's window. */
  heldReplies = 0;
  forwardedAt: number | undefined;
  answeredAt: number | undefined;

  /** For how many looks a client may take next to nothing of what waits for it. */
  maxStalledLooks = Infinity;
  stalledLooks = 0;
  /** {@link sentBytes} when it had taken enough. */
  sentAtLook = 0;

  #abort: AbortController | undefined;

  constructor(
    readonly streamId: number,
    readonly head: RequestHead,
    /** What the client takes of the stream's DATA. */
    public sendWindow: number,
  ) {}

  get isOver(): boolean {
    return this.endedAt !== undefined;
  }

  get method(): string {
    return this.head.path;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.isOver) this.#abort.abort();
    return this.#abort.signal;
  }

  /** Nobody waits for the call any more. */
  end(now: number): void {
    this.endedAt = now;
    this.#abort?.abort();
    this.held?.release();
    this.held = undefined;
    this.reader = undefined;
    this.body = undefined;
    if (this.upload.length > 0) this.upload = [];
  }

  /** The call for metrics, once it is over. */
  summary(): CallSummary {
    const { endedAt = 0, forwardedAt, answeredAt = endedAt } = this;
    const durationMs = endedAt - this.began;
    const waitedMs = forwardedAt === undefined ? 0 : answeredAt - forwardedAt;
    return {
      method: this.method,
      outcome: this.outcome ?? 'cancelled',
      servedBy: forwardedAt === undefined ? 'local' : 'runtime',
      grpcStatus: this.grpcStatus,
      requestBytes: this.requestBytes,
      responseBytes: this.responseBytes,
      startedAt: this.startedAt,
      durationMs,
      ownMs: Math.max(0, durationMs - waitedMs),
    };
  }
}
