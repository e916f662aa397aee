import http2 from 'node:http2';
import type { Readable, Writable } from 'node:stream';
import { errorMessage, grpcStatusCode, ShuttingDownError } from '@stowage/errors';
import { endWithStatus, endWithTrailers, respond } from './reply';
import type { CallInFlight } from './call-in-flight';
import type { CallTap } from './call-tap';
import { decodeGrpcMessage } from './grpc-wire';
import type { CallOutcome } from './types';
import type { UpstreamSession, UpstreamSessions } from './upstream-sessions';

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_FLAG_END_STREAM } = http2.constants;

/** How a forwarded call ended. */
export interface ForwardResult {
  readonly outcome: CallOutcome;
  readonly grpcStatus?: number;
  /** Text of the status, unescaped. */
  readonly grpcMessage?: string;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** From the request's headers leaving to the runtime until its answer's end. */
  readonly upstreamMs: number;
}

/** One call to forward. */
export interface ForwardRequest {
  readonly stream: http2.ServerHttp2Stream;
  readonly headers: http2.IncomingHttpHeaders;
  readonly flags: number;
  readonly rawHeaders: readonly string[];
  /** Path to ask the runtime for. */
  readonly path: string;
  readonly address: string;
  /** The whole request, framed and not compressed, in place of the client's; else that is copied from the stream. */
  readonly body?: Buffer;
  /** Gets a copy of what passes. */
  readonly tap?: CallTap;
  /** Text of UNAVAILABLE, or undefined for the socket's own error. */
  unavailableReason(): string | undefined;
}

/**
 * Forwards one call, stream to stream: headers, DATA under both peers' flow control, trailers, a trailers-only
 * reply as such, resets both ways. When the runtime is absent or lost the client gets UNAVAILABLE with the reason.
 */
export function forwardCall(
  request: ForwardRequest,
  sessions: UpstreamSessions,
  done: (result: ForwardResult) => void,
): CallInFlight {
  const { stream } = request;
  const startedAt = performance.now();
  let upstream: http2.ClientHttp2Stream | undefined;
  let upstreamEndedAt: number | undefined;
  let outcome: CallOutcome | undefined;
  let grpcStatus: number | undefined;
  let grpcMessage: string | undefined;
  let trailers: http2.OutgoingHttpHeaders = {};
  let requestBytes = 0;
  let responseBytes = 0;

  const unavailable = (message: string): void => {
    outcome = 'unavailable';
    grpcStatus = grpcStatusCode.UNAVAILABLE;
    grpcMessage = message;
    endWithStatus(stream, grpcStatus, message);
    stream.resume();
  };
  const noteStatus = (headers: http2.IncomingHttpHeaders): void => {
    const value = headers['grpc-status'];
    if (typeof value === 'string' && /^\d+$/.test(value)) grpcStatus = Number(value);
    const message = headers['grpc-message'];
    if (typeof message === 'string') grpcMessage = decodeGrpcMessage(message);
  };
  const fromClient = (chunk: Buffer): void => {
    requestBytes += chunk.length;
    request.tap?.request(chunk);
  };
  const toClient = (chunk: Buffer): void => {
    responseBytes += chunk.length;
    request.tap?.response(chunk);
  };

  const begin = (connection: UpstreamSession): void => {
    const endsAtHeaders = (request.flags & NGHTTP2_FLAG_END_STREAM) !== 0;
    let forwarded: http2.ClientHttp2Stream;
    try {
      forwarded = connection.session.request(upstreamHeaders(request), {
        endStream: endsAtHeaders,
      });
    } catch (error) {
      // The session closed between being chosen and being asked, or a header cannot be sent again.
      unavailable(unavailableText(request, connection.failure ?? errorMessage(error)));
      return;
    }
    upstream = forwarded;
    connection.started++;
    connection.open++;
    stream.once('close', () => connection.open--);

    forwarded.on('error', () => undefined);
    forwarded.on('headers', (headers) => {
      if (!stream.headersSent && !stream.closed) stream.additionalHeaders(headers);
    });
    forwarded.on('response', (...args: unknown[]) => {
      const [headers, flags, rawHeaders] = args as [http2.IncomingHttpHeaders, number, string[]];
      const endStream = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
      noteStatus(headers);
      if (endStream) {
        outcome = 'completed';
        upstreamEndedAt = performance.now();
      }
      respond(stream, forwardable(headers, rawHeaders), {
        endStream,
        waitForTrailers: !endStream,
      });
    });
    forwarded.on('trailers', (...args: unknown[]) => {
      const [headers, , rawHeaders] = args as [http2.IncomingHttpHeaders, number, string[]];
      noteStatus(headers);
      trailers = forwardable(headers, rawHeaders);
    });
    forwarded.on('end', () => {
      // A reset or lost stream ends too; 'close' tells which it was.
      if (outcome !== undefined || forwarded.rstCode !== NGHTTP2_NO_ERROR || forwarded.destroyed)
        return;
      if (!stream.headersSent) return;
      outcome = 'completed';
      upstreamEndedAt = performance.now();
      endWithTrailers(stream, trailers);
    });
    forwarded.once('close', () => {
      upstreamEndedAt ??= performance.now();
      if (outcome === 'completed') {
        // The runtime answered before the request ended: take the rest and let the client close.
        stream.resume();
        return;
      }
      if (outcome !== undefined || stream.closed || stream.destroyed) return;
      if (lost(connection)) {
        unavailable(unavailableText(request, connection.failure ?? 'connection lost'));
      } else {
        outcome = 'reset';
        stream.close(forwarded.rstCode);
      }
    });
    if (request.body !== undefined) {
      fromClient(request.body);
      forwarded.end(request.body);
    } else if (!endsAtHeaders) {
      pump(stream, forwarded, fromClient, true);
    }
    pump(forwarded, stream, toClient, false);
  };

  stream.on('error', () => undefined);
  stream.once('close', () => {
    stopWaiting();
    if (upstream?.closed === false && !upstream.destroyed && outcome !== 'completed') {
      outcome ??= 'cancelled';
      upstream.close(stream.rstCode === NGHTTP2_NO_ERROR ? NGHTTP2_CANCEL : stream.rstCode);
    }
    const endedAt = upstreamEndedAt ?? performance.now();
    done({
      outcome: outcome ?? 'cancelled',
      grpcStatus,
      grpcMessage,
      requestBytes,
      responseBytes,
      upstreamMs: endedAt - startedAt,
    });
  });
  const stopWaiting = sessions.acquire(request.address, (found) => {
    if (found.session === undefined) unavailable(unavailableText(request, found.failure));
    else begin(found);
  });

  return {
    stop: (service) => {
      if (outcome !== undefined || stream.closed || stream.destroyed) return;
      stopWaiting();
      unavailable(new ShuttingDownError(service).message);
      upstream?.close(NGHTTP2_CANCEL);
    },
  };
}

/** Headers of the call as they go to the runtime. */
function upstreamHeaders(request: ForwardRequest): http2.OutgoingHttpHeaders {
  const { headers, rawHeaders, path, body } = request;
  const out = forwardable(headers, rawHeaders);
  delete out.host;
  if (body !== undefined) {
    // A message of our own: what the client says of its bytes does not hold for them, and a runtime may have another
    // codec for another content type.
    delete out['content-length'];
    delete out['grpc-encoding'];
    out['content-type'] = 'application/grpc';
  }
  out[':path'] = path;
  out[':authority'] = 'localhost';
  return out;
}

/** Copies chunks under back-pressure. With `ends` the end of the source ends the sink. */
function pump(
  source: Readable & { destroyed: boolean },
  sink: Writable,
  seen: (chunk: Buffer) => void,
  ends: boolean,
): void {
  source.on('data', (chunk: Buffer) => {
    seen(chunk);
    if (sink.destroyed || sink.writableEnded) return;
    if (!sink.write(chunk)) source.pause();
  });
  sink.on('drain', () => source.resume());
  if (ends) {
    source.on('end', () => {
      if (!sink.destroyed && !sink.writableEnded) sink.end();
    });
  }
}

/**
 * Headers to send on as they came. node:http2 joins repeated ones into one string; they are taken apart again,
 * except for those that it allows only once, of which it kept the first.
 */
function forwardable(
  headers: http2.IncomingHttpHeaders,
  rawHeaders: readonly string[],
): http2.OutgoingHttpHeaders {
  const out: http2.OutgoingHttpHeaders = headers;
  if (rawHeaders.length === Object.keys(headers).length * 2) return out;
  const values = new Map<string, string[]>();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    const known = values.get(name);
    if (known === undefined) values.set(name, [value]);
    else known.push(value);
  }
  for (const [name, all] of values) {
    if (all.length > 1 && headers[name] !== all[0]) out[name] = all;
  }
  return out;
}

function lost({ session, failure }: UpstreamSession): boolean {
  return session.destroyed || failure !== undefined;
}

function unavailableText(request: ForwardRequest, failure: string): string {
  return (
    request.unavailableReason() ??
    `container runtime at ${request.address} is unavailable: ${failure}`
  );
}
