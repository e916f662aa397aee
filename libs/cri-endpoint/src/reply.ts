import http2 from 'node:http2';
import { encodeGrpcMessage, frameMessage } from './grpc-wire';

/** `sendDate` exists in node:http2 and not in its types: a forwarder adds no header of its own. */
type ResponseOptions = http2.ServerStreamResponseOptions & { sendDate?: boolean };

/** Sends response headers as they are. False when the stream is gone. */
export function respond(
  stream: http2.ServerHttp2Stream,
  headers: http2.OutgoingHttpHeaders,
  options: ResponseOptions,
): boolean {
  if (stream.destroyed || stream.closed || stream.headersSent) return false;
  stream.respond(headers, { sendDate: false, ...options });
  return true;
}

/**
 * Sends the last data, if any, and trailers once all data has left; an empty set ends the stream
 * without trailers.
 */
export function endWithTrailers(
  stream: http2.ServerHttp2Stream,
  trailers: http2.OutgoingHttpHeaders,
  lastData?: Uint8Array,
): void {
  if (stream.destroyed || stream.closed) return;
  stream.on('wantTrailers', () => {
    if (!stream.destroyed && !stream.closed) stream.sendTrailers(trailers);
  });
  stream.end(lastData);
}

/**
 * Ends a call with a status: as a trailers-only reply when no headers were sent, else in trailers.
 * After a trailers-only reply, a request that has not ended is cut off with RST_STREAM (NO_ERROR).
 */
export function endWithStatus(
  stream: http2.ServerHttp2Stream,
  code: number,
  message: string,
  extra: http2.OutgoingHttpHeaders = {},
): void {
  const status = {
    'grpc-status': String(code),
    ...(message === '' ? {} : { 'grpc-message': encodeGrpcMessage(message) }),
    ...extra,
  };
  if (stream.headersSent) {
    endWithTrailers(stream, status);
    return;
  }
  respond(
    stream,
    { ':status': 200, 'content-type': 'application/grpc', ...status },
    { endStream: true },
  );
  // The rest of the request is not awaited, and what has arrived is dropped. In the next turn, so
  // that the reply leaves first.
  setImmediate(() => {
    if (!stream.readableEnded && !stream.closed) stream.close(http2.constants.NGHTTP2_NO_ERROR);
  });
}

/** Answers a unary call with its one message. Returns the DATA bytes sent. */
export function endWithMessage(stream: http2.ServerHttp2Stream, message: Uint8Array): number {
  const framed = frameMessage(message);
  const headers = { ':status': 200, 'content-type': 'application/grpc' };
  if (!respond(stream, headers, { waitForTrailers: true })) return 0;
  endWithTrailers(stream, { 'grpc-status': '0' }, framed);
  return framed.byteLength;
}
