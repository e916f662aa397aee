import { decodeGrpcMessage, MessageReader } from './grpc-wire';
import type { CallListener, CallOutcome, DetachReason, MessageObserver } from './types';
import { FrameReader, type FrameListener } from './wire/frame-reader';
import { HpackDecoder } from './wire/hpack-decoder';
import { UntrackableError } from './wire/untrackable-error';

/** Bounds on what a {@link ConnectionReader} keeps. */
export interface ReaderLimits {
  /** Largest message that is reassembled; a larger one is not observed. */
  readonly maxObservedMessageBytes: number;
  /** All messages under reassembly on one connection together. */
  readonly maxObservedConnectionBytes: number;
  /** Calls open at once. */
  readonly maxStreams: number;
  readonly maxHeaderBlockBytes: number;
  readonly maxHpackTableBytes: number;
}

export const defaultReaderLimits: ReaderLimits = {
  maxObservedMessageBytes: 1024 * 1024,
  maxObservedConnectionBytes: 16 * 1024 * 1024,
  maxStreams: 16_384,
  maxHeaderBlockBytes: 256 * 1024,
  maxHpackTableBytes: 64 * 1024,
};

/** What a {@link ConnectionReader} reports. Nothing that these throw reaches the reader. */
export interface ReaderListener {
  /** Of the calls that it observes. */
  readonly observer: MessageObserver;
  /** Of every call. */
  readonly calls: CallListener;
  /** The reader stopped following; it ignores all further bytes. */
  onDetached(reason: DetachReason, detail: string): void;
}

/** A call that has not ended. */
export interface OpenCall {
  readonly streamId: number;
  readonly method: string;
  /** Whether final response headers were seen. */
  headersSent: boolean;
  /** Whether the client has ended its side. */
  requestEnded: boolean;
}

interface Call extends OpenCall {
  readonly startedAt: number;
  readonly began: number;
  grpcStatus: number | undefined;
  grpcMessage: string | undefined;
  requestBytes: number;
  responseBytes: number;
  ownMs: number;
  /** Set when the call is observed. */
  request: MessageReader | undefined;
  response: MessageReader | undefined;
}

/** Longest path that is taken for a method name. */
const maxMethodChars = 512;

/**
 * Follows both directions of one HTTP/2 connection passively. Feed it every chunk after the chunk
 * was sent on, in the order in which it was sent. It never throws: it detaches for good at the
 * first bytes that it cannot follow.
 */
export class ConnectionReader {
  private readonly calls = new Map<number, Call>();
  private readonly requests: FrameReader;
  private readonly responses: FrameReader;
  private readonly requestHeaders: HpackDecoder;
  private readonly responseHeaders: HpackDecoder;
  private lastStream = 0;
  private goAwayStream: number | undefined;
  private observedBytes = 0;
  private detached = false;
  private spoke = false;
  /** Own time of the chunk being read, added to the calls that it carries. */
  private chunkMs = 0;
  // Filled by the field listeners while a header block is decoded.
  private path: string | undefined;
  private status = 0;
  private grpcStatus: number | undefined;
  private grpcMessage: string | undefined;

  constructor(
    private readonly listener: ReaderListener,
    private readonly limits: ReaderLimits,
  ) {
    this.requestHeaders = new HpackDecoder(limits.maxHpackTableBytes);
    this.responseHeaders = new HpackDecoder(limits.maxHpackTableBytes);
    this.requests = new FrameReader(this.requestListener(), limits.maxHeaderBlockBytes, {
      preface: true,
    });
    this.responses = new FrameReader(this.responseListener(), limits.maxHeaderBlockBytes, {
      preface: false,
    });
  }

  /** False once the reader has detached. */
  get following(): boolean {
    return !this.detached;
  }

  /** Highest stream id that the client opened. */
  get lastStreamId(): number {
    return this.lastStream;
  }

  /** Last stream of the GOAWAY that the server sent; undefined when it sent none. */
  get serverGoAway(): number | undefined {
    return this.goAwayStream;
  }

  /** True when a frame of ours may follow what the server has sent, if only its first one. */
  get responsesAtBoundary(): boolean {
    return !this.detached && this.responses.atBoundary;
  }

  /** True when a frame of ours may follow what the client has sent. */
  get requestsAtBoundary(): boolean {
    return !this.detached && this.requests.atBoundary;
  }

  /** True once the server has sent its SETTINGS. */
  get serverSpoke(): boolean {
    return this.spoke;
  }

  /** Offset in the last response chunk behind which frames of ours may stand; -1: none. */
  get lastResponseBoundary(): number {
    return this.detached ? -1 : this.responses.lastBoundary;
  }

  /**
   * A decoder for the client's next header block, in the state after the last block read; undefined
   * once the reader has detached.
   */
  requestDecoder(): HpackDecoder | undefined {
    return this.detached ? undefined : this.requestHeaders.copy();
  }

  openCalls(): Iterable<OpenCall> {
    return this.calls.values();
  }

  get openCallCount(): number {
    return this.calls.size;
  }

  /** Bytes of memory that grow with what the peers send; bounded by the limits. */
  get heldBytes(): number {
    return (
      this.observedBytes +
      this.requests.heldBytes +
      this.responses.heldBytes +
      this.requestHeaders.dynamicTableBytes +
      this.responseHeaders.dynamicTableBytes
    );
  }

  /** Bytes that the client sent; `ownMs` is what sending them on took. */
  request(chunk: Buffer, ownMs: number): void {
    this.chunkMs = ownMs;
    this.read(this.requests, chunk);
  }

  /** Bytes that the server sent; `ownMs` is what sending them on took. */
  response(chunk: Buffer, ownMs: number): void {
    this.chunkMs = ownMs;
    this.read(this.responses, chunk);
  }

  /** Ends one open call with a status that this process gave. */
  endCall(streamId: number, outcome: CallOutcome, grpcStatus?: number, message?: string): void {
    const call = this.calls.get(streamId);
    if (call === undefined) return;
    call.grpcStatus = grpcStatus;
    call.grpcMessage = message;
    this.end(call, outcome);
  }

  /** Ends every open call, because the connection is over. */
  endAll(outcome: CallOutcome, grpcStatus?: number, message?: string): void {
    for (const streamId of [...this.calls.keys()]) {
      this.endCall(streamId, outcome, grpcStatus, message);
    }
  }

  /**
   * Reports every observed call in flight as unobserved, with what was read of it. Their summaries
   * still come.
   */
  stopObserving(): void {
    for (const call of this.calls.values()) this.report(call, 'unobserved');
  }

  private read(reader: FrameReader, chunk: Buffer): void {
    if (this.detached) return;
    try {
      reader.push(chunk);
    } catch (error) {
      this.detached = true;
      this.endAll('unobserved');
      reader.abandon();
      const known = error instanceof UntrackableError;
      const detail = error instanceof Error ? error.message : String(error);
      this.listener.onDetached(known ? error.reason : 'observer', detail);
    }
  }

  private requestListener(): FrameListener {
    const onField = (name: string, value: string): void => {
      if (name === ':path') this.path = value;
    };
    return {
      onData: (streamId, input, start, end) => {
        const call = this.calls.get(streamId);
        if (call === undefined) return;
        call.requestBytes += end - start;
        const { request } = call;
        if (request !== undefined && this.collect(request, input, start, end)) {
          this.notify(() => this.listener.observer.requested?.(call.method, request.message()));
        }
      },
      onDataEnd: (streamId, endStream) => {
        if (endStream) this.endRequest(streamId);
      },
      onHeaderBlock: (streamId, block, start, end, endStream, promised) => {
        if (promised) throw new UntrackableError('frame', 'PUSH_PROMISE of a client');
        this.forgetFields();
        this.requestHeaders.decode(block, start, end, onField);
        if (streamId > this.lastStream) this.startCall(streamId);
        if (endStream) this.endRequest(streamId);
      },
      onRstStream: (streamId) => {
        const call = this.calls.get(streamId);
        if (call !== undefined) this.end(call, 'cancelled');
      },
      onSettings: () => undefined,
      onPing: () => undefined,
      onGoAway: () => undefined,
    };
  }

  private responseListener(): FrameListener {
    const onField = (name: string, value: string): void => {
      switch (name) {
        case ':status':
          this.status = Number(value);
          return;
        case 'grpc-status':
          this.grpcStatus = /^\d{1,4}$/.test(value) ? Number(value) : undefined;
          return;
        case 'grpc-message':
          this.grpcMessage = value;
          return;
        default:
          return;
      }
    };
    return {
      onData: (streamId, input, start, end) => {
        const call = this.calls.get(streamId);
        if (call === undefined) return;
        call.responseBytes += end - start;
        if (call.response !== undefined) this.collect(call.response, input, start, end);
      },
      onDataEnd: (streamId, endStream) => {
        const call = endStream ? this.calls.get(streamId) : undefined;
        if (call !== undefined) this.end(call, 'completed');
      },
      onHeaderBlock: (streamId, block, start, end, endStream, promised) => {
        this.forgetFields();
        this.responseHeaders.decode(block, start, end, onField);
        const call = promised ? undefined : this.calls.get(streamId);
        if (call === undefined) return;
        if (this.status === 0 || this.status >= 200) call.headersSent = true;
        call.grpcStatus = this.grpcStatus ?? call.grpcStatus;
        call.grpcMessage = this.grpcMessage ?? call.grpcMessage;
        if (endStream) this.end(call, 'completed');
      },
      onRstStream: (streamId) => {
        const call = this.calls.get(streamId);
        if (call !== undefined) this.end(call, 'reset');
      },
      onSettings: () => {
        this.spoke = true;
      },
      onPing: () => undefined,
      onGoAway: (lastStreamId) => {
        this.goAwayStream = Math.min(lastStreamId, this.goAwayStream ?? lastStreamId);
        // These were not processed; the client tries them again on another connection.
        for (const call of [...this.calls.values()]) {
          if (call.streamId > lastStreamId) this.end(call, 'reset');
        }
      },
    };
  }

  private startCall(streamId: number): void {
    if (streamId % 2 === 0) throw new UntrackableError('frame', 'a client opened an even stream');
    if (this.calls.size >= this.limits.maxStreams) {
      throw new UntrackableError('streams', `more than ${this.limits.maxStreams} calls open`);
    }
    this.lastStream = streamId;
    const method = (this.path ?? '').slice(0, maxMethodChars);
    const observed = this.observes(method);
    const maxBytes = this.limits.maxObservedMessageBytes;
    this.calls.set(streamId, {
      streamId,
      method,
      headersSent: false,
      requestEnded: false,
      startedAt: Date.now(),
      began: performance.now(),
      grpcStatus: undefined,
      grpcMessage: undefined,
      requestBytes: 0,
      responseBytes: 0,
      ownMs: this.chunkMs,
      request: observed ? new MessageReader(maxBytes, { further: 'ignore' }) : undefined,
      response: observed ? new MessageReader(maxBytes, { further: 'ignore' }) : undefined,
    });
    this.notify(() => this.listener.calls.started?.(method));
    if (observed) this.notify(() => this.listener.observer.started?.(method));
  }

  private endRequest(streamId: number): void {
    const call = this.calls.get(streamId);
    if (call !== undefined) call.requestEnded = true;
  }

  /** Whether the bytes made the message whole. */
  private collect(message: MessageReader, input: Buffer, start: number, end: number): boolean {
    if (message.complete || message.problem !== undefined) return false;
    const before = message.heldBytes;
    if (this.observedBytes + end - start > this.limits.maxObservedConnectionBytes) {
      message.abandon();
    } else {
      message.push(input.subarray(start, end));
    }
    this.observedBytes += message.heldBytes - before;
    return message.complete;
  }

  private end(call: Call, outcome: CallOutcome): void {
    this.calls.delete(call.streamId);
    const durationMs = performance.now() - call.began;
    const { method, grpcStatus, startedAt } = call;
    if (outcome === 'completed') call.ownMs += this.chunkMs;
    this.notify(() =>
      this.listener.calls.ended?.({
        method,
        outcome,
        servedBy: 'runtime',
        grpcStatus,
        requestBytes: call.requestBytes,
        responseBytes: call.responseBytes,
        startedAt,
        durationMs,
        ownMs: call.ownMs,
      }),
    );
    this.report(call, outcome);
  }

  /** The end of an observed call, or of its being observed; once. */
  private report(call: Call, outcome: CallOutcome): void {
    const { method, grpcStatus, startedAt, request, response } = call;
    if (request === undefined || response === undefined) return;
    call.request = undefined;
    call.response = undefined;
    this.observedBytes -= request.heldBytes + response.heldBytes;
    this.notify(() =>
      this.listener.observer.ended({
        method,
        outcome,
        request: request.complete ? request.message() : undefined,
        response: response.complete ? response.message() : undefined,
        grpcStatus,
        grpcMessage:
          call.grpcMessage === undefined ? undefined : decodeGrpcMessage(call.grpcMessage),
        startedAt,
        durationMs: performance.now() - call.began,
      }),
    );
  }

  private forgetFields(): void {
    this.path = undefined;
    this.status = 0;
    this.grpcStatus = undefined;
    this.grpcMessage = undefined;
  }

  private observes(method: string): boolean {
    try {
      return this.listener.observer.observes(method);
    } catch {
      return false;
    }
  }

  private notify(report: () => void): void {
    try {
      report();
    } catch {
      // A listener that throws must not stop the reader.
    }
  }
}
