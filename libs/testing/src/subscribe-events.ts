import { NatsError, connect, type NatsConnection, type StoredMsg } from 'nats';
import { parseEvent, streamName, type EventName, type StowageEvent } from '@stowage/events';
import { eventually } from './eventually';

/** An event of the suite with what the stream says about its message. */
export type ReceivedEvent<N extends EventName = EventName> = StowageEvent<N> & {
  natsSubject: string;
  /** Header `Nats-Msg-Id`. */
  messageId: string;
  /** Place in the stream, from 1. */
  streamSequence: number;
  /** The message as it stood on the wire. */
  wire: string;
};

/** Events that arrive in the stream, from its first one on, in the order of the stream. */
export interface EventCollection {
  readonly all: readonly ReceivedEvent[];
  /** Messages that are no valid events, with the reason: usually expected to be empty. */
  readonly invalid: readonly { natsSubject: string; reason: string }[];
  named<N extends EventName>(name: N): ReceivedEvent<N>[];
  /** The first event of this name that `matches`, now or later. Default limit 30 000 ms. */
  waitFor<N extends EventName>(
    name: N,
    matches?: (event: ReceivedEvent<N>) => boolean,
    options?: { timeoutMs?: number },
  ): Promise<ReceivedEvent<N>>;
  close(): Promise<void>;
}

/**
 * Reads the stream of events as another service of the platform would. The stream need not exist
 * yet, and NATS may go away and come back in between.
 */
export async function subscribeEvents(
  natsUrl: string,
  login: { user?: string; pass?: string } = {},
): Promise<EventCollection> {
  const connection = await connect({
    servers: natsUrl,
    ...login,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    reconnectJitter: 0,
  });
  const all: ReceivedEvent[] = [];
  const invalid: { natsSubject: string; reason: string }[] = [];
  const reading = readStream(connection, (message) => {
    try {
      all.push(receive(message));
    } catch (error) {
      invalid.push({
        natsSubject: message.subject,
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  });
  const named = <N extends EventName>(name: N): ReceivedEvent<N>[] =>
    all.filter((event) => event.name === name) as ReceivedEvent<N>[];
  return {
    all,
    invalid,
    named,
    waitFor: (name, matches = () => true, { timeoutMs = 30_000 } = {}) =>
      eventually(() => named(name).find(matches), { timeoutMs, what: `the event ${name}` }).catch(
        (error: unknown) => {
          const seen = all.map((event) => event.name).join(', ') || 'none';
          throw new Error(`${error instanceof Error ? error.message : ''}; events so far: ${seen}`);
        },
      ),
    close: async () => {
      await connection.close();
      await reading;
    },
  };
}

function receive(message: StoredMsg): ReceivedEvent {
  return {
    ...parseEvent(message.data),
    natsSubject: message.subject,
    messageId: message.header.get('Nats-Msg-Id'),
    streamSequence: message.seq,
    wire: message.string(),
  };
}

/**
 * Hands on each message of the stream once, until the connection is closed. It reads by sequence
 * number, not through a consumer: so nothing has to be set up again after NATS was away.
 */
async function readStream(
  connection: NatsConnection,
  onMessage: (message: StoredMsg) => void,
): Promise<void> {
  let next = 1;
  while (!connection.isClosed()) {
    try {
      const manager = await connection.jetstreamManager({ checkAPI: false, timeout: 1_000 });
      const { state } = await manager.streams.info(streamName);
      if (state.last_seq < next - 1) next = 1; // another stream under the same name
      next = Math.max(next, state.first_seq);
      while (next <= state.last_seq) {
        const message = await manager.streams
          .getMessage(streamName, { seq: next })
          .catch((error: unknown) => {
            if (isNotFound(error)) return undefined; // deleted, by the stream's limits for instance
            throw error;
          });
        next += 1;
        if (message !== undefined) onMessage(message);
      }
    } catch {
      // No stream yet, or NATS is away: both pass.
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

const isNotFound = (error: unknown): boolean =>
  error instanceof NatsError && error.api_error?.err_code === 10_037;
