import type http2 from 'node:http2';
import { grpcStatusCode, ShuttingDownError, toGrpcStatus } from '@stowage/errors';
import type { CallInFlight } from './call-in-flight';
import type { HeldRequest } from './client-share';
import { readRequest, type RequestListener } from './read-request';
import { endWithStatus } from './reply';
import type { CallOutcome, CheckedCall, RequestCheck } from './types';

/** How a call that was not forwarded ended. */
export interface RefusedResult {
  readonly outcome: CallOutcome;
  readonly grpcStatus?: number;
  readonly grpcMessage?: string;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** Answers a call with a status and nothing else. */
export function refusedCall(
  stream: http2.ServerHttp2Stream,
  grpcStatus: number,
  grpcMessage: string,
  done: (result: RefusedResult) => void,
): CallInFlight {
  let requestBytes = 0;
  stream.on('data', (chunk: Buffer) => (requestBytes += chunk.length));
  stream.on('close', () =>
    done({ outcome: 'completed', grpcStatus, grpcMessage, requestBytes, responseBytes: 0 }),
  );
  endWithStatus(stream, grpcStatus, grpcMessage);
  return { stop: () => undefined };
}

/** What a {@link HeldCall} is about. */
export interface HeldCallRequest {
  readonly stream: http2.ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  readonly method: string;
  /** Largest message. */
  readonly maxBytes: number;
  readonly held: HeldRequest;
  readonly check: RequestCheck;
}

/** How a {@link HeldCall} goes on: exactly one of the two is called. */
export interface HeldCallEnd {
  /** The message to forward; the callee now owns the call. */
  admitted(request: Uint8Array): void;
  refused(result: RefusedResult): void;
}

/**
 * Holds a call until its one request message has arrived and passes it to the check. Forwards the
 * message that the check returned, or answers with the status of what it threw.
 */
export class HeldCall implements CallInFlight, CheckedCall, RequestListener {
  private requestBytes = 0;
  private grpcStatus: number | undefined;
  private grpcMessage: string | undefined;
  private isAdmitted = false;
  private isClosed = false;
  private abort: AbortController | undefined;

  constructor(
    private readonly call: HeldCallRequest,
    private readonly end: HeldCallEnd,
  ) {
    const { stream, headers, method, maxBytes } = call;
    stream.on('close', () => this.closed());
    readRequest(stream, headers, method, maxBytes, this);
  }

  get signal(): AbortSignal {
    this.abort ??= new AbortController();
    if (this.hasEnded()) this.abort.abort();
    return this.abort.signal;
  }

  stop(service: string): void {
    this.refuseWith(new ShuttingDownError(service));
  }

  onBytes(bytes: number): void {
    this.requestBytes += bytes;
    if (this.isOver()) return;
    const { held, method } = this.call;
    const refusal = held.add(bytes);
    if (refusal === undefined) return;
    this.onRefused(grpcStatusCode.RESOURCE_EXHAUSTED, `${method}: ${refusal}`);
  }

  onMessage(message: Uint8Array): void {
    let checked: Uint8Array | Promise<Uint8Array>;
    try {
      checked = this.call.check(message, this);
    } catch (error) {
      this.refuseWith(error);
      return;
    }
    // Most checks do not wait, and then neither does the call.
    if (checked instanceof Uint8Array) {
      this.admit(checked);
      return;
    }
    void checked.then(
      (admitted) => this.admit(admitted),
      (error: unknown) => this.refuseWith(error),
    );
  }

  onRefused(code: number, message: string, extra?: http2.OutgoingHttpHeaders): void {
    if (this.grpcStatus !== undefined || this.isAdmitted) return;
    const { stream } = this.call;
    this.grpcStatus = code;
    this.grpcMessage = message;
    this.abort?.abort();
    endWithStatus(stream, code, message, extra);
    stream.resume();
  }

  isOver(): boolean {
    return this.grpcStatus !== undefined;
  }

  private refuseWith(error: unknown): void {
    const { code, message } = toGrpcStatus(error);
    this.onRefused(code, message);
  }

  private admit(message: Uint8Array): void {
    if (this.hasEnded()) return;
    this.isAdmitted = true;
    this.end.admitted(message);
  }

  private hasEnded(): boolean {
    return this.isOver() || this.isClosed;
  }

  private closed(): void {
    this.isClosed = true;
    this.call.held.release();
    if (this.isAdmitted) return;
    this.abort?.abort();
    const { grpcStatus, grpcMessage, requestBytes } = this;
    const outcome = grpcStatus === undefined ? 'cancelled' : 'completed';
    this.end.refused({ outcome, grpcStatus, grpcMessage, requestBytes, responseBytes: 0 });
  }
}
