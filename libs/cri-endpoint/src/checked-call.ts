import type http2 from 'node:http2';
import { grpcStatusCode, ShuttingDownError, toGrpcStatus } from '@stowage/errors';
import type { CallInFlight } from './call-in-flight';
import type { HeldRequest } from './client-share';
import { readRequest } from './read-request';
import { endWithStatus } from './reply';
import type { CallOutcome, RequestCheck } from './types';

/** How a call ended that was not forwarded. */
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
  stream.on('error', () => undefined);
  stream.on('data', (chunk: Buffer) => (requestBytes += chunk.length));
  stream.once('close', () =>
    done({ outcome: 'completed', grpcStatus, grpcMessage, requestBytes, responseBytes: 0 }),
  );
  endWithStatus(stream, grpcStatus, grpcMessage);
  return { stop: () => undefined };
}

/**
 * Holds a call until its one request message has arrived, lets `check` look at it, and hands on the message that `check`
 * returned or answers with what it threw. Exactly one of `admitted` and `refused` is called; what is admitted is in the
 * hands of the caller.
 */
export function checkedCall(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  method: string,
  maxBytes: number,
  held: HeldRequest,
  check: RequestCheck,
  on: { admitted(request: Uint8Array): void; refused(result: RefusedResult): void },
): CallInFlight {
  let requestBytes = 0;
  let grpcStatus: number | undefined;
  let grpcMessage: string | undefined;
  let isAdmitted = false;
  const abort = new AbortController();

  const refuse = (code: number, message: string, extra?: http2.OutgoingHttpHeaders): void => {
    if (grpcStatus !== undefined || isAdmitted) return;
    grpcStatus = code;
    grpcMessage = message;
    abort.abort();
    endWithStatus(stream, code, message, extra);
    stream.resume();
  };
  const refuseWith = (error: unknown): void => {
    const { code, message } = toGrpcStatus(error);
    refuse(code, message);
  };

  stream.on('error', () => undefined);
  stream.once('close', () => {
    held.release();
    if (isAdmitted) return;
    abort.abort();
    on.refused({
      outcome: grpcStatus === undefined ? 'cancelled' : 'completed',
      grpcStatus,
      grpcMessage,
      requestBytes,
      responseBytes: 0,
    });
  });
  readRequest(stream, headers, method, maxBytes, {
    onBytes: (bytes) => {
      requestBytes += bytes;
      if (grpcStatus !== undefined) return;
      const refusal = held.add(bytes);
      if (refusal !== undefined) refuse(grpcStatusCode.RESOURCE_EXHAUSTED, `${method}: ${refusal}`);
    },
    onMessage: (message) => void look(message),
    onRefused: refuse,
    isOver: () => grpcStatus !== undefined,
  });
  const look = async (message: Uint8Array): Promise<void> => {
    let admitted: Uint8Array;
    try {
      const checked = check(message, abort.signal);
      // Most checks need not wait, and then the call does not either.
      admitted = checked instanceof Uint8Array ? checked : await checked;
    } catch (error) {
      refuseWith(error);
      return;
    }
    if (abort.signal.aborted) return;
    isAdmitted = true;
    on.admitted(admitted);
  };
  return { stop: (service) => refuseWith(new ShuttingDownError(service)) };
}
