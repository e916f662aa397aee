import type net from 'node:net';
import { grpcStatusCode, ShuttingDownError, toGrpcStatus } from '@stowage/errors';
import { ClientFrames, type ClientListener, type ClientSettings } from './client-frames';
import { ClientReplies } from './client-replies';
import { FrameBudget } from './frame-budget';
import type { AnswerEnd } from './local-answer';
import { OwnAnswers, type AnswerTarget } from './own-answers';
import { PipeCall } from './pipe-call';
import { PipeUpstream, type AwaitedAck } from './pipe-upstream';
import type { RequestHead } from './request-head';
import { RequestWindows } from './request-windows';
import { Standstill } from './standstill';
import { Verdicts, type VerdictRules } from './verdicts';
import { CallTap, type ObservedBytes } from '../call-tap';
import { ClientShare, maxCallsPerConnection, type ClientShares } from '../client-share';
import { defaultReaderLimits } from '../connection-reader';
import { isEndlessStream } from '../endless-streams';
import type { CallOutcome, CallSummary, DetachReason, ObservedCall } from '../types';
import { waitingWrites } from '../waiting-writes';
import { FrameWriter } from '../wire/frame-writer';
import { errorCode, Http2Error, maxErrorCode } from '../wire/http2-error';
import { maxStreamId, maxWindow } from '../wire/raw-frames';

const firstWindowBytes = 65_535;
/** What waits for a client that reads nothing before nothing more of it is read. */
const maxUnreadBytes = 512 * 1024;
/** Connections of a client to one socket, where the runtime allows few calls on each. */
const maxUpstreams = 8;
/** How long a client that was sent away may take to close its side. */
const lingerMs = 1_000;
/** How long calls are accepted that a client began before it had read the GOAWAY. */
const sentAwayMs = 1_000;
/** Calls that a client may cancel beyond its limit before its new ones are not begun any more. */
const maxResetsBeyond = 500;
const empty = Buffer.alloc(0);
/** How often {@link PipeClient.look} is called, in milliseconds. */
export const lookMs = 500;
/** Looks after which a connection is closed that takes nothing, or that does not begin. */
const maxStalledLooks = 120;
const maxUnfinishedLooks = 20;
/** How long the answer of a handler may wait by default for a client that does not read. */
const maxUnreadAnswerMs = 60_000;

/** What the connections of an endpoint have in common. */
export interface PipeHost extends VerdictRules {
  readonly shares: ClientShares;
  /** Socket and path for a call that goes to the runtime; what they throw is its status. */
  address(method: string): string;
  path(method: string): string;
  unreadLimitMs(method: string): number | undefined;
  unavailableReason(method: string): string | undefined;
  /** Largest message that is copied for the observer. */
  readonly maxObservedBytes: number;
  observes(method: string): boolean;
  requested(method: string, request: Uint8Array): void;
  observed(call: ObservedCall): void;
  callStarted(method: string): void;
  callEnded(call: CallSummary): void;
  detached(reason: DetachReason): void;
  givenUp(address: string, reason: string): void;
  /** The connection is closed. */
  gone(client: PipeClient): void;
}

/**
 * A client's connection to a checked endpoint. Its frames end here: each call gets a verdict, and
 * what goes to the runtime is written anew by {@link PipeUpstream}. Replies of the runtime are
 * passed on frame by frame as they are.
 */
export class PipeClient implements ClientListener {
  readonly writer: FrameWriter;
  readonly #replies: ClientReplies;
  readonly #answers: OwnAnswers;
  readonly #verdicts: Verdicts;
  readonly #requests: RequestWindows;
  readonly #frames = new ClientFrames(this);
  readonly #calls = new Map<number, PipeCall>();
  readonly #upstreams: PipeUpstream[] = [];
  readonly #share: ClientShare;
  readonly #budget = new FrameBudget();
  readonly #standstill = new Standstill();
  #unfinishedLooks = 0;
  /** `leaving`: told that no new calls are taken, those on the way are; `closing`: they are not. */
  #state: 'open' | 'leaving' | 'closing' | 'ended' = 'open';

  /** What the client takes of DATA on the whole connection. */
  window = firstWindowBytes;
  /** What the client's SETTINGS were before. */
  #windowBefore = firstWindowBytes;
  #maxHeadersBefore: number | undefined;
  /** Highest stream that the client has begun, and the highest that was looked at. */
  #highestStreamId = 0;
  #lastStreamId = 0;
  #resetsBeyond = 0;
  readonly #observedBytes: ObservedBytes = {
    held: 0,
    max: defaultReaderLimits.maxObservedConnectionBytes,
  };
  /** Calls whose client may not stand still for long. */
  readonly #limited = new Set<PipeCall>();
  /** Calls that have ended and were not reported yet. */
  #ended: PipeCall[] = [];

  constructor(
    private readonly socket: net.Socket,
    private readonly host: PipeHost,
  ) {
    const writer = new FrameWriter(socket);
    this.writer = writer;
    this.#share = new ClientShare(host.shares);
    this.#replies = new ClientReplies(writer);
    this.#requests = new RequestWindows(writer);
    this.#answers = new OwnAnswers(this.#answerTarget());
    this.#verdicts = new Verdicts(host, this.#share, this.#answers, {
      refuse: (call, end) => this.#refuse(call, end),
      forward: (call, message) => this.#forward(call, message),
      answers: (call) => this.#limit(call, maxUnreadAnswerMs),
      flush: () => this.flush(),
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => this.#drained());
    socket.once('end', () => this.#gone());
    socket.once('close', () => this.#gone());
  }

  get callCount(): number {
    return this.#calls.size;
  }

  get settings(): ClientSettings {
    return this.#frames.settings;
  }

  /** Whether the client does not take what is sent to it. */
  get isFull(): boolean {
    return this.socket.writableLength >= this.socket.writableHighWaterMark;
  }

  /**
   * Sends the client elsewhere: calls in flight may end, and those that cross the GOAWAY are still
   * served. Streams without an end get UNAVAILABLE at once.
   */
  drain(): void {
    if (this.#state === 'ended') return;
    if (!this.#frames.hasBegun) {
      this.#replies.greet();
      this.#close();
    } else if (this.#state === 'open') {
      this.#state = 'leaving';
      this.#replies.goAway(maxStreamId);
    }
    for (const call of [...this.#calls.values()]) {
      if (isEndlessStream(call.method)) this.#stop(call);
    }
    this.#settle();
    this.flush();
  }

  /** Ends now: open calls get UNAVAILABLE. */
  stop(): void {
    if (this.#state === 'ended') return;
    this.#replies.greet();
    for (const call of [...this.#calls.values()]) this.#stop(call);
    this.#close();
    this.flush();
    this.#end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Reports observed calls in flight as unobserved; they themselves go on. */
  stopObserving(): void {
    for (const call of this.#calls.values()) this.#report(call, 'unobserved');
  }

  /** Called twice a second: ends what stands still. */
  look(): void {
    if (this.#standstill.looks(this.socket) >= maxStalledLooks) {
      this.host.detached('stalled');
      this.destroy();
      return;
    }
    if (this.#state === 'ended') return;
    this.#unfinishedLooks = this.#frames.isUnfinished ? this.#unfinishedLooks + 1 : 0;
    if (this.#unfinishedLooks >= maxUnfinishedLooks) {
      this.destroy();
      return;
    }
    for (const upstream of [...this.#upstreams]) upstream.look();
    for (const call of [...this.#limited]) this.#lookAt(call);
    this.flush();
  }

  /** Hands everything that was written to the sockets; what has ended is reported after that. */
  flush(): void {
    this.#flush();
    if (this.#ended.length > 0) this.#reportEnded();
  }

  #flush(): void {
    if (this.socket.destroyed) return;
    this.writer.flush();
    let isFull = this.socket.writableLength > maxUnreadBytes;
    for (const upstream of this.#upstreams) {
      upstream.flush();
      isFull ||= upstream.isFull;
    }
    if (isFull && this.#state !== 'ended') this.socket.pause();
  }

  // What the client sends.

  #read(chunk: Buffer): void {
    if (this.#state === 'ended') return;
    try {
      this.#frames.push(chunk);
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      this.#broken(error);
      return;
    }
    if (this.#frames.hasBegun) this.#replies.greet();
    this.flush();
  }

  /** The client broke HTTP/2 or went beyond a limit. */
  #broken({ code }: Http2Error): void {
    this.host.detached('protocol');
    this.#replies.greet();
    this.#replies.goAway(this.#lastStreamId, code);
    this.#end();
  }

  isKnown(streamId: number): boolean {
    return streamId <= this.#highestStreamId;
  }

  onHead(streamId: number, head: RequestHead | undefined, endStream: boolean): void {
    this.#highestStreamId = streamId;
    if (this.#state === 'closing') {
      // The client knows that it is not begun, and tries it elsewhere.
      this.onIdle();
      return;
    }
    this.#lastStreamId = streamId;
    if (head === undefined || this.#calls.size >= maxCallsPerConnection) {
      this.onIdle();
      const code = head === undefined ? errorCode.protocolError : errorCode.refusedStream;
      this.#replies.reset(streamId, code);
      return;
    }
    const call = new PipeCall(streamId, head, this.settings.initialWindowBytes);
    call.requestEnded = endStream;
    this.#calls.set(streamId, call);
    const { method } = call;
    if (this.host.observes(method)) {
      call.tap = new CallTap(this.host.maxObservedBytes, this.#observedBytes, (request) => {
        // The tap is asked before the bytes go on, so that nobody waits for an observer.
        setImmediate(() => this.host.requested(method, request));
      });
    }
    this.host.callStarted(method);
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
    this.#finish(call);
    if (isCancelled && !this.#share.callReset()) this.#cancelsTooMuch();
  }

  onWindow(streamId: number, bytes: number): void {
    this.onIdle();
    if (streamId === 0) {
      this.window += bytes;
      if (this.window > maxWindow) {
        throw new Http2Error(errorCode.flowControlError, 'a window that is too large');
      }
      for (const upstream of [...this.#upstreams]) upstream.connectionWindow();
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
    this.#replies.greet();
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
      for (const upstream of this.#upstreams) upstream.settings(ack);
      if (more > 0) this.#answers.pumpAll();
    }
    this.acknowledged(ack);
  }

  onPing(input: Buffer, start: number): void {
    this.onIdle();
    this.#replies.pong(input, start);
  }

  onIdle(): void {
    if (!this.#budget.take()) throw tooMuch();
  }

  // Verdicts.

  /** Answers a call with a status. */
  #refuse(call: PipeCall, end: AnswerEnd, outcome: CallOutcome = 'completed'): void {
    if (call.local !== undefined) {
      call.local.fail(end);
      return;
    }
    call.outcome = outcome;
    call.grpcStatus = end.code;
    call.grpcMessage = end.message;
    this.#replies.end(call, end);
    this.#finish(call);
  }

  #forward(call: PipeCall, body?: Uint8Array): void {
    let address: string;
    try {
      call.upstreamPath = this.host.path(call.method);
      address = this.host.address(call.method);
    } catch (error) {
      this.#refuse(call, toGrpcStatus(error));
      return;
    }
    call.body = body;
    call.forwardedAt = performance.now();
    this.#limit(call);
    this.take(call, address);
  }

  /** Sends a call over a connection to `address` that takes it. */
  take(call: PipeCall, address: string): void {
    let waits: PipeUpstream | undefined;
    let count = 0;
    for (const upstream of this.#upstreams) {
      if (upstream.address !== address) continue;
      if (upstream.takesCalls) {
        upstream.take(call);
        return;
      }
      if (upstream.isClosing) continue;
      count++;
      if (waits?.mayTakeCalls !== true) waits = upstream;
    }
    if (waits === undefined || (!waits.mayTakeCalls && count < maxUpstreams)) {
      waits = new PipeUpstream(address, this);
      this.#upstreams.push(waits);
    }
    waits.take(call);
  }

  #limit(call: PipeCall, byDefaultMs?: number): void {
    const limitMs = this.host.unreadLimitMs(call.method) ?? byDefaultMs;
    if (limitMs === undefined) return;
    call.maxStalledLooks = Math.max(1, Math.floor(limitMs / lookMs));
    this.#limited.add(call);
  }

  /** Ends a call whose client takes nothing of what waits for it. */
  #lookAt(call: PipeCall): void {
    const isWaiting =
      call.local === undefined
        ? call.sendWindow <= 0 || this.window <= 0 || waitingWrites(this.socket) > 0
        : call.local.waiting.length > 0;
    const hasMoved = call.sentBytes !== call.sentAtLook;
    call.sentAtLook = call.sentBytes;
    call.stalledLooks = isWaiting && !hasMoved ? call.stalledLooks + 1 : 0;
    if (call.stalledLooks < (call.maxStalledLooks ?? Infinity)) return;
    // RESOURCE_EXHAUSTED for gRPC clients.
    this.#cut(call, errorCode.enhanceYourCalm, 'cancelled');
  }

  // What becomes of calls that the runtime has.

  /** DATA of `bytes` goes to the client. */
  sendsData(call: PipeCall, bytes: number): void {
    this.window -= bytes;
    call.sendWindow -= bytes;
    call.sentBytes += bytes;
    this.#budget.earn();
  }

  /** DATA of the client was taken. */
  consumed(call: PipeCall | undefined, bytes: number): void {
    this.#requests.taken(call, bytes);
  }

  /** The runtime has answered to the end, and the client has it. */
  answerEnded(call: PipeCall): void {
    const now = performance.now();
    call.answerEnded = true;
    call.answeredAt = now;
    call.outcome = 'completed';
    if (call.requestEnded) this.#finish(call, now);
  }

  #endIfDone(call: PipeCall): void {
    if (call.answerEnded && call.requestEnded) this.#finish(call);
  }

  /** The runtime has reset the call, and the client knows. */
  runtimeReset(call: PipeCall): void {
    call.answeredAt ??= performance.now();
    call.outcome ??= 'reset';
    this.#finish(call);
  }

  /** The runtime has not begun the call and will not: the client tries it again. */
  refusedByRuntime(call: PipeCall): void {
    this.#cut(call, errorCode.refusedStream, 'reset');
  }

  /** The connection to the runtime is lost. */
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
    this.#refuse(call, { code: grpcStatusCode.UNAVAILABLE, message }, 'unavailable');
  }

  givenUp(address: string, reason: string): void {
    this.host.givenUp(address, reason);
  }

  acknowledged(ack: AwaitedAck): void {
    if (--ack.connections === 0) this.#replies.settingsAck();
  }

  upstreamGone(upstream: PipeUpstream): void {
    const index = this.#upstreams.indexOf(upstream);
    if (index >= 0) this.#upstreams.splice(index, 1);
    this.#resume();
  }

  upstreamDrained(): void {
    this.flush();
    this.#resume();
  }

  /** Resets a call for both sides. */
  #cut(call: PipeCall, code: number, outcome: CallOutcome): void {
    call.outcome ??= outcome;
    this.#replies.reset(call.streamId, code);
    call.upstream?.reset(call, errorCode.cancel);
    this.#finish(call);
  }

  #stop(call: PipeCall): void {
    if (call.local !== undefined) {
      call.local.stop(this.host.service);
      return;
    }
    const { message } = new ShuttingDownError(this.host.service);
    const outcome = call.upstream === undefined ? 'completed' : 'unavailable';
    call.upstream?.reset(call, errorCode.cancel);
    this.#refuse(call, { code: grpcStatusCode.UNAVAILABLE, message }, outcome);
  }

  #answerTarget(): AnswerTarget {
    const { writer } = this;
    const window = (): number => this.window;
    const isFull = (): boolean => this.isFull;
    return {
      writer,
      replies: this.#replies,
      get window() {
        return window();
      },
      get isFull() {
        return isFull();
      },
      sendsData: (call, bytes) => this.sendsData(call, bytes),
      finish: (call) => this.#finish(call),
      flush: () => this.flush(),
    };
  }

  // The end of calls and of the connection.

  #finish(call: PipeCall, now = performance.now()): void {
    if (!this.#calls.delete(call.streamId)) return;
    this.#answers.forget(call);
    this.#limited.delete(call);
    call.end(now);
    call.local?.over();
    call.upstream?.forget(call);
    this.#share.callEnded();
    call.outcome ??= call.grpcStatus === undefined ? 'cancelled' : 'completed';
    if (call.outcome === 'completed') this.#budget.earn();
    this.#ended.push(call);
    if (this.#calls.size === 0) this.#settle();
  }

  #reportEnded(): void {
    const ended = this.#ended;
    this.#ended = [];
    for (const call of ended) {
      this.host.callEnded(call.summary());
      if (call.tap !== undefined) this.#report(call, call.outcome ?? 'cancelled');
    }
  }

  /** The end of an observed call, or of its being observed. */
  #report(call: PipeCall, outcome: CallOutcome): void {
    const { method, grpcStatus, grpcMessage, startedAt, tap } = call;
    if (tap === undefined) return;
    call.tap = undefined;
    const durationMs = (call.endedAt ?? performance.now()) - call.began;
    const end = { outcome, grpcStatus, grpcMessage, ...tap.end(), startedAt, durationMs };
    this.host.observed({ method, ...end });
  }

  /** A client that is leaving has no calls left. */
  #settle(): void {
    if (this.#calls.size > 0) return;
    if (this.#state === 'leaving') this.#close();
    if (this.#state === 'closing') this.#end();
  }

  #cancelsTooMuch(): void {
    if (this.#state === 'open') {
      this.#state = 'leaving';
      this.#replies.goAway(maxStreamId);
      setTimeout(() => {
        if (this.#state !== 'leaving') return;
        this.#close();
        this.#settle();
        this.flush();
      }, sentAwayMs).unref();
    } else if (this.#state === 'leaving' && ++this.#resetsBeyond > maxResetsBeyond) {
      this.#close();
    }
  }

  /** From now on no call is begun. */
  #close(): void {
    if (this.#state === 'closing' || this.#state === 'ended') return;
    this.#state = 'closing';
    this.#replies.goAway(this.#lastStreamId);
  }

  /** Closes once what was written has left. Further bytes of the client are dropped. */
  #end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#frames.stop();
    this.#endCalls();
    this.writer.flush();
    this.socket.end();
    this.socket.resume();
    const timer = setTimeout(() => this.socket.destroy(), lingerMs);
    this.socket.once('close', () => clearTimeout(timer));
  }

  /** The client has left. */
  #gone(): void {
    if (this.#state !== 'ended') {
      this.#state = 'ended';
      this.#frames.stop();
      this.#endCalls();
    }
    if (this.socket.destroyed) this.host.gone(this);
    else this.socket.destroySoon();
  }

  #endCalls(): void {
    for (const upstream of [...this.#upstreams]) upstream.destroy();
    for (const call of [...this.#calls.values()]) {
      call.upstream = undefined;
      this.#finish(call);
    }
    this.#reportEnded();
  }

  #drained(): void {
    for (const upstream of this.#upstreams) upstream.resume();
    this.#answers.pumpAll();
    this.flush();
    this.#resume();
  }

  /** Reads on where that was stopped. */
  #resume(): void {
    if (!this.socket.isPaused() || this.socket.writableLength > maxUnreadBytes) return;
    if (this.#upstreams.some(({ isFull }) => isFull)) return;
    this.socket.resume();
  }
}

function tooMuch(): Http2Error {
  return new Http2Error(errorCode.enhanceYourCalm, 'too many frames that do nothing');
}
