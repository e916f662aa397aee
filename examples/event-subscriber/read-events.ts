import {
  EventFormatError,
  eventFilter,
  parseEvent,
  streamName,
  type StowageEvent,
} from '@stowage/events';
import {
  AckPolicy,
  DeliverPolicy,
  nanos,
  type ConsumerMessages,
  type JsMsg,
  type NatsConnection,
} from 'nats';

/** What is read, and under which name JetStream remembers how far. */
export interface EventReader {
  connection: NatsConnection;
  /**
   * Subjects of the JetStream API begin with this, where it belongs to another account. Default
   * `$JS.API`.
   */
  apiPrefix?: string;
  /** Name of the durable consumer; absent: JetStream forgets this reader when it ends. */
  durable?: string;
  /** Node whose events are read; absent: all. */
  node?: string;
  /** Where a new consumer begins. */
  from: 'all' | 'new';
  handle: (event: StowageEvent) => void | Promise<void>;
  /** Called for a message that is no event of this version; it is not delivered again. */
  skipped: (reason: string) => void;
  /** Called when the stream or the server is not there; tried again a second later. */
  waiting: (reason: string) => void;
  signal: AbortSignal;
}

/** How long JetStream waits for the acknowledgement before it delivers again. */
const ackWaitMs = 30_000;
const retryMs = 1000;
const remembered = 10_000;

/**
 * Reads the stream until the signal aborts: each event is acknowledged after it was handled,
 * delivered again when handling failed, and handled once although delivery is at least once.
 */
export async function readEvents(reader: EventReader): Promise<void> {
  const { signal } = reader;
  const handled = new Set<string>();
  while (!signal.aborted) {
    try {
      const messages = await openConsumer(reader);
      const stop = () => void messages.close();
      signal.addEventListener('abort', stop, { once: true });
      if (isAborted(signal)) stop();
      try {
        for await (const message of messages) {
          // Given back: otherwise the next reader waits for it until the acknowledgement is
          // overdue.
          if (isAborted(signal)) message.nak();
          else await handleMessage(message, reader, handled);
        }
      } finally {
        signal.removeEventListener('abort', stop);
        await messages.close();
      }
    } catch (error) {
      if (reader.connection.isClosed()) return;
      reader.waiting(error instanceof Error ? error.message : String(error));
    }
    await pause(retryMs, signal);
  }
}

async function openConsumer(reader: EventReader): Promise<ConsumerMessages> {
  const { connection, durable, node, from, apiPrefix } = reader;
  const api = apiPrefix === undefined ? {} : { apiPrefix };
  const manager = await connection.jetstreamManager(api);
  const existing =
    durable === undefined
      ? undefined
      : await manager.consumers.info(streamName, durable).catch(() => undefined);
  const { name } =
    existing ??
    (await manager.consumers.add(streamName, {
      ...(durable === undefined
        ? { inactive_threshold: nanos(60_000) }
        : { durable_name: durable }),
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ackWaitMs),
      deliver_policy: from === 'all' ? DeliverPolicy.All : DeliverPolicy.New,
      filter_subject: eventFilter(node === undefined ? {} : { node }),
      max_ack_pending: 100,
    }));
  const consumer = await connection.jetstream(api).consumers.get(streamName, name);
  const messages = await consumer.consume({ max_messages: 10 });
  void endWhenGone(messages);
  return messages;
}

/** A consumer or stream that was deleted sends nothing more: the reader then begins anew. */
async function endWhenGone(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of await messages.status()) {
    const status: string = type;
    if (['consumer_deleted', 'consumer_not_found', 'stream_not_found'].includes(status)) {
      await messages.close();
      return;
    }
  }
}

async function handleMessage(
  message: JsMsg,
  { handle, skipped }: EventReader,
  handled: Set<string>,
): Promise<void> {
  let event: StowageEvent;
  try {
    event = parseEvent(message.data);
  } catch (error) {
    // Broken, or of a later release: it would not get better by delivering it again.
    skipped(error instanceof EventFormatError ? error.message : String(error));
    message.term();
    return;
  }
  if (!handled.has(event.id)) {
    const keepAlive = setInterval(() => {
      message.working();
    }, ackWaitMs / 2);
    try {
      await handle(event);
    } catch {
      message.nak(retryMs);
      return;
    } finally {
      clearInterval(keepAlive);
    }
    handled.add(event.id);
    const [oldest] = handled;
    if (handled.size > remembered && oldest !== undefined) handled.delete(oldest);
  }
  message.ack();
}

/** Asked anew after each wait. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    if (signal.aborted) done();
    else signal.addEventListener('abort', done);
  });
}
