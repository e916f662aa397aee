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
    switch (reader.problem) {
      case undefined:
        return;
      case 'compressed':
        listener.onRefused(
          grpcStatusCode.UNIMPLEMENTED,
          `${method}: compressed request messages are not supported (grpc-encoding ${JSON.stringify(headers['grpc-encoding'] ?? 'unknown')})`,
          { 'grpc-accept-encoding': 'identity' },
        );
        return;
      case 'too-large':
        listener.onRefused(
          grpcStatusCode.RESOURCE_EXHAUSTED,
          `${method}: request message of ${reader.declared ?? 0} bytes is larger than ${maxBytes}`,
        );
        return;
      case 'too-many':
        listener.onRefused(
          grpcStatusCode.INTERNAL,
          `${method}: more than one request message in a unary call`,
        );
        return;
    }
  });
  stream.on('end', () => {
    if (listener.isOver() || stream.closed || stream.aborted) return;
    if (reader.complete) {
      listener.onMessage(reader.message());
      return;
    }
    const what = reader.empty ? 'no request message' : 'request message cut short';
    listener.onRefused(grpcStatusCode.INTERNAL, `${method}: ${what}`);
  });
}
