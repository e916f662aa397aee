import { errorMessage, InvalidArgumentError } from '@stowage/errors';
import type { JetStreamClient, JetStreamManager, MsgHdrs, NatsConnection } from 'nats';

/**
 * A connection of the NATS client version 3 (`@nats-io/transport-node` and the other transports),
 * as far as it is used. JetStream is a package of its own there, `@nats-io/jetstream`, which must
 * be installed beside it.
 */
export interface NatsConnection3 {
  readonly info?: { readonly max_payload: number };
  isClosed(): boolean;
  flush(): Promise<void>;
  request(subject: string): Promise<unknown>;
}

/** A connection that events can be consumed over: of `nats` 2, or of `@nats-io/…` 3. */
export type EventConnection = NatsConnection | NatsConnection3;

/** JetStream over a connection, alike for both versions of the client. */
export interface ConsumerConnection {
  readonly connection: EventConnection;
  /** Access to the API under a prefix; nothing is asked. */
  manager(apiPrefix: string): Promise<JetStreamManager>;
  client(options: { apiPrefix?: string; timeout?: number }): JetStreamClient;
  /** New headers for a message. */
  headers(): Promise<MsgHdrs>;
}

/** The functions of `@nats-io/jetstream` 3 that are used. What they return has the shape of 2. */
interface JetStream3 {
  readonly jetstream: (
    connection: NatsConnection3,
    options?: { apiPrefix?: string; timeout?: number },
  ) => JetStreamClient;
  readonly jetstreamManager: (
    connection: NatsConnection3,
    options?: { apiPrefix?: string; checkAPI?: boolean },
  ) => Promise<JetStreamManager>;
}

const packages3 = { jetStream: '@nats-io/jetstream', core: '@nats-io/nats-core' } as const;

const allowed = `a connection of nats 2, or of @nats-io/transport-node 3 with ${packages3.jetStream} beside it`;

/**
 * Finds out the client's version by the shape of the connection. Throws InvalidArgumentError for
 * what is no connection, and for one of version 3 where its package for JetStream is not installed.
 */
export async function consumerConnection(connection: EventConnection): Promise<ConsumerConnection> {
  if (isVersion2(connection)) return ofVersion2(connection);
  if (isVersion3(connection)) return ofVersion3(connection);
  throw new InvalidArgumentError('connection', kindOf(connection), allowed);
}

const kindOf = (value: unknown): string => (value == null ? String(value) : typeof value);

const hasMethods = (value: unknown, ...names: string[]): boolean =>
  names.every((name) => typeof (value as Record<string, unknown> | null)?.[name] === 'function');

const isVersion2 = (value: unknown): value is NatsConnection =>
  hasMethods(value, 'isClosed', 'flush', 'jetstream', 'jetstreamManager');

const isVersion3 = (value: unknown): value is NatsConnection3 =>
  hasMethods(value, 'isClosed', 'flush', 'request', 'publish', 'subscribe');

const ofVersion2 = (connection: NatsConnection): ConsumerConnection => ({
  connection,
  manager: (apiPrefix) => connection.jetstreamManager({ apiPrefix, checkAPI: false }),
  client: (options) => connection.jetstream(options),
  headers: async () => (await import('nats')).headers(),
});

async function ofVersion3(connection: NatsConnection3): Promise<ConsumerConnection> {
  const { jetstream, jetstreamManager } = await load<JetStream3>(packages3.jetStream);
  return {
    connection,
    manager: (apiPrefix) => jetstreamManager(connection, { apiPrefix, checkAPI: false }),
    client: (options) => jetstream(connection, options),
    headers: async () => (await load<{ headers(): MsgHdrs }>(packages3.core)).headers(),
  };
}

/** Loads a package that only users of version 3 have. */
async function load<T>(name: string): Promise<T> {
  try {
    return (await import(name)) as T;
  } catch (cause) {
    const problem = `of version 3, and ${name} cannot be loaded (${errorMessage(cause)})`;
    throw new InvalidArgumentError('connection', problem, allowed, { cause });
  }
}
