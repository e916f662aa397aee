import type { Duplex, Readable, Writable } from 'node:stream';

/** Size of a terminal in characters; both are at least 1. */
export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** The streams of a client. */
export interface ExecIo {
  /** What the client types; ends when the client ends it. Absent where it was not asked for. */
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  /** Never there with a terminal. */
  readonly stderr: Writable | undefined;
  /** Calls the listener with the last size so far, and with each that follows. */
  onResize(listener: (size: TerminalSize) => void): void;
  /** Aborted when the client is gone, or the server ends the session. */
  readonly signal: AbortSignal;
}

/** What a session runs: a command, or the streams of a container. */
export interface ExecTarget {
  /**
   * Runs until all output is written, and resolves with the exit code. What it throws is reported
   * to the client as an internal error. After `io.signal` is aborted nobody waits for it any more.
   */
  run(io: ExecIo): Promise<number>;
}

/** Where ports are forwarded to. */
export interface PortTarget {
  /** Opens a connection to a port. The message of an error is shown to the client. */
  connect(port: number, options: { readonly signal: AbortSignal }): Promise<Duplex>;
}

/** Which streams a client will open. */
export interface RequestedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

export type SessionKind = 'exec' | 'attach' | 'portforward';

/** What a session is carried by; the last is SPDY inside a WebSocket. */
export type SessionProtocol = 'spdy' | 'websocket' | 'spdy-in-websocket';

/** A session that has begun, for metrics. */
export interface StreamingSession {
  readonly kind: SessionKind;
  readonly protocol: SessionProtocol;
}

export interface StreamingSessionListener {
  started?(session: StreamingSession): void;
  ended?(session: StreamingSession & { readonly durationMs: number }): void;
}
