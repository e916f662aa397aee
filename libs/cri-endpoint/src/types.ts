/** Where an endpoint listens and who may connect. */
export interface ListenOptions {
  /** Absolute path of the unix socket. The parent directory is created when it is absent. */
  readonly socketPath: string;
  /** Permission bits of the socket file; default `0o600`. */
  readonly mode?: number;
  /** Group that owns the socket file, by name or number; default: the group of the process. */
  readonly group?: string | number;
  /**
   * Descriptor of a socket that listens already (see `activatedSockets`). Folder, mode, group and
   * the file itself are then up to its creator.
   */
  readonly fd?: number;
  /**
   * Take the path over, by renaming onto it, also from a process that answers there. Default false.
   */
  readonly takeOver?: boolean;
  /**
   * Called once when another socket has replaced ours at the path. Connections made before still
   * arrive; the caller should close.
   */
  onReplaced?(): void;
}

/** A listening endpoint. */
export interface Endpoint {
  readonly socketPath: string;
  /**
   * Stops accepting, sends every client elsewhere (GOAWAY), lets calls in flight end for at most
   * `drainMs` (default 0: end at once), then closes; streams without an end (see
   * `endless-streams.ts`) end at once. The socket file is removed if it is still ours. A second
   * call waits for the first one, and shortens it when it allows less time.
   */
  close(options?: { drainMs?: number }): Promise<void>;
  /**
   * Stops observing calls, which themselves continue: those in flight are reported to the observer
   * as unobserved, with what was read of them so far.
   */
  stopObserving(): void;
  /** Numbers since the endpoint was created. */
  stats(): EndpointStats;
}

/** Numbers of an endpoint since it was created; `open…` and `…InFlight` are as of now. */
export interface EndpointStats {
  readonly acceptedConnections: number;
  readonly openConnections: number;
  readonly callsInFlight: number;
  /**
   * Connections that broke HTTP/2, or (piped endpoint) that the reader detached from, by reason.
   */
  readonly detached: Readonly<Partial<Record<DetachReason, number>>>;
  /** Stuck connections to the runtime that were given up (not on the piped endpoint). */
  readonly upstreamsGivenUp?: number;
}

/**
 * Why an endpoint stopped following a connection.
 *
 * `not-http2`: no client preface, or another protocol; `frame`: a frame that RFC 9113 forbids;
 * `hpack`: a header block that cannot be decoded; `header-size`: a header block above the bound;
 * `streams`: more streams open than the bound; `observer`: an error inside the reader itself;
 * `protocol` (not on the piped endpoint): the client broke HTTP/2, or sent too much of what does no
 * work, and its connection was closed; `stalled` (not on the piped endpoint): the client read
 * nothing for a minute while something waited to be sent to it.
 */
export type DetachReason =
  'not-http2' | 'frame' | 'hpack' | 'header-size' | 'streams' | 'observer' | 'protocol' | 'stalled';

/** How a call ended, as far as the endpoint could see. */
export type CallOutcome =
  /** The runtime (or the local handler) answered to the end. */
  | 'completed'
  /** The client reset the stream or went away. */
  | 'cancelled'
  /** The runtime reset the stream. */
  | 'reset'
  /** The runtime was absent or lost; the client got UNAVAILABLE. */
  | 'unavailable'
  /**
   * The reader detached from the connection while the call was in flight, or observation was
   * stopped.
   */
  | 'unobserved';

/** One call, without its bodies; for metrics. */
export interface CallSummary {
  /** gRPC method path as the client sent it, for example `/runtime.v1.RuntimeService/Version`. */
  readonly method: string;
  readonly outcome: CallOutcome;
  /** `local`: answered by a handler of this process. */
  readonly servedBy: 'runtime' | 'local';
  /** The status the client got; absent when the stream ended without one. */
  readonly grpcStatus?: number;
  /** Bytes of DATA from the client, gRPC framing included. */
  readonly requestBytes: number;
  /** Bytes of DATA to the client, gRPC framing included. */
  readonly responseBytes: number;
  /** When the request headers arrived, milliseconds since the epoch. */
  readonly startedAt: number;
  /** From the request headers to the end of the stream. */
  readonly durationMs: number;
  /**
   * The part of `durationMs` that this process spent on the call itself, as against waiting for
   * others.
   */
  readonly ownMs: number;
}

/**
 * Notified of every call that an endpoint sees, without its messages; for metrics. Must not throw;
 * exceptions are swallowed.
 */
export interface CallListener {
  started?(method: string): void;
  ended?(call: CallSummary): void;
}

/** The call as a local handler sees it. */
export interface UnaryCall {
  /**
   * gRPC method path as the client sent it; `runtime.v1alpha2` paths reach the same handler as
   * `runtime.v1`.
   */
  readonly method: string;
  /** Aborted when the client cancels, the deadline passes or the endpoint is closed. */
  readonly signal: AbortSignal;
  /** From `grpc-timeout`; absent when the client set none. */
  readonly deadline?: Date;
  /**
   * Request metadata without pseudo and `grpc-` headers; several values of a name are joined by
   * `, `.
   */
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Resolves when the last byte of the answer has left this process, or the call has ended
   * otherwise; at the latest one second after the answer was given, so that a client that does not
   * read it delays nobody. Never rejects. Use it for work that the client shall not wait for; a
   * handler that waits for it itself never answers.
   */
  readonly answered: Promise<void>;
}

/**
 * Answers one unary call: request message bytes in, response message bytes out. A thrown error
 * becomes the call's status by `toGrpcStatus` of `@stowage/errors`.
 */
export type UnaryHandler = (request: Uint8Array, call: UnaryCall) => Promise<Uint8Array>;

/** The call as a handler that streams its answer sees it. */
export interface StreamCall extends UnaryCall {
  /**
   * Sends one message. Resolves when there is room for the next one: what waits for the client is
   * this message and less than 16 KiB before it. Rejects when the call is over, with the reason of
   * `signal`.
   */
  readonly send: (message: Uint8Array) => Promise<void>;
  /**
   * Ends the call with the status of `error` now, also while `send` waits for a client that does
   * not read: `signal` is aborted and `send` rejects. What was sent comes before the status.
   */
  readonly fail: (error: unknown) => void;
}

/** Answers one call with any number of messages. */
export interface StreamHandler {
  /**
   * The call ends when the promise settles: with OK, or with the status of what was thrown. A
   * handler that waits for anything but `send` must end when `signal` is aborted.
   */
  stream(request: Uint8Array, call: StreamCall): Promise<void>;
}

/** What answers the calls of a method in place of the runtime: a function for unary methods. */
export type LocalHandler = UnaryHandler | StreamHandler;

/**
 * Checks a request message before it is forwarded, and returns the message that the runtime gets
 * instead. A reliable check re-encodes what it has understood, because the runtime may read the
 * client's bytes differently. What it throws becomes the status of the call.
 */
export type RequestCheck = (
  request: Uint8Array,
  call: CheckedCall,
) => Uint8Array | Promise<Uint8Array>;

/** The call as a check that must wait sees it. */
export interface CheckedCall {
  /** Aborted when the call has ended meanwhile. Created on first use: most checks do not wait. */
  readonly signal: AbortSignal;
}

/**
 * Gets the messages of the calls that it observes. Must not throw; exceptions are swallowed, and
 * the call is not affected.
 */
export interface MessageObserver {
  /** Whether the messages of `method` are wanted; asked once a call. */
  observes(method: string): boolean;
  /** An observed call has begun. */
  started?(method: string): void;
  /**
   * The complete request message of an observed call has arrived and was sent on to the runtime.
   */
  requested?(method: string, request: Uint8Array): void;
  /**
   * An observed call has ended; called after its end was sent to the client, however it was
   * answered.
   */
  ended(call: ObservedCall): void;
}

/**
 * A call whose messages were asked for; what is absent could not be followed or was beyond the
 * bound.
 */
export interface ObservedCall {
  /** gRPC method path as the client sent it. */
  readonly method: string;
  readonly outcome: CallOutcome;
  /** The first request message, without its gRPC prefix. */
  readonly request?: Uint8Array;
  /** The first response message, without its gRPC prefix. */
  readonly response?: Uint8Array;
  /** Absent when the stream ended without one. */
  readonly grpcStatus?: number;
  /** Text of the status, unescaped. */
  readonly grpcMessage?: string;
  /** When the request headers arrived, milliseconds since the epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
}
