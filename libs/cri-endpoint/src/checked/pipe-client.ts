import type net from 'node:net';
import { grpcStatusCode, ShuttingDownError, toGrpcStatus } from '@stowage/errors';
import { inVersion } from '@stowage/cri-proto/paths';
import { ClientFrames, type ClientListener, type ClientSettings } from './client-frames';
import { FrameBudget } from './frame-budget';
import { LocalAnswer, type AnswerEnd, type AnswerSink } from './local-answer';
import { PipeCall } from './pipe-call';
import { PipeUpstream, type AwaitedAck } from './pipe-upstream';
import { maxHeaderListBytes, type RequestHead } from './request-head';
import { Standstill, waitingWrites } from './standstill';
import {
  ClientShare,
  HeldRequest,
  maxCallsPerConnection,
  type ClientShares,
} from '../client-share';
import { CallTap, type ObservedBytes } from '../call-tap';
import { defaultReaderLimits } from '../connection-reader';
import { isEndlessStream } from '../endless-streams';
import { encodeGrpcMessage, MessageReader, messagePrefixBytes } from '../grpc-wire';
import { cutShort, problemOf } from '../read-request';
import type { TurnQueue } from '../turn-queue';
import type {
  CallOutcome,
  CallSummary,
  DetachReason,
  LocalHandler,
  ObservedCall,
  RequestCheck,
} from '../types';
import { frameFlag, frameHeaderBytes, frameType } from '../wire/frame-reader';
import { maxFrameBytes } from '../wire/frame-splitter';
import { FrameWriter, putFrameHeader } from '../wire/frame-writer';
import { headerBlock } from '../wire/header-fields';
import { errorCode, Http2Error, maxErrorCode } from '../wire/http2-error';
import { goAwayFrame, maxStreamId } from '../wire/raw-frames';

const firstWindowBytes = 65_535;
const maxWindow = 0x7fffffff;
/** Window of a connection for requests, and how much of it is given back at once. */
const receiveWindowBytes = 1024 * 1024;
const creditBytes = 256 * 1024;
/** The same for a stream, which has the window that HTTP/2 begins with. */
const streamCreditBytes = 32 * 1024;
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
/** Looks, two a second, after which a connection is closed: see {@link PipeClient.look}. */
const maxStalledLooks = 120;
const maxUnfinishedLooks = 20;
/** Longest status text, in bytes before escaping, so that it fits into one frame. */
const maxTextBytes = 2_048;

/** How long a streamed answer of a handler may wait by default for a client that does not read. */
const maxUnreadStreamMs = 60_000;
const empty = Buffer.alloc(0);

const setting = { maxCalls: 0x3, maxHeaders: 0x6 };

/** What every client is sent first: its limits, and the window of the connection. */
const greeting = ((): Buffer => {
  const out = Buffer.alloc(frameHeaderBytes + 12 + frameHeaderBytes + 4);
  putFrameHeader(out, 0, frameType.settings, 0, 0, 12);
  out.writeUInt16BE(setting.maxCalls, frameHeaderBytes);
  out.writeUInt32BE(maxCallsPerConnection, frameHeaderBytes + 2);
  out.writeUInt16BE(setting.maxHeaders, frameHeaderBytes + 6);
  out.writeUInt32BE(maxHeaderListBytes, frameHeaderBytes + 8);
  const window = frameHeaderBytes + 12;
  putFrameHeader(out, window, frameType.windowUpdate, 0, 0, 4);
  out.writeUInt32BE(receiveWindowBytes - firstWindowBytes, window + frameHeaderBytes);
  return out;
})();

const answerHead = headerBlock([
  [':status', '200'],
  ['content-type', 'application/grpc'],
]);
const okTrailers = headerBlock([['grpc-status', '0']]);

/** What the connections of an endpoint have in common. */
export interface PipeHost {
  readonly service: string;
  readonly maxRequestBytes: number;
  /** By path in the `runtime.v1` package. */
  readonly handlers: ReadonlyMap<string, LocalHandler>;
  readonly shares: ClientShares;
  readonly turns: TurnQueue;
  /** Socket and path for a call that goes to the runtime; what they throw is its status. */
  address(method: string): string;
  path(method: string): string;
  admit(method: string): RequestCheck | undefined;
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
export class PipeClient implements ClientListener, AnswerSink {
  readonly writer: FrameWriter;
  readonly #frames = new ClientFrames(this);
  readonly #calls = new Map<number, PipeCall>();
  readonly #upstreams: PipeUpstream[] = [];
  readonly #share: ClientShare;
  readonly #budget = new FrameBudget();
  readonly #standstill = new Standstill();
  #unfinishedLooks = 0;
  /** `leaving`: told that no new calls are taken, those on the way are; `closing`: they are not. */
  #state: 'open' | 'leaving' | 'closing' | 'ended' = 'open';
  #hasGreeted = false;

  /** What the client takes of DATA on the whole connection. */
  window = firstWindowBytes;
  #receiveWindow = receiveWindowBytes;
  #consumedBytes = 0;
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
  /** Calls answered here whose answers wait for a window. */
  readonly #answering = new Set<PipeCall>();
  /** Calls whose client may not stand still for long. */
  readonly #limited = new Set<PipeCall>();

  constructor(
    private readonly socket: net.Socket,
    private readonly host: PipeHost,
  ) {
    this.writer = new FrameWriter(socket);
    this.#share = new ClientShare(host.shares);
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
      this.#greet();
      this.#close();
    } else if (this.#state === 'open') {
      this.#state = 'leaving';
      this.#goAway(maxStreamId);
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
    if (!this.#frames.hasBegun) this.#greet();
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

  /** Hands everything that was written to the sockets. */
  flush(): void {
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
    if (!this.#hasGreeted && this.#frames.hasBegun) this.#greet();
    this.flush();
  }

  /** The client broke HTTP/2 or went beyond a limit. */
  #broken({ code }: Http2Error): void {
    this.host.detached('protocol');
    if (!this.#hasGreeted) this.#greet();
    this.#goAway(this.#lastStreamId, code);
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
      this.writer.uint32(frameType.rstStream, streamId, code);
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
    this.#judge(call);
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
    else this.#collect(call, empty, 0, 0);
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
    this.#receiveWindow -= windowBytes;
    if (this.#receiveWindow < 0) {
      throw new Http2Error(errorCode.flowControlError, 'more DATA than the window allows');
    }
    const call = this.#calls.get(streamId);
    if (call === undefined) {
      if (streamId > this.#highestStreamId) {
        throw new Http2Error(errorCode.protocolError, 'DATA of no call');
      }
      this.onIdle();
      this.consumed(undefined, windowBytes);
      return;
    }
    if (call.requestEnded) throw new Http2Error(errorCode.streamClosed, 'DATA after the end');
    call.receiveWindow -= windowBytes;
    if (call.receiveWindow < 0) {
      throw new Http2Error(errorCode.flowControlError, 'more DATA than the window allows');
    }
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
      this.#collect(call, input, start, end);
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
      for (const call of [...this.#answering]) this.pump(call);
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
    if (call.local !== undefined) this.pump(call);
    else call.upstream?.window(call, bytes);
  }

  onSettings(settings: ClientSettings): void {
    if (!this.#budget.takeSettings()) throw tooMuch();
    if (!this.#hasGreeted) this.#greet();
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
      if (more > 0) for (const call of [...this.#answering]) this.pump(call);
    }
    this.acknowledged(ack);
  }

  onPing(input: Buffer, start: number): void {
    this.onIdle();
    this.writer.header(frameType.ping, frameFlag.ack, 0, 8);
    this.writer.bytes(input, start, start + 8);
  }

  onIdle(): void {
    if (!this.#budget.take()) throw tooMuch();
  }

  // Verdicts.

  #judge(call: PipeCall): void {
    const { head, method } = call;
    const { host } = this;
    const refusal = this.#share.callBegan();
    if (refusal !== undefined) {
      this.#exhausted(call, `${host.service}: ${refusal}`);
      return;
    }
    if (head.isTooLarge) {
      this.#exhausted(call, `${host.service}: more than ${maxHeaderListBytes} bytes of headers`);
      return;
    }
    if (head.method !== 'POST') {
      const message = `${host.service}: gRPC calls are made with POST`;
      this.#refuse(call, { code: grpcStatusCode.INTERNAL, message });
      return;
    }
    const handler =
      host.handlers.size === 0 ? undefined : host.handlers.get(inVersion(method, 'v1'));
    if (handler !== undefined) {
      call.local = new LocalAnswer(call, handler, this);
      this.#limit(call);
      if (!call.local.begin()) return;
    } else {
      try {
        call.check = host.admit(method);
      } catch (error) {
        this.#refuse(call, toGrpcStatus(error));
        return;
      }
      if (call.check === undefined) {
        this.#forward(call);
        return;
      }
    }
    if (call.requestEnded) this.#collect(call, empty, 0, 0);
  }

  /** Takes DATA of a request that is read here. */
  #collect(call: PipeCall, input: Buffer, start: number, end: number): void {
    const { method } = call;
    if (call.grpcStatus !== undefined) return;
    const bytes = end - start;
    const { maxRequestBytes } = this.host;
    // Most requests come in one frame.
    if (call.reader === undefined && call.requestEnded && isMessage(input, start, end)) {
      if (bytes - messagePrefixBytes <= maxRequestBytes && this.#holds(call, bytes)) {
        this.#onMessage(call, input.subarray(start + messagePrefixBytes, end));
        return;
      }
      if (call.grpcStatus !== undefined) return;
    }
    call.reader ??= new MessageReader(maxRequestBytes);
    const { reader } = call;
    if (bytes > 0) {
      if (!this.#holds(call, bytes)) return;
      reader.push(input.subarray(start, end));
    }
    const problem = problemOf(reader, method, call.head.encoding, maxRequestBytes);
    if (problem !== undefined) this.#refuse(call, problem);
    else if (call.requestEnded && reader.complete) this.#onMessage(call, reader.message());
    else if (call.requestEnded) this.#refuse(call, cutShort(reader, method));
  }

  /** Counts bytes of a request that is held; false when no more may be, and the call has its status. */
  #holds(call: PipeCall, bytes: number): boolean {
    call.held ??= new HeldRequest(this.#share);
    const refusal = call.held.add(bytes);
    if (refusal === undefined) return true;
    this.#exhausted(call, `${call.method}: ${refusal}`);
    return false;
  }

  /** The request is there; `message` is valid until the next chunk is read, unless it is copied. */
  #onMessage(call: PipeCall, message: Uint8Array): void {
    if (call.local !== undefined) {
      call.local.answer(message, this.host.turns);
      return;
    }
    let checked: Uint8Array | Promise<Uint8Array> | undefined;
    try {
      checked = call.check?.(message, call);
    } catch (error) {
      this.#refuse(call, toGrpcStatus(error));
      return;
    }
    // Most checks do not wait, and then neither does the call.
    if (checked === undefined || checked instanceof Uint8Array) {
      this.#forward(call, checked);
      return;
    }
    void checked.then(
      (admitted) => {
        if (!call.isOver) this.#forward(call, admitted);
        this.flush();
      },
      (error: unknown) => {
        if (!call.isOver) this.#refuse(call, toGrpcStatus(error));
        this.flush();
      },
    );
  }

  #exhausted(call: PipeCall, message: string): void {
    this.#refuse(call, { code: grpcStatusCode.RESOURCE_EXHAUSTED, message });
  }

  /** Answers a call with a status. */
  #refuse(call: PipeCall, end: AnswerEnd, outcome: CallOutcome = 'completed'): void {
    if (call.local !== undefined) {
      call.local.fail(end);
      return;
    }
    call.outcome = outcome;
    call.grpcStatus = end.code;
    call.grpcMessage = end.message;
    this.#writeEnd(call, end);
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

  #limit(call: PipeCall): void {
    const limitMs = this.host.unreadLimitMs(call.method) ?? (call.local && maxUnreadStreamMs);
    if (limitMs === undefined) return;
    call.maxStalledLooks = Math.max(1, Math.floor(limitMs / 500));
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
    this.#budget.sentData();
  }

  /** DATA of the client was taken, so that it may send as much again. */
  consumed(call: PipeCall | undefined, bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#consumedBytes >= creditBytes) {
      this.writer.uint32(frameType.windowUpdate, 0, this.#consumedBytes);
      this.#receiveWindow += this.#consumedBytes;
      this.#consumedBytes = 0;
    }
    if (call === undefined || call.requestEnded) return;
    call.consumedBytes += bytes;
    if (call.consumedBytes < streamCreditBytes) return;
    this.writer.uint32(frameType.windowUpdate, call.streamId, call.consumedBytes);
    call.receiveWindow += call.consumedBytes;
    call.consumedBytes = 0;
  }

  /** The runtime has answered to the end, and the client has it. */
  answerEnded(call: PipeCall): void {
    call.answerEnded = true;
    call.answeredAt = performance.now();
    call.outcome = 'completed';
    this.#endIfDone(call);
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
    if (--ack.connections === 0) this.writer.header(frameType.settings, frameFlag.ack, 0, 0);
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
    this.writer.uint32(frameType.rstStream, call.streamId, code);
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

  // Answers of our own.

  pump(call: PipeCall): void {
    const { local } = call;
    if (local === undefined || call.isOver) return;
    const { waiting } = local;
    let first = waiting[0];
    if (first !== undefined && !call.headersSent) {
      call.headersSent = true;
      this.#writeHeaders(call.streamId, frameFlag.endHeaders, answerHead);
    }
    while (first !== undefined) {
      const room = Math.min(this.window, call.sendWindow, maxFrameBytes);
      if (room <= 0 || this.isFull) {
        this.#answering.add(call);
        return;
      }
      const bytes = Math.min(room, first.length);
      this.writer.header(frameType.data, 0, call.streamId, bytes);
      this.writer.bytes(first, 0, bytes);
      this.sendsData(call, bytes);
      if (bytes === first.length) waiting.shift();
      else waiting[0] = first.subarray(bytes);
      local.sent(bytes);
      first = waiting[0];
    }
    this.#answering.delete(call);
    if (local.end === undefined) return;
    call.outcome = 'completed';
    this.#writeEnd(call, local.end);
    local.isWritten = true;
    this.writer.onLeft(() => local.left());
    this.#finish(call);
  }

  /** The end of an answer, and of a request that goes on: nobody waits for the rest of it. */
  #writeEnd(call: PipeCall, { code, message, extra = {} }: AnswerEnd): void {
    const text = Buffer.from(message, 'utf8').subarray(0, maxTextBytes).toString('utf8');
    const block =
      code === 0 && call.headersSent && message === ''
        ? okTrailers
        : headerBlock([
            ...(call.headersSent
              ? []
              : ([
                  [':status', '200'],
                  ['content-type', 'application/grpc'],
                ] as const)),
            ['grpc-status', String(code)],
            ...(text === '' ? [] : ([['grpc-message', encodeGrpcMessage(text)]] as const)),
            ...Object.entries(extra),
          ]);
    this.#writeHeaders(call.streamId, frameFlag.endHeaders | frameFlag.endStream, block);
    call.answerEnded = true;
    if (call.requestEnded) return;
    this.writer.uint32(frameType.rstStream, call.streamId, errorCode.noError);
  }

  #writeHeaders(streamId: number, flags: number, block: Buffer): void {
    this.writer.header(frameType.headers, flags, streamId, block.length);
    this.writer.bytes(block, 0, block.length);
  }

  // The end of calls and of the connection.

  #finish(call: PipeCall): void {
    if (!this.#calls.delete(call.streamId)) return;
    this.#answering.delete(call);
    this.#limited.delete(call);
    call.end();
    call.local?.over();
    call.upstream?.forget(call);
    this.#share.callEnded();
    const endedAt = performance.now();
    const durationMs = endedAt - call.began;
    const { forwardedAt } = call;
    const waitedMs = forwardedAt === undefined ? 0 : (call.answeredAt ?? endedAt) - forwardedAt;
    call.outcome ??= call.grpcStatus === undefined ? 'cancelled' : 'completed';
    this.host.callEnded({
      method: call.method,
      outcome: call.outcome,
      servedBy: forwardedAt === undefined ? 'local' : 'runtime',
      grpcStatus: call.grpcStatus,
      requestBytes: call.requestBytes,
      responseBytes: call.responseBytes,
      startedAt: call.startedAt,
      durationMs,
      ownMs: Math.max(0, durationMs - waitedMs),
    });
    if (call.tap !== undefined) this.#report(call, call.outcome);
    if (this.#calls.size === 0) this.#settle();
  }

  /** The end of an observed call, or of its being observed. */
  #report(call: PipeCall, outcome: CallOutcome): void {
    const { method, grpcStatus, grpcMessage, startedAt, tap } = call;
    if (tap === undefined) return;
    call.tap = undefined;
    const durationMs = performance.now() - call.began;
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
      this.#goAway(maxStreamId);
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
    this.#goAway(this.#lastStreamId);
  }

  #greet(): void {
    this.#hasGreeted = true;
    this.writer.bytes(greeting, 0, greeting.length);
  }

  #goAway(lastStreamId: number, code: number = errorCode.noError): void {
    const frame = goAwayFrame(lastStreamId, code);
    this.writer.bytes(frame, 0, frame.length);
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
  }

  #drained(): void {
    for (const upstream of this.#upstreams) upstream.resume();
    for (const call of [...this.#answering]) this.pump(call);
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

/** Whether this is one message, not compressed, with its prefix. */
function isMessage(input: Buffer, start: number, end: number): boolean {
  return (
    end - start >= messagePrefixBytes &&
    input[start] === 0 &&
    input.readUInt32BE(start + 1) === end - start - messagePrefixBytes
  );
}

function tooMuch(): Http2Error {
  return new Http2Error(errorCode.enhanceYourCalm, 'too many frames that do nothing');
}
