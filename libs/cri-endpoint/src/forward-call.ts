import http2 from 'node:http2';
import type { Readable, Writable } from 'node:stream';
import { errorMessage, grpcStatusCode, ShuttingDownError } from '@stowage/errors';
import { endWithStatus, endWithTrailers, respond } from './reply';
import type { CallInFlight } from './call-in-flight';
import type { CallTap } from './call-tap';
import { dropListeners, ignore } from './drop-listeners';
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
  /**
   * The whole request, framed and not compressed, in place of the client's; else that is copied
   * from the stream.
   */
  readonly body?: Buffer;
  /** Gets a copy of the messages. */
  readonly tap?: CallTap;
  /** Text of UNAVAILABLE, or undefined for the socket's own error. */
  unavailableReason(): string | undefined;
}

/**
 * Forwards one call, stream to stream: headers, DATA under both peers' flow control, trailers, a
 * trailers-only reply as such, resets both ways. When the runtime is absent or lost the client gets
 * UNAVAILABLE with the reason.
 *
 * A class, as `HeldCall` is: creating functions for every call would cost a tenth of its time (see
 * `keepNames` in tools/build.mjs).
 */
export class ForwardedCall implements CallInFlight {
  private readonly startedAt = performance.now();
  private readonly stopWaiting: () => void;
  private connection: UpstreamSession | undefined;
  private upstream: http2.ClientHttp2Stream | undefined;
  private upstreamEndedAt: number | undefined;
  private outcome: CallOutcome | undefined;
  private grpcStatus: number | undefined;
  private grpcMessage: string | undefined;
  private trailers: http2.OutgoingHttpHeaders = {};
  private requestBytes = 0;
  private responseBytes = 0;

  /** @param done called once, when the client's stream has closed. */
  constructor(
    private readonly request: ForwardRequest,
    sessions: UpstreamSessions,
    private readonly done: (result: ForwardResult) => void,
  ) {
    const { stream } = request;
    stream.on('close', () => this.closed());
    this.stopWaiting = sessions.acquire(request.address, (found) => {
      if (found.session === undefined) this.unavailable(unavailableText(request, found.failure));
      else this.begin(found);
    });
  }

  stop(service: string): void {
    const { stream } = this.request;
    if (this.outcome !== undefined || stream.closed || stream.destroyed) return;
    this.stopWaiting();
    this.unavailable(new ShuttingDownError(service).message);
    this.upstream?.close(NGHTTP2_CANCEL);
  }

  private begin(connection: UpstreamSession): void {
    const { request } = this;
    const { stream, body } = request;
    const endsAtHeaders = (request.flags & NGHTTP2_FLAG_END_STREAM) !== 0;
    let upstream: http2.ClientHttp2Stream;
    try {
      upstream = connection.session.request(upstreamHeaders(request), { endStream: endsAtHeaders });
    } catch (error) {
      // The session closed between being chosen and being asked, or a header cannot be sent again.
      this.unavailable(unavailableText(request, connection.failure ?? errorMessage(error)));
      return;
    }
    this.connection = connection;
    this.upstream = upstream;
    connection.started++;
    connection.open++;

    upstream.on('error', ignore);
    upstream.on('headers', (headers) => {
      if (!stream.headersSent && !stream.closed) stream.additionalHeaders(headers);
    });
    upstream.on('response', (...args: unknown[]) => this.answered(args as HeadersArguments));
    upstream.on('trailers', (...args: unknown[]) => {
      const [headers, , rawHeaders] = args as HeadersArguments;
      this.noteStatus(headers);
      this.trailers = forwardable(headers, rawHeaders);
    });
    upstream.on('end', () => this.answerEnded(upstream));
    upstream.on('close', () => this.upstreamClosed(upstream, connection));
    if (body !== undefined) {
      this.fromClient(body);
      upstream.end(body);
    } else if (!endsAtHeaders) {
      pump(stream, upstream, (chunk) => this.fromClient(chunk), true);
    }
    pump(upstream, stream, (chunk) => this.toClient(chunk), false);
  }

  private answered([headers, flags, rawHeaders]: HeadersArguments): void {
    const endStream = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
    this.noteStatus(headers);
    if (endStream) {
      this.outcome = 'completed';
      this.upstreamEndedAt = performance.now();
    }
    respond(this.request.stream, forwardable(headers, rawHeaders), {
      endStream,
      waitForTrailers: !endStream,
    });
  }

  private answerEnded(upstream: http2.ClientHttp2Stream): void {
    const { stream } = this.request;
    // A reset or lost stream ends too; 'close' shows which it was.
    if (this.outcome !== undefined) return;
    if (upstream.rstCode !== NGHTTP2_NO_ERROR || upstream.destroyed) return;
    if (!stream.headersSent) return;
    this.outcome = 'completed';
    this.upstreamEndedAt = performance.now();
    endWithTrailers(stream, this.trailers);
  }

  private upstreamClosed(upstream: http2.ClientHttp2Stream, connection: UpstreamSession): void {
    const { stream } = this.request;
    dropListeners(upstream);
    this.upstreamEndedAt ??= performance.now();
    if (this.outcome === 'completed') {
      // The runtime answered before the request ended: take the rest and let the client close.
      stream.resume();
      return;
    }
    if (this.outcome !== undefined || stream.closed || stream.destroyed) return;
    if (lost(connection)) {
      this.unavailable(unavailableText(this.request, connection.failure ?? 'connection lost'));
    } else {
      this.outcome = 'reset';
      stream.close(upstream.rstCode);
    }
  }

  /** The client's stream has closed. */
  private closed(): void {
    const { upstream, connection } = this;
    const { stream } = this.request;
    this.stopWaiting();
    if (connection !== undefined) connection.open--;
    if (upstream?.closed === false && !upstream.destroyed && this.outcome !== 'completed') {
      this.outcome ??= 'cancelled';
      upstream.close(stream.rstCode === NGHTTP2_NO_ERROR ? NGHTTP2_CANCEL : stream.rstCode);
    }
    const endedAt = this.upstreamEndedAt ?? performance.now();
    this.done({
      outcome: this.outcome ?? 'cancelled',
      grpcStatus: this.grpcStatus,
      grpcMessage: this.grpcMessage,
      requestBytes: this.requestBytes,
      responseBytes: this.responseBytes,
      upstreamMs: endedAt - this.startedAt,
    });
  }

  private unavailable(message: string): void {
    const { stream } = this.request;
    this.outcome = 'unavailable';
    this.grpcStatus = grpcStatusCode.UNAVAILABLE;
    this.grpcMessage = message;
    endWithStatus(stream, this.grpcStatus, message);
    stream.resume();
  }

  private noteStatus(headers: http2.IncomingHttpHeaders): void {
    const value = headers['grpc-status'];
    if (typeof value === 'string' && /^\d+$/.test(value)) this.grpcStatus = Number(value);
    const message = headers['grpc-message'];
    if (typeof message === 'string') this.grpcMessage = decodeGrpcMessage(message);
  }

  private fromClient(chunk: Buffer): void {
    this.requestBytes += chunk.length;
    this.request.tap?.request(chunk);
  }

  private toClient(chunk: Buffer): void {
    this.responseBytes += chunk.length;
    this.request.tap?.response(chunk);
  }
}

/** Arguments of the 'response' and 'trailers' events. */
type HeadersArguments = [headers: http2.IncomingHttpHeaders, flags: number, rawHeaders: string[]];

/** Headers of the call as they go to the runtime. */
function upstreamHeaders(request: ForwardRequest): http2.OutgoingHttpHeaders {
  const { headers, rawHeaders, path, body } = request;
  const out = forwardable(headers, rawHeaders);
  delete out.host;
  if (body !== undefined) {
    // The message is our own: the client's headers about its bytes do not apply, and a runtime may
    // have another codec for another content type.
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
 * Headers to send on as they came. node:http2 joins repeated ones into one string; they are taken
 * apart again, except for those that it allows only once, of which it kept the first.
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
