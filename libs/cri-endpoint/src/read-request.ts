import type http2 from 'node:http2';
import { grpcStatusCode } from '@stowage/errors';
import { MessageReader } from './grpc-wire';

/** Results of {@link readRequest}; either `onMessage` or `onRefused` ends it. */
export interface RequestListener {
  /** DATA that arrived, gRPC framing included. */
  onBytes(bytes: number): void;
  /** The one message of the request, once the client has ended its side. */
  onMessage(message: Uint8Array): void;
  /** The request is not one readable message; the code and message to answer with. */
  onRefused(code: number, message: string, extra?: http2.OutgoingHttpHeaders): void;
  /** True once the call was answered otherwise: further input is ignored. */
  isOver(): boolean;
}

/** Reads the request of a unary call whole: one message, not compressed, of at most `maxBytes`. */
export function readRequest(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  method: string,
  maxBytes: number,
  listener: RequestListener,
): void {
  const reader = new MessageReader(maxBytes);
  stream.on('data', (chunk: Buffer) => {
    listener.onBytes(chunk.length);
    if (listener.isOver()) return;
    reader.push(chunk);
    const problem = problemOf(reader, method, headers['grpc-encoding'], maxBytes);
    if (problem !== undefined) listener.onRefused(problem.code, problem.message, problem.extra);
  });
  stream.on('end', () => {
    if (listener.isOver() || stream.closed || stream.aborted) return;
    if (reader.complete) {
      listener.onMessage(reader.message());
      return;
    }
    const { code, message } = cutShort(reader, method);
    listener.onRefused(code, message);
  });
}

/** The status of a call whose request cannot be read. */
export interface UnreadableRequest {
  readonly code: number;
  readonly message: string;
  /** More fields of the status. */
  readonly extra?: Readonly<Record<string, string>>;
}

/** What is wrong with the request so far, if anything. */
export function problemOf(
  reader: MessageReader,
  method: string,
  encoding: string | string[] | undefined,
  maxBytes: number,
): UnreadableRequest | undefined {
  switch (reader.problem) {
    case undefined:
      return undefined;
    case 'compressed':
      return {
        code: grpcStatusCode.UNIMPLEMENTED,
        message: `${method}: compressed request messages are not supported (grpc-encoding ${JSON.stringify(encoding ?? 'unknown')})`,
        extra: { 'grpc-accept-encoding': 'identity' },
      };
    case 'too-large':
      return {
        code: grpcStatusCode.RESOURCE_EXHAUSTED,
        message: `${method}: request message of ${reader.declared ?? 0} bytes is larger than ${maxBytes}`,
      };
    case 'too-many':
      return {
        code: grpcStatusCode.INTERNAL,
        message: `${method}: more than one request message in a unary call`,
      };
  }
}

/** The request has ended before its message has. */
export function cutShort(
  { empty }: { readonly empty: boolean },
  method: string,
): UnreadableRequest {
  const what = empty ? 'no request message' : 'request message cut short';
  return { code: grpcStatusCode.INTERNAL, message: `${method}: ${what}` };
}
