import { grpcStatusCode, ShuttingDownError, toGrpcStatus } from '@stowage/errors';
import { CallReports } from './call-reports';
import type { ClientListener, ClientSettings } from './client-frames';
import type { ClientReplies } from './client-replies';
import { ClientUpstreams } from './client-upstreams';
import { FrameBudget } from './frame-budget';
import type { AnswerEnd } from './local-answer';
import { OwnAnswers, type AnswerTarget } from './own-answers';
import { PipeCall } from './pipe-call';
import type { PipeHost } from './pipe-host';
import type { PipeUpstream } from './pipe-upstream';
import type { RequestHead } from './request-head';
import { RequestWindows } from './request-windows';
import { UnreadLimits, type LimitedClient } from './unread-limits';
import type { AwaitedAck, UpstreamClient } from './upstream-client';
import { Verdicts, type VerdictTarget } from './verdicts';
import { ClientShare, maxCallsPerConnection } from '../client-share';
import { isEndlessStream } from '../endless-streams';
import type { CallOutcome } from '../types';
import type { FrameWriter } from '../wire/frame-writer';
import { errorCode, Http2Error, maxErrorCode } from '../wire/http2-error';
import { maxWindow } from '../wire/raw-frames';

const firstWindowBytes = 65_535;
/** How long the answer of a handler may wait by default for a client that does not read. */
const maxUnreadAnswerMs = 60_000;
const empty = Buffer.alloc(0);

/** The connection of a client, as its calls see it. */
export interface CallsConnection {
  /** What the client has said of itself. */
  readonly settings: ClientSettings;
  /** Whether calls are not begun any more. */
  readonly isClosing: boolean;
  /** Whether the client does not take what is sent to it. */
  readonly isFull: boolean;
  /** Whether the kernel has not taken all that was sent. */
  readonly hasUnread: boolean;
  /** Hands everything that was written to the sockets. */
  flush(): void;
  /** Reads on where that was stopped because the runtime took nothing. */
  resume(): void;
  /** The client has cancelled more calls than it may. */
  cancelsTooMuch(): void;
  /** No calls are left. */
  settle(): void;
}

/**
 * The calls of one client: what its frames say becomes calls, each call gets a verdict, and what is
 * to be forwarded goes over {@link PipeUpstream}, which brings the replies.
 */
export class ClientCalls
  implements ClientListener, UpstreamClient, AnswerTarget, VerdictTarget, LimitedClient
{
  readonly #calls = new Map<number, PipeCall>();
  readonly #answers: OwnAnswers;
  readonly #verdicts: Verdicts;
  readonly #requests: RequestWindows;
  readonly #share: ClientShare;
  readonly #budget = new FrameBudget();
  readonly #limits = new UnreadLimits(this);
  readonly upstreams: ClientUpstreams;
  readonly reports: CallReports;

  /** What the client takes of DATA on the whole connection. */
  window = firstWindowBytes;
  /** What the client's SETTINGS were before. */
  #windowBefore = firstWindowBytes;
  #maxHeadersBefore: number | undefined;
  /** Highest stream that the client has begun. */
  #highestStreamId = 0;
  /** Highest stream that was looked at. */
  lastStreamId = 0;

  constructor(
    private readonly connection: CallsConnection,
    readonly writer: FrameWriter,
    readonly replies: ClientReplies,
    private readonly host: PipeHost,
  ) {
    this.#share = new ClientShare(host.shares);
    this.#requests = new RequestWindows(writer);
    this.#answers = new OwnAnswers(this);
    this.#verdicts = new Verdicts(host, this.#share, this.#answers, this);
    this.upstreams = new ClientUpstreams(this);
    this.reports = new CallReports(host);
  }

  get count(): number {
    return this.#calls.size;
  }

  get settings(): ClientSettings {
    return this.connection.settings;
  }

  get isFull(): boolean {
    return this.connection.isFull;
  }

  get hasUnread(): boolean {
    return this.connection.hasUnread;
  }

  flush(): void {
    this.connection.flush();
  }

  /** Streams without an end get UNAVAILABLE. */
  stopEndless(): void {
    for (const call of [...this.#calls.values()]) {
      if (isEndlessStream(call.method)) this.#stop(call);
    }
  }

  /** Open calls get UNAVAILABLE. */
  stop(): void {
    for (const call of [...this.#calls.values()]) this.#stop(call);
  }

  /** Reports observed calls in flight as unobserved; they themselves go on. */
  stopObserving(): void {
    for (const call of this.#calls.values()) this.reports.unobserved(call);
  }

  /** Called twice a second: ends what stands still. */
  look(): void {
    this.upstreams.look();
    this.#limits.look();
  }

  /** The client is gone. */
  end(): void {
    this.upstreams.destroy();
    for (const call of [...this.#calls.values()]) {
      call.upstream = undefined;
      this.finish(call);
    }
    this.reports.send();
  }

  /** The client's socket takes bytes again. */
  drained(): void {
    this.upstreams.resume();
    this.#answers.pumpAll();
  }

  // What the client sends.

  isKnown(streamId: number): boolean {
    return streamId <= this.#highestStreamId;
  }

  onHead(streamId: number, head: RequestHead | undefined, endStream: boolean): void {
    this.#highestStreamId = streamId;
    if (this.connection.isClosing) {
      // The client knows that it is not begun, and tries it elsewhere.
      this.onIdle();
      return;
    }
    this.lastStreamId = streamId;
    if (head === undefined || this.#calls.size >= maxCallsPerConnection) {
      this.onIdle();
      const code = head === undefined ? errorCode.protocolError : errorCode.refusedStream;
      this.replies.reset(streamId, code);
      return;
    }
    const call = new PipeCall(streamId, head, this.settings.initialWindowBytes);
    call.requestEnded = endStream;
    this.#calls.set(streamId, call);
    this.reports.began(call);
    this.#verdicts.judge(call);
  }

  onTrailers(streamId: number, endStream: boolean, isValid: boolean): void {
    const call = this.#calls.get(streamId);
    if (!endStream || !isValid) {
      throw new Http2Error(errorCode.protocolError, 'HEADERS that are no trailers');
    }
    if (call === undefined) {
      this.onIdle();
      return;
    }
    if (call.requestEnded) throw new Http2Error(errorCode.streamClosed, 'HEADERS after the end');
    call.requestEnded = true;
    if (call.upstream !== undefined) call.upstream.requestEnded(call);
    else this.#verdicts.collect(call, empty, 0, 0);
    this.#endIfDone(call);
  }

  onData(
    streamId: number,
    input: Buffer,
    start: number,
    end: number,
    endStream: boolean,
    windowBytes: number,
  ): void {
    const call = this.#calls.get(streamId);
    this.#requests.came(call, windowBytes);
    if (call === undefined) {
      if (streamId > this.#highestStreamId) {
        throw new Http2Error(errorCode.protocolError, 'DATA of no call');
      }
      this.onIdle();
      this.consumed(undefined, windowBytes);
      return;
    }
    if (call.requestEnded) throw new Http2Error(errorCode.streamClosed, 'DATA after the end');
    const bytes = end - start;
    if (bytes === 0 && !endStream) {
      this.onIdle();
      this.consumed(call, windowBytes);
      return;
    }
    call.requestBytes += bytes;
    call.requestEnded = endStream;
    if (call.upstream !== undefined) {
      this.consumed(call, windowBytes - bytes);
      call.tap?.request(input.subarray(start, end));
      call.upstream.data(call, input, start, end);
      this.#endIfDone(call);
    } else {
      this.consumed(call, windowBytes);
      this.#verdicts.collect(call, input, start, end);
    }
  }

  onReset(streamId: number, code: number): void {
    const call = this.#calls.get(streamId);
    if (call === undefined) {
      if (streamId > this.#highestStreamId) {
        throw new Http2Error(errorCode.protocolError, 'RST_STREAM of no call');
      }
      this.onIdle();
      return;
    }
    const isCancelled = !call.answerEnded;
    call.upstream?.reset(call, code > maxErrorCode ? errorCode.cancel : code);
    this.finish(call);
    if (isCancelled && !this.#share.callReset()) this.connection.cancelsTooMuch();
  }

  onWindow(streamId: number, bytes: number): void {
    this.onIdle();
    if (streamId === 0) {
      this.window += bytes;
      if (this.window > maxWindow) {
        throw new Http2Error(errorCode.flowControlError, 'a window that is too large');
      }
      this.upstreams.connectionWindow();
      this.#answers.pumpAll();
      return;
    }
    const call = this.#calls.get(streamId);
    if (call === undefined) {
      if (streamId > this.#highestStreamId) {
        throw new Http2Error(errorCode.protocolError, 'WINDOW_UPDATE of no call');
      }
      return;
    }
    call.sendWindow += bytes;
    if (call.sendWindow > maxWindow) {
      this.#cut(call, errorCode.flowControlError, 'cancelled');
      return;
    }
    if (call.local !== undefined) this.#answers.pump(call);
    else call.upstream?.window(call, bytes);
  }

  onSettings(settings: ClientSettings): void {
    if (!this.#budget.takeSettings()) throw tooMuch();
    this.replies.greet();
    const more = settings.initialWindowBytes - this.#windowBefore;
    const isSame = more === 0 && settings.maxHeaderListBytes === this.#maxHeadersBefore;
    this.#windowBefore = settings.initialWindowBytes;
    this.#maxHeadersBefore = settings.maxHeaderListBytes;
    const ack: AwaitedAck = { connections: 1 };
    if (!isSame) {
      for (const call of this.#calls.values()) {
        call.sendWindow += more;
        if (call.sendWindow > maxWindow) {
          throw new Http2Error(errorCode.flowControlError, 'a window that is too large');
        }
      }
      // The client counts on them once they are acknowledged, so the runtime has to have them.
      this.upstreams.settings(ack);
      if (more > 0) this.#answers.pumpAll();
    }
    this.acknowledged(ack);
  }

  onPing(input: Buffer, start: number): void {
    this.onIdle();
    this.replies.pong(input, start);
  }

  onIdle(): void {
    if (!this.#budget.take()) throw tooMuch();
  }

  // Verdicts.

  /** Answers a call with a status. */
  refuse(call: PipeCall, end: AnswerEnd, outcome: CallOutcome = 'completed'): void {
    if (call.local !== undefined) {
      call.local.fail(end);
      return;
    }
    call.outcome = outcome;
    call.grpcStatus = end.code;
    call.grpcMessage = end.message;
    this.replies.end(call, end);
    this.finish(call);
  }

  forward(call: PipeCall, message?: Uint8Array): void {
    let address: string;
    try {
      call.upstreamPath = this.host.path(call.method);
      address = this.host.address(call.method);
    } catch (error) {
      this.refuse(call, toGrpcStatus(error));
      return;
    }
    call.body = message;
    call.forwardedAt = performance.now();
    this.#limit(call);
    this.upstreams.take(call, address);
  }

  answers(call: PipeCall): void {
    this.#limit(call, maxUnreadAnswerMs);
  }

  #limit(call: PipeCall, byDefaultMs?: number): void {
    const limitMs = this.host.unreadLimitMs(call.method) ?? byDefaultMs;
    if (limitMs !== undefined) this.#limits.add(call, limitMs);
  }

  unread(call: PipeCall): void {
    // RESOURCE_EXHAUSTED for gRPC clients.
    this.#cut(call, errorCode.enhanceYourCalm, 'cancelled');
  }

  // What becomes of calls that the runtime has.

  sendsData(call: PipeCall, bytes: number): void {
    this.window -= bytes;
    call.sendWindow -= bytes;
    call.sentBytes += bytes;
    this.#budget.earn();
  }

  consumed(call: PipeCall | undefined, bytes: number): void {
    this.#requests.taken(call, bytes);
  }

  answerEnded(call: PipeCall): void {
    const now = performance.now();
    call.answerEnded = true;
    call.answeredAt = now;
    call.outcome = 'completed';
    if (call.requestEnded) this.finish(call, now);
  }

  #endIfDone(call: PipeCall): void {
    if (call.answerEnded && call.requestEnded) this.finish(call);
  }

  runtimeReset(call: PipeCall): void {
    call.answeredAt ??= performance.now();
    call.outcome ??= 'reset';
    this.finish(call);
  }

  refusedByRuntime(call: PipeCall): void {
    this.#cut(call, errorCode.refusedStream, 'reset');
  }

  lost(call: PipeCall, failure: string): void {
    call.answeredAt ??= performance.now();
    if (call.answerEnded) {
      this.#cut(call, errorCode.noError, 'completed');
      return;
    }
    const address = call.upstream?.address ?? '';
    const message =
      this.host.unavailableReason(call.method) ??
      `container runtime at ${address} is unavailable: ${failure}`;
    this.refuse(call, { code: grpcStatusCode.UNAVAILABLE, message }, 'unavailable');
  }

  givenUp(address: string, reason: string): void {
    this.host.givenUp(address, reason);
  }

  acknowledged(ack: AwaitedAck): void {
    if (--ack.connections === 0) this.replies.settingsAck();
  }

  take(call: PipeCall, address: string): void {
    this.upstreams.take(call, address);
  }

  upstreamGone(upstream: PipeUpstream): void {
    this.upstreams.remove(upstream);
    this.connection.resume();
  }

  upstreamDrained(): void {
    this.flush();
    this.connection.resume();
  }

  // How they end.

  /** Resets a call for both sides. */
  #cut(call: PipeCall, code: number, outcome: CallOutcome): void {
    call.outcome ??= outcome;
    this.replies.reset(call.streamId, code);
    call.upstream?.reset(call, errorCode.cancel);
    this.finish(call);
  }

  #stop(call: PipeCall): void {
    if (call.local !== undefined) {
      call.local.stop(this.host.service);
      return;
    }
    const { message } = new ShuttingDownError(this.host.service);
    const outcome = call.upstream === undefined ? 'completed' : 'unavailable';
    call.upstream?.reset(call, errorCode.cancel);
    this.refuse(call, { code: grpcStatusCode.UNAVAILABLE, message }, outcome);
  }

  /** The call is over for both sides. */
  finish(call: PipeCall, now = performance.now()): void {
    if (!this.#calls.delete(call.streamId)) return;
    this.#answers.forget(call);
    this.#limits.forget(call);
    call.end(now);
    call.local?.over();
    call.upstream?.forget(call);
    this.#share.callEnded();
    call.outcome ??= call.grpcStatus === undefined ? 'cancelled' : 'completed';
    if (call.outcome === 'completed') this.#budget.earn();
    this.reports.ended(call);
    if (this.#calls.size === 0) this.connection.settle();
  }
}

function tooMuch(): Http2Error {
  return new Http2Error(errorCode.enhanceYourCalm, 'too many frames that do nothing');
}
