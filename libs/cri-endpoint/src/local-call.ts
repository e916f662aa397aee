import type http2 from 'node:http2';
import { grpcStatusCode, ShuttingDownError, toGrpcStatus } from '@stowage/errors';
import type { CallInFlight } from './call-in-flight';
import type { HeldRequest } from './client-share';
import { cutUnread } from './cut-unread';
import { frameMessage } from './grpc-wire';
import { HandlerCall } from './handler-call';
import type { TurnQueue } from './turn-queue';
import { readRequest } from './read-request';
import { endWithMessage, endWithStatus, respond } from './reply';
import type { CallOutcome, LocalHandler } from './types';

/** The status of a call that went well. */
const ok = 0;

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
  const handled = new HandlerCall(method);
  let requestBytes = 0;
  let responseBytes = 0;
  let grpcStatus: number | undefined;

  const isOver = (): boolean => grpcStatus !== undefined || stream.closed || stream.destroyed;
  const end = (code: number): void => {
    grpcStatus = code;
    handled.ended();
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
    handled.abort(error);
    failWith(error);
  };

  stream.on('close', () => {
    held.release();
    const cancelled = grpcStatus === undefined;
    if (cancelled) handled.abort();
    handled.wake();
    handled.left();
    done({
      outcome: cancelled ? 'cancelled' : 'completed',
      grpcStatus,
      requestBytes,
      responseBytes,
    });
  });

  const timeout = headers['grpc-timeout'];
  const problem = handled.begin(timeout === undefined ? undefined : String(timeout), stopWith);
  if (problem !== undefined) {
    fail(grpcStatusCode.INTERNAL, problem);
    return { stop: () => undefined };
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
    const known = handled.known(metadataOf(headers));
    try {
      if (typeof handler === 'function') {
        const response = await handler(request, known);
        if (isOver()) return;
        end(ok);
        responseBytes = endWithMessage(stream, response);
        return;
      }
      cutUnread(stream, call.unreadLimitMs);
      stream.on('drain', () => handled.wake());
      await handler.stream(request, { ...known, send, fail: stopWith });
      fail(ok, '');
    } catch (error) {
      failWith(error);
    }
  };

  const send = async (message: Uint8Array): Promise<void> => {
    if (isOver()) throw handled.whyOver();
    const framed = frameMessage(message);
    responseBytes += framed.byteLength;
    const first = { ':status': 200, 'content-type': 'application/grpc' };
    respond(stream, first, { waitForTrailers: true });
    if (stream.write(framed)) return;
    await handled.wait();
    if (isOver()) throw handled.whyOver();
  };

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
