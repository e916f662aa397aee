import type { EventData, EventName } from '@stowage/events';
import type { NatsConnection } from 'nats';

/**
 * Where the NATS servers are and how to log in. At most one of creds file, nkey, user and token.
 */
export interface NatsOptions {
  /**
   * `nats://host:port` or `host:port`; `tls://` asks for TLS. The URL may contain user and
   * password. None: there is no NATS, and events stay on the node ({@link EventBus.recent}).
   */
  servers: readonly string[];
  /**
   * File with user JWT and nkey seed, as `nsc` writes it. Read at each connect, so it may be
   * renewed.
   */
  credsFile?: string;
  /** File with an nkey seed. Read at each connect. */
  nkeySeedFile?: string;
  user?: string;
  password?: string;
  token?: string;
  tls?: {
    /** CA that signed the servers' certificates; the system's CAs when absent. */
    caFile?: string;
    /** Client certificate; with `keyFile`. */
    certFile?: string;
    keyFile?: string;
  };
  /** Prefix of reply subjects, where permissions give each role its own. Default `_INBOX`. */
  inboxPrefix?: string;
  /** Bound of one connection attempt, milliseconds. Default 5 000. */
  connectTimeoutMs?: number;
  /**
   * Pause between attempts to reconnect, milliseconds; up to as much again is added at random.
   * Default 500.
   */
  reconnectWaitMs?: number;
}

/** Limits of the stream when this process creates it; an existing one is never changed. */
export interface StreamOptions {
  /** Create the stream when it is absent. Default true. */
  manage?: boolean;
  /** Age at which JetStream drops an event, milliseconds. Default 7 days. */
  maxAgeMs?: number;
  /** Size at which JetStream drops the oldest events, bytes. Default 1 GiB. */
  maxBytes?: number;
  /**
   * Within this time JetStream drops a second message with the same id, milliseconds. Default 2
   * minutes.
   */
  duplicateWindowMs?: number;
  /** Copies in a NATS cluster. Default 1. */
  replicas?: number;
}

/** Bounds of the outbox; the oldest events go first. */
export interface OutboxOptions {
  /** Default 100 000. */
  maxEvents?: number;
  /** Sum of the message sizes, bytes. Default 64 MiB. */
  maxBytes?: number;
}

/** Where the bus logs; a pino logger fits. */
export interface BusLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** How to open a bus. */
export interface EventBusOptions {
  /** Folder for the outbox; made when absent. One process at a time. */
  stateDir: string;
  /** Node name, as it stands in subjects and sources. */
  node: string;
  /** Name of the service, as in `image-service`. */
  app: string;
  nats: NatsOptions;
  stream?: StreamOptions;
  outbox?: OutboxOptions;
  log: BusLog;
  now?: () => Date;
}

/** An event as its publisher passes it. */
export interface PublishedEvent<N extends EventName> {
  /** Image id, container id …: see the event's definition. */
  subject: string;
  data: EventData<N>;
  /** W3C trace context of the call that caused it. */
  traceparent?: string;
  /** When it happened; now when absent. */
  time?: Date;
}

/** State of delivery. `reason` is absent when events flow. */
export interface EventBusStatus {
  /** There is no NATS to deliver to, by configuration. */
  isLocal: boolean;
  /** The connection to NATS is up. */
  connected: boolean;
  /** When this state began: since then events flow, or do not flow. */
  since: Date;
  /**
   * Why events do not reach JetStream, or why the outbox is not on disk. One line, without secrets.
   */
  reason?: string;
  /** Events that JetStream has not acknowledged. */
  pending: number;
  pendingBytes: number;
  /** Time of the oldest of them. */
  oldestPendingAt?: Date;
  /** Events JetStream acknowledged since the start of the process. */
  published: number;
  /** Events dropped since the start of the process. */
  dropped: number;
  /** Attempts that JetStream did not acknowledge since the start of the process. */
  failures: number;
  /** False while the outbox file refuses writes: a bounded number of events waits in memory. */
  isOnDisk: boolean;
}

/** Which events are asked for. */
export interface RecentEventsQuery {
  /** Events at that time and later. */
  readonly since?: Date;
  /** Events of these names. */
  readonly names?: readonly EventName[];
  /** Events whose CloudEvents attribute `subject` is this. */
  readonly subject?: string;
  /** The first ones after this position; else the last ones there are. */
  readonly after?: number;
  readonly limit: number;
}

/** Events in the order in which they were published. */
export interface RecentEvents {
  /** CloudEvents, as they go on the wire. */
  readonly events: readonly Readonly<Record<string, unknown>>[];
  /** Position to continue after. */
  readonly next: number;
  /** There are more after that position. */
  readonly more: boolean;
  /** Events that are kept, of all kinds. */
  readonly kept: number;
  /** Time of the oldest of them. */
  readonly oldest?: Date;
}

/** Publishes events through an outbox on disk. */
export interface EventBus {
  /**
   * Writes the event to the outbox (one local write, no waiting for NATS) and returns its id.
   * Throws only EventFormatError (data that break the schema) and EventTooLargeError;
   * {@link EventBus.status} reports trouble with NATS or with the disk.
   */
  publish<N extends EventName>(name: N, event: PublishedEvent<N>): string;
  /**
   * As {@link EventBus.publish} for many events at once, with a local write for every few hundred
   * instead of for each. With EventFormatError none of them is published, with EventTooLargeError
   * perhaps those before the one that is too large.
   */
  publishAll<N extends EventName>(name: N, events: readonly PublishedEvent<N>[]): string[];
  status(): EventBusStatus;
  /**
   * The last events that were published, whatever became of their delivery: at most
   * `maxRecent.events` of them, in the file `events.db` of the state directory. Empty where that
   * cannot be read.
   */
  recent(query: RecentEventsQuery): RecentEvents;
  /**
   * Sequence of the next event. A publisher that records it before it publishes can find out after
   * a kill whether it has published: then this number is higher.
   */
  nextSequence(): number;
  /** Calls back when `connected` or `reason` changed. Returns a function that stops that. */
  onStatus(listener: (status: EventBusStatus) => void): () => void;
  /**
   * The connection, for commands and queries; absent until the first connect. It reconnects by
   * itself.
   */
  natsConnection(): NatsConnection | undefined;
  /**
   * Calls back with the connection: now, when there is one, and again only when it had to be
   * replaced (not after each reconnect: subscriptions are kept). Returns a function that stops
   * that.
   */
  onConnected(listener: (connection: NatsConnection) => void): () => void;
  /**
   * Waits until everything is delivered: true. False when the signal aborts or the bus is closed
   * before.
   */
  flush(options?: { signal?: AbortSignal }): Promise<boolean>;
  /**
   * Gives up the outbox to another process, which opens it and delivers the rest. The connection
   * stays open for pending replies. Events published from now on go through the folder
   * `handed-over` of the state directory, where the other process picks them up within a second and
   * assigns its own sequence.
   */
  release(): Promise<void>;
  /**
   * Delivers what it can within `drainMs` (default 2 000, only while connected) and ends. The rest
   * stays on disk.
   */
  close(options?: { drainMs?: number }): Promise<void>;
}
