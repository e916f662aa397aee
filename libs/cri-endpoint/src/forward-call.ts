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
  /** The whole request, where it was read before; else it is copied from the stream. */
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
  const connection = sessions.acquire(request.address);
  const startedAt = performance.now();
  let upstreamEndedAt: number | undefined;
  let outcome: CallOutcome | undefined;
  let grpcStatus: number | undefined;
  let grpcMessage: string | undefined;
  let requestBytes = 0;
  let responseBytes = 0;
  connection.started++;
  connection.open++;

  stream.on('error', () => undefined);
  const finish = (): void => {
    connection.open--;
    const endedAt = upstreamEndedAt ?? performance.now();
    done({
      outcome: outcome ?? 'cancelled',
      grpcStatus,
      grpcMessage,
      requestBytes,
      responseBytes,
      upstreamMs: endedAt - startedAt,
    });
  };
  const unavailable = (message = unavailableText(request, connection)): void => {
    outcome = 'unavailable';
    grpcStatus = grpcStatusCode.UNAVAILABLE;
    grpcMessage = message;
    endWithStatus(stream, grpcStatus, message);
    stream.resume();
  };

  const endsAtHeaders = (request.flags & NGHTTP2_FLAG_END_STREAM) !== 0;
  let upstream: http2.ClientHttp2Stream;
  try {
    const headers = forwardable(request.headers, request.rawHeaders);
    delete headers.host;
    headers[':path'] = request.path;
    headers[':authority'] = 'localhost';
    upstream = connection.session.request(headers, { endStream: endsAtHeaders });
  } catch (error) {
    // The session closed between being chosen and being asked, or a header cannot be sent again.
    stream.once('close', finish);
    unavailable(unavailableText(request, { ...connection, failure: errorMessage(error) }));
    return { stop: () => undefined };
  }

  let trailers: http2.OutgoingHttpHeaders = {};
  const noteStatus = (headers: http2.IncomingHttpHeaders): void => {
    const value = headers['grpc-status'];
    if (typeof value === 'string' && /^\d+$/.test(value)) grpcStatus = Number(value);
    const message = headers['grpc-message'];
    if (typeof message === 'string') grpcMessage = decodeGrpcMessage(message);
  };
  upstream.on('error', () => undefined);
  upstream.on('headers', (headers) => {
    if (!stream.headersSent && !stream.closed) stream.additionalHeaders(headers);
  });
  upstream.on('response', (...args: unknown[]) => {
    const [headers, flags, rawHeaders] = args as [http2.IncomingHttpHeaders, number, string[]];
    const endStream = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
    noteStatus(headers);
    if (endStream) {
      outcome = 'completed';
      upstreamEndedAt = performance.now();
    }
    respond(stream, forwardable(headers, rawHeaders), { endStream, waitForTrailers: !endStream });
  });
  upstream.on('trailers', (...args: unknown[]) => {
    const [headers, , rawHeaders] = args as [http2.IncomingHttpHeaders, number, string[]];
    noteStatus(headers);
    trailers = forwardable(headers, rawHeaders);
  });
  upstream.on('end', () => {
    // A reset or lost stream ends too; 'close' tells which it was.
    if (outcome !== undefined || upstream.rstCode !== NGHTTP2_NO_ERROR || upstream.destroyed)
      return;
    if (!stream.headersSent) return;
    outcome = 'completed';
    upstreamEndedAt = performance.now();
    endWithTrailers(stream, trailers);
  });
  upstream.once('close', () => {
    upstreamEndedAt ??= performance.now();
    if (outcome === 'completed') {
      // The runtime answered before the request ended: take the rest and let the client close.
      stream.resume();
      return;
    }
    if (outcome !== undefined || stream.closed || stream.destroyed) return;
    if (lost(connection)) {
      unavailable();
    } else {
      outcome = 'reset';
      stream.close(upstream.rstCode);
    }
  });

  stream.once('close', () => {
    if (!upstream.closed && !upstream.destroyed && outcome !== 'completed') {
      outcome ??= 'cancelled';
      upstream.close(stream.rstCode === NGHTTP2_NO_ERROR ? NGHTTP2_CANCEL : stream.rstCode);
    }
    finish();
  });
  const { tap, body } = request;
  const fromClient = (chunk: Buffer): void => {
    requestBytes += chunk.length;
    tap?.request(chunk);
  };
  if (body !== undefined) {
    fromClient(body);
    upstream.end(body);
  } else if (!endsAtHeaders) {
    pump(stream, upstream, fromClient, true);
  }
  const toClient = (chunk: Buffer): void => {
    responseBytes += chunk.length;
    tap?.response(chunk);
  };
  pump(upstream, stream, toClient, false);

  return {
    stop: (service) => {
      if (outcome !== undefined || stream.closed || stream.destroyed) return;
      unavailable(new ShuttingDownError(service).message);
      upstream.close(NGHTTP2_CANCEL);
    },
  };
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
    if (!sink.write(chunk)) {
      source.pause();
      sink.once('drain', () => source.resume());
    }
  });
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

function unavailableText(request: ForwardRequest, connection: UpstreamSession): string {
  return (
    request.unavailableReason() ??
    `container runtime at ${request.address} is unavailable: ${connection.failure ?? 'connection lost'}`
  );
}
