import type { TraceContext } from '@stowage/tracing';
import type { Logger } from '../log';

/** A message as core NATS hands it over; the `Msg` of the nats package fits. */
export interface CommandMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply?: string;
  readonly headers?: { get(name: string): string };
  respond(data: Uint8Array): boolean;
}

/** A subscription; the `Subscription` of the nats package fits. */
export interface CommandSubscription {
  unsubscribe(): void;
}

/** A connection; the `NatsConnection` of the nats package fits. */
export interface CommandConnection {
  readonly info?: { readonly max_payload?: number };
  subscribe(
    subject: string,
    options: {
      queue?: string;
      callback: (error: Error | null, message: CommandMessage) => void;
    },
  ): CommandSubscription;
}

/**
 * Where connections come from; the event bus fits. Each connection is announced once it is usable.
 */
export interface CommandConnections {
  /**
   * Calls `listener` for a connection that is there, and for each new one. Returns how to stop
   * that.
   */
  onConnected(listener: (connection: CommandConnection) => void): () => void;
}

/** What a command's handler gets beside its input. */
export interface CommandCall {
  readonly verb: string;
  readonly subject: string;
  /**
   * Aborted when the command's time is over, or when the service stops and the time to finish has
   * passed.
   */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /**
   * The command's place in a trace: of its span, or without an SDK that of the headers. Empty where
   * there is none.
   */
  readonly trace: TraceContext;
}

/** Outcome of one command, for metrics. */
export interface CommandObservation {
  readonly verb: string;
  /** `OK` or a gRPC status name. */
  readonly code: string;
  readonly durationMs: number;
}
