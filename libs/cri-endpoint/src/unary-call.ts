import type http2 from 'node:http2';
import {
  CancelledError,
  DeadlineExceededError,
  grpcStatusCode,
  ShuttingDownError,
  toGrpcStatus,
} from '@stowage/errors';
import type { CallInFlight } from './call-in-flight';
import { MessageReader, parseGrpcTimeout } from './grpc-wire';
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
  done: (result: UnaryResult) => void,
): CallInFlight {
  const abort = new AbortController();
  const reader = new MessageReader(maxMessageBytes);
  let requestBytes = 0;
  let responseBytes = 0;
  let grpcStatus: number | undefined;
  let timer: NodeJS.Timeout | undefined;

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

  stream.on('error', () => undefined);
  stream.once('close', () => {
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

  stream.on('data', (chunk: Buffer) => {
    requestBytes += chunk.length;
    reader.push(chunk);
    switch (reader.problem) {
      case undefined:
        return;
      case 'compressed':
        fail(
          grpcStatusCode.UNIMPLEMENTED,
          `${method}: compressed request messages are not supported (grpc-encoding ${JSON.stringify(headers['grpc-encoding'] ?? 'unknown')})`,
          { 'grpc-accept-encoding': 'identity' },
        );
        return;
      case 'too-large':
        fail(
          grpcStatusCode.RESOURCE_EXHAUSTED,
          `${method}: request message of ${reader.declared ?? 0} bytes is larger than ${maxMessageBytes}`,
        );
        return;
      case 'too-many':
        fail(grpcStatusCode.INTERNAL, `${method}: more than one request message in a unary call`);
        return;
    }
  });
  stream.once('end', () => {
    if (grpcStatus !== undefined || stream.closed || stream.aborted) return;
    if (!reader.complete) {
      const what = reader.empty ? 'no request message' : 'request message cut short';
      fail(grpcStatusCode.INTERNAL, `${method}: ${what}`);
      return;
    }
    void answer();
  });

  const answer = async (): Promise<void> => {
    try {
      const response = await handler(reader.message(), {
        method,
        signal: abort.signal,
        deadline,
        metadata: metadataOf(headers),
      });
      if (grpcStatus !== undefined || stream.closed || stream.destroyed) return;
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
