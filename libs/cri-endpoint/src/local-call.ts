import type http2 from 'node:http2';
import {
  CancelledError,
  DeadlineExceededError,
  grpcStatusCode,
  ShuttingDownError,
  toGrpcStatus,
} from '@stowage/errors';
import type { CallInFlight } from './call-in-flight';
import type { HeldRequest } from './client-share';
import { cutUnread } from './cut-unread';
import { frameMessage, parseGrpcTimeout } from './grpc-wire';
import type { TurnQueue } from './turn-queue';
import { readRequest } from './read-request';
import { endWithMessage, endWithStatus, respond } from './reply';
import type { CallOutcome, LocalHandler, UnaryCall } from './types';

/** Longest delay of a Node.js timer. */
const maxTimerMs = 2 ** 31 - 1;

/** The status of a call that went well. */
const ok = 0;

/**
 * Longest time from the end of an answer until `answered` resolves, whether or not the client takes
 * the answer.
 */
const maxAnsweredMs = 1_000;

/** A call that is answered here. */
export interface LocalCall {
  readonly stream: http2.ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  /** Path as the client sent it. */
  readonly method: string;
  readonly handler: LocalHandler;
  /** Largest request message, in bytes. */
  readonly maxMessageBytes: number;
  readonly held: HeldRequest;
  readonly turns: TurnQueue;
  /**
   * Longest time for which a streamed answer may wait for a client that does not read, in
   * milliseconds.
   */
  readonly unreadLimitMs: number;
}

/** How a locally handled call ended. */
export interface LocalResult {
  readonly outcome: CallOutcome;
  readonly grpcStatus?: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/**
 * Runs one call: reads the request message, runs the handler, and answers with its one message or
 * with those it sends. The call is answered as soon as its deadline passes; whatever a handler that
 * ignores its signal returns or sends later is dropped.
 */
export function localCall(call: LocalCall, done: (result: LocalResult) => void): CallInFlight {
  const { stream, headers, method, handler, held } = call;
  const abort = new AbortController();
  let hasLeft: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => (hasLeft = resolve));
  /** Handlers that wait until the client has taken what they sent. */
  let waiting: (() => void)[] = [];
  let requestBytes = 0;
  let responseBytes = 0;
  let grpcStatus: number | undefined;
  let timer: NodeJS.Timeout | undefined;

  const isOver = (): boolean => grpcStatus !== undefined || stream.closed || stream.destroyed;
  const wake = (): void => {
    const woken = waiting;
    waiting = [];
    for (const goOn of woken) goOn();
  };
  /** The status is known; only the end of the answer has not left yet. */
  const end = (code: number): void => {
    grpcStatus = code;
    clearTimeout(timer);
    timer = setTimeout(hasLeft, maxAnsweredMs).unref();
    wake();
  };
  const fail = (code: number, message: string, extra?: http2.OutgoingHttpHeaders): void => {
    if (grpcStatus !== undefined) return;
    end(code);
    endWithStatus(stream, code, message, extra);
    stream.resume();
  };
  const failWith = (error: unknown): void => {
    const { code, message } = toGrpcStatus(error);
    fail(code, message);
  };
  /** Ends the call before its handler has. */
  const stopWith = (error: unknown): void => {
    abort.abort(error);
    failWith(error);
  };

  stream.on('close', () => {
    held.release();
    clearTimeout(timer);
    const cancelled = grpcStatus === undefined;
    if (cancelled) abort.abort(new CancelledError(method));
    wake();
    hasLeft();
    done({
      outcome: cancelled ? 'cancelled' : 'completed',
      grpcStatus,
      requestBytes,
      responseBytes,
    });
  });

  let deadline: Date | undefined;
  const timeout = headers['grpc-timeout'];
  if (timeout !== undefined) {
    const timeoutMs = parseGrpcTimeout(String(timeout));
    if (timeoutMs === undefined) {
      fail(grpcStatusCode.INTERNAL, `malformed grpc-timeout: ${JSON.stringify(timeout)}`);
      return { stop: () => undefined };
    }
    deadline = new Date(Math.min(Date.now() + timeoutMs, 8.64e15));
    if (timeoutMs <= maxTimerMs) {
      timer = setTimeout(() => stopWith(new DeadlineExceededError(method, timeoutMs)), timeoutMs);
    }
  }

  readRequest(stream, headers, method, call.maxMessageBytes, {
    onBytes: (bytes) => {
      requestBytes += bytes;
      if (isOver()) return;
      const refusal = held.add(bytes);
      if (refusal !== undefined) fail(grpcStatusCode.RESOURCE_EXHAUSTED, `${method}: ${refusal}`);
    },
    onMessage: (message) => call.turns.begin(() => void answer(message)),
    onRefused: fail,
    isOver,
  });

  const answer = async (request: Uint8Array): Promise<void> => {
    if (isOver()) return;
    const known: UnaryCall = {
      method,
      signal: abort.signal,
      deadline,
      metadata: metadataOf(headers),
      answered,
    };
    try {
      if (typeof handler === 'function') {
        const response = await handler(request, known);
        if (isOver()) return;
        end(ok);
        responseBytes = endWithMessage(stream, response);
        return;
      }
      cutUnread(stream, call.unreadLimitMs);
      stream.on('drain', wake);
      await handler.stream(request, { ...known, send, fail: stopWith });
      fail(ok, '');
    } catch (error) {
      failWith(error);
    }
  };

  const send = async (message: Uint8Array): Promise<void> => {
    if (isOver()) throw whyOver();
    const framed = frameMessage(message);
    responseBytes += framed.byteLength;
    const first = { ':status': 200, 'content-type': 'application/grpc' };
    respond(stream, first, { waitForTrailers: true });
    if (stream.write(framed)) return;
    await new Promise<void>((resolve) => waiting.push(resolve));
    if (isOver()) throw whyOver();
  };
  const whyOver = (): Error =>
    abort.signal.aborted ? (abort.signal.reason as Error) : new CancelledError(method);

  return { stop: (service) => stopWith(new ShuttingDownError(service)) };
}

function metadataOf(headers: http2.IncomingHttpHeaders): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(':') || name.startsWith('grpc-') || value === undefined) continue;
    metadata[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return metadata;
}
