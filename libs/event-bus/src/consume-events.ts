import { errorMessage } from '@stowage/errors';
import {
  EventFormatError,
  eventFilter,
  parseEvent,
  streamName,
  type EventName,
  type StowageEvent,
} from '@stowage/events';
import {
  AckPolicy,
  DeliverPolicy,
  nanos,
  type ConsumerConfig,
  type ConsumerMessages,
  type JsMsg,
  type NatsConnection,
} from 'nats';
import type { BusLog } from './types';

/** What a handler is told beside the event. */
export interface EventDelivery {
  /** How often it was delivered, from 1. */
  attempt: number;
  /**
   * Events of this source between the last one seen here and this one. Not told when one name is consumed: the
   * server then leaves the others out.
   */
  missing?: number;
  /** Aborts when consuming ends. */
  signal: AbortSignal;
}

/** What is consumed, and how. */
export interface ConsumeOptions<N extends EventName> {
  connection: NatsConnection;
  /** Name under which JetStream remembers how far was read. Absent: it forgets this consumer when it ends. */
  durable?: string;
  /** Events of this node; absent: of all nodes. */
  node?: string;
  /** Events of these names; absent: all. Others are acknowledged unseen. */
  names?: readonly N[];
  /** Where a new consumer begins: what the stream still holds, or what comes from now on. Default all. */
  from?: 'all' | 'new';
  /** Called for one event at a time, in order. When it throws, the event comes again after a pause, behind others. */
  handler: (event: StowageEvent<N>, delivery: EventDelivery) => void | Promise<void>;
  log: BusLog;
  /** Pause before an event is delivered again, milliseconds. Default 1 000. */
  retryDelayMs?: number;
  /** Ends consuming, after the event in hand. */
  signal: AbortSignal;
}

/** JetStream delivers again what was not acknowledged for this long; a handler that takes longer is kept alive. */
const ackWaitMs = 30_000;
const reopenMs = 1000;
/** Pause before messages given back at the end are delivered to whoever comes next. */
const giveBackMs = 100;
const rememberedIds = 10_000;

/** Status of a consumer whose messages no longer come. */
const gone: readonly string[] = ['consumer_deleted', 'consumer_not_found', 'stream_not_found'];

/**
 * Consumes events until the signal aborts. An event is acknowledged after it was handled, so none is lost; it is
 * handled once although it may be delivered more often, as long as this call goes on. Starts anew when stream or
 * consumer are not there (yet). What cannot be read is logged and not delivered again.
 */
export async function consumeEvents<N extends EventName>(
  options: ConsumeOptions<N>,
): Promise<void> {
  const { connection, signal, log } = options;
  const seen = new SeenEvents();
  while (!signal.aborted && !connection.isClosed()) {
    try {
      const messages = await openMessages(options);
      try {
        await handleAll(messages, options, seen);
      } finally {
        await messages.close();
        // Once the server knows, it sends nothing more here that would then have to wait for its second delivery.
        await flushed(connection);
      }
    } catch (error) {
      if (!connection.isClosed()) {
        log.warn({ reason: errorMessage(error) }, 'events cannot be consumed now: trying again');
      }
    }
    await pause(reopenMs, signal);
  }
}

/** Handles messages until they end or the signal aborts; those that were fetched and not begun are given back. */
async function handleAll<N extends EventName>(
  messages: ConsumerMessages,
  options: ConsumeOptions<N>,
  seen: SeenEvents,
): Promise<void> {
  const { connection, signal } = options;
  // Everything fetched lies here rather than inside the client, which would forget it when it is closed.
  const queue: JsMsg[] = [];
  let inHand: JsMsg | undefined;
  let hasEnded = false;
  let wake: () => void = () => undefined;
  const fetching = (async () => {
    try {
      for await (const message of messages) {
        queue.push(message);
        wake();
      }
    } finally {
      hasEnded = true;
      wake();
    }
  })();
  const keepAlive = setInterval(() => {
    for (const message of inHand ? [inHand, ...queue] : queue) message.working();
  }, ackWaitMs / 3);
  const stop = () => {
    wake();
    // What the server has sent already arrives before the answer, and can be given back.
    void flushed(connection).then(() => messages.close());
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    while (!isAborted(signal)) {
      inHand = queue.shift();
      if (inHand !== undefined) await handle(inHand, options, seen);
      else if (isTrue(hasEnded)) break;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
    inHand = undefined;
    await fetching;
  } finally {
    signal.removeEventListener('abort', stop);
    clearInterval(keepAlive);
    for (const message of queue) message.nak(giveBackMs);
  }
}

/** Ids that were handled, and how far each source was seen. */
class SeenEvents {
  readonly #ids = new Set<string>();
  readonly #lastSequence = new Map<string, number>();

  has({ id }: StowageEvent): boolean {
    return this.#ids.has(id);
  }

  add({ id }: StowageEvent): void {
    this.#ids.add(id);
    const [oldest] = this.#ids;
    if (this.#ids.size > rememberedIds && oldest !== undefined) this.#ids.delete(oldest);
  }

  /** Notes the sequence of an event; the number of events of its source that were jumped over. */
  missingBefore({ source, sequence }: StowageEvent): number {
    const last = this.#lastSequence.get(source);
    // Lower: an event delivered again, or a source that lost its state.
    if (last === undefined || sequence > last || sequence === 1) {
      this.#lastSequence.set(source, sequence);
    }
    return last === undefined ? 0 : Math.max(0, sequence - last - 1);
  }
}

async function openMessages<N extends EventName>({
  connection,
  durable,
  node,
  names,
  from,
}: ConsumeOptions<N>): Promise<ConsumerMessages> {
  const ofNode = node === undefined ? {} : { node };
  // One name is filtered by the server; several only by servers from 2.10 on, so they are here.
  const [only, ...others] = names ?? [];
  const filter = others.length === 0 && only !== undefined ? { ...ofNode, name: only } : ofNode;
  const config: Partial<ConsumerConfig> = {
    ...(durable === undefined ? { inactive_threshold: nanos(60_000) } : { durable_name: durable }),
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWaitMs),
    deliver_policy: from === 'new' ? DeliverPolicy.New : DeliverPolicy.All,
    filter_subject: eventFilter(filter),
    max_ack_pending: 100,
  };
  const manager = await connection.jetstreamManager({ checkAPI: false });
  const existing =
    durable === undefined
      ? undefined
      : await manager.consumers.info(streamName, durable).catch(() => undefined);
  const { name } = existing ?? (await manager.consumers.add(streamName, config));
  const consumer = await connection.jetstream().consumers.get(streamName, name);
  const messages = await consumer.consume({ max_messages: 100 });
  void closeWhenGone(messages);
  return messages;
}

async function closeWhenGone(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of await messages.status()) {
    if (gone.includes(type)) {
      await messages.close();
      return;
    }
  }
}

async function handle<N extends EventName>(
  message: JsMsg,
  { names, handler, log, retryDelayMs = 1000, signal }: ConsumeOptions<N>,
  seen: SeenEvents,
): Promise<void> {
  let event: StowageEvent;
  try {
    event = parseEvent(message.data);
  } catch (error) {
    const code = error instanceof EventFormatError ? error.code : undefined;
    log.warn({ subject: message.subject, code, reason: errorMessage(error) }, 'message is skipped');
    message.term();
    return;
  }
  const missing = seen.missingBefore(event);
  const isWanted = names === undefined || (names as readonly EventName[]).includes(event.name);
  if (isWanted && !seen.has(event)) {
    try {
      const attempt = message.info.deliveryCount;
      const isWhole = names?.length !== 1;
      await handler(event as unknown as StowageEvent<N>, {
        attempt,
        ...(isWhole && { missing }),
        signal,
      });
    } catch (error) {
      const { id, name } = event;
      log.warn(
        { id, event: name, reason: errorMessage(error) },
        'event was not handled and is delivered again',
      );
      message.nak(retryDelayMs);
      return;
    }
    seen.add(event);
  }
  message.ack();
}

/** Waits until the server has seen what was sent, while it answers. */
async function flushed(connection: NatsConnection): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, reopenMs);
  });
  await Promise.race([connection.flush().catch(() => undefined), late]);
  clearTimeout(timer);
}

/** Asked anew after each wait, whatever the compiler concluded before it. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
const isTrue = (value: boolean): boolean => value;

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
