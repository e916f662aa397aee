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
import { parseGrpcTimeout } from './grpc-wire';
import type { OneATurn } from './one-a-turn';
import { readRequest } from './read-request';
import { endWithMessage, endWithStatus } from './reply';
import type { CallOutcome, UnaryHandler } from './types';

/** Longest delay of a Node.js timer. */
const maxTimerMs = 2 ** 31 - 1;

/** How a locally handled call ended. */
export interface UnaryResult {
  readonly outcome: CallOutcome;
  readonly grpcStatus?: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/**
 * Runs one unary call: reads the request message, runs the handler, answers. The call is answered as soon as its
 * deadline passes; what a handler that ignores its signal returns later is dropped.
 */
export function unaryCall(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  method: string,
  handler: UnaryHandler,
  maxMessageBytes: number,
  held: HeldRequest,
  turns: OneATurn,
  done: (result: UnaryResult) => void,
): CallInFlight {
  const abort = new AbortController();
  let requestBytes = 0;
  let responseBytes = 0;
  let grpcStatus: number | undefined;
  let timer: NodeJS.Timeout | undefined;

  const isOver = (): boolean => grpcStatus !== undefined || stream.closed || stream.destroyed;
  const fail = (code: number, message: string, extra?: http2.OutgoingHttpHeaders): void => {
    if (grpcStatus !== undefined) return;
    grpcStatus = code;
    clearTimeout(timer);
    endWithStatus(stream, code, message, extra);
    stream.resume();
  };
  const failWith = (error: unknown): void => {
    const { code, message } = toGrpcStatus(error);
    fail(code, message);
  };

  stream.on('close', () => {
    held.release();
    clearTimeout(timer);
    const cancelled = grpcStatus === undefined;
    if (cancelled) abort.abort(new CancelledError(method));
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
      timer = setTimeout(() => {
        const error = new DeadlineExceededError(method, timeoutMs);
        abort.abort(error);
        failWith(error);
      }, timeoutMs);
    }
  }

  readRequest(stream, headers, method, maxMessageBytes, {
    onBytes: (bytes) => {
      requestBytes += bytes;
      if (isOver()) return;
      const refusal = held.add(bytes);
      if (refusal !== undefined) fail(grpcStatusCode.RESOURCE_EXHAUSTED, `${method}: ${refusal}`);
    },
    onMessage: (message) => turns.begin(() => void answer(message)),
    onRefused: fail,
    isOver,
  });

  const answer = async (request: Uint8Array): Promise<void> => {
    if (isOver()) return;
    try {
      const response = await handler(request, {
        method,
        signal: abort.signal,
        deadline,
        metadata: metadataOf(headers),
      });
      if (isOver()) return;
      clearTimeout(timer);
      grpcStatus = 0;
      responseBytes = endWithMessage(stream, response);
    } catch (error) {
      failWith(error);
    }
  };

  return {
    stop: (service) => {
      const error = new ShuttingDownError(service);
      abort.abort(error);
      failWith(error);
    },
  };
}

function metadataOf(headers: http2.IncomingHttpHeaders): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(':') || name.startsWith('grpc-') || value === undefined) continue;
    metadata[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return metadata;
}
