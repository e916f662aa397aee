import { inTime, pause } from '@stowage/async';
import { errorMessage, InvalidArgumentError } from '@stowage/errors';
import {
  EventFormatError,
  eventFilter,
  parseEvent,
  streamName,
  type EventName,
  type StowageEvent,
} from '@stowage/events';
import type { ConsumerInfo, ConsumerMessages, JetStreamManager, JsMsg, Subscription } from 'nats';
import {
  consumerConnection,
  type ConsumerConnection,
  type EventConnection,
} from './consumer-connection';
import { deadLetterSubject, publishDeadLetter, type DeadLetterOptions } from './dead-letter';
import { apiCode, apiFailure, askApi, isForbidden } from './jetstream-api';
import { SeenMessages } from './seen-messages';
import type { BusLog } from './types';

/** The delivery of an event, as its handler sees it. */
export interface EventDelivery {
  /** How often it was delivered, from 1. */
  attempt: number;
  /**
   * Number of events of this source between the last one seen here and this one. Absent when one
   * name is consumed, because the server then leaves the others out.
   */
  missing?: number;
  /** Aborts when consuming ends. */
  signal: AbortSignal;
}

/**
 * Events that are missing before one that has arrived. They may still arrive, later and out of
 * order.
 */
export interface EventGap {
  /** Source of the events, as in `/nodes/worker-1/image-service`. */
  source: string;
  /** First and last missing `sequence`. */
  first: number;
  last: number;
  /** The event after the gap; if it is EventsDropped, it has the reason. */
  before: StowageEvent;
}

/** What is consumed, and how. */
export interface ConsumeOptions<N extends EventName> {
  /**
   * Of `nats` 2, or of `@nats-io/transport-node` 3 where `@nats-io/jetstream` is installed beside
   * it; told by its shape.
   */
  connection: EventConnection;
  /**
   * Name under which JetStream keeps the position. Absent: it forgets this consumer when it ends.
   */
  durable?: string;
  /** Events of this node; absent: of all nodes. */
  node?: string;
  /** Events of these names; absent: all. Others are acknowledged unseen. */
  names?: readonly N[];
  /**
   * Where a new consumer starts: with all that the stream still holds, or with new events. Default
   * all.
   */
  from?: 'all' | 'new';
  /**
   * Called for one event at a time, in order, except for events that were on their way when a
   * server was lost: they are delivered again half a minute later, and reported as a gap until
   * then. When it throws, the event is delivered again after a pause, behind others, without end
   * unless `deadLetter` is given.
   */
  handler: (event: StowageEvent<N>, delivery: EventDelivery) => void | Promise<void>;
  /** Where events go that cannot be handled; absent: they are retried without end. */
  deadLetter?: DeadLetterOptions;
  /**
   * Called before the event after a gap is handled: events of its source were lost, or arrive
   * later. Not called when one name is consumed (the server then leaves the others out), nor for
   * events missed while nobody consumed. If several processes share a durable name, each sees only
   * a part of the events, so gaps mean nothing.
   */
  onGap?: (gap: EventGap) => void;
  log: BusLog;
  /**
   * Pause before an event is delivered again after its handler threw, milliseconds. Default 1 000.
   */
  retryDelayMs?: number;
  /**
   * How long the current event may take after `signal` aborted, milliseconds. Then it is returned
   * to be delivered again, whatever its handler still does. Default 10 000.
   */
  drainTimeoutMs?: number;
  /**
   * Ends consuming after the current event; events that were fetched but not started are returned.
   */
  signal: AbortSignal;
}

const defaultDrainTimeoutMs = 10_000;
const defaultRetryDelayMs = 1000;
const defaultMaxTries = 5;
/** Pause before storing a dead letter is retried. */
const deadLetterRetryMs = 1000;
/**
 * JetStream redelivers what was not acknowledged for this long; for a handler that takes longer the
 * time is extended. A consumer that somebody else created may have another time.
 */
const defaultAckWaitMs = 30_000;
const reopenMs = 1000;
/** Pause before messages returned at the end are delivered to the next consumer. */
const giveBackMs = 100;
/** At the end, no message may have arrived for this long before the subscription is ended. */
const quietMs = 50;
/**
 * For events that are in the stream more than once; deliveries of one message are known otherwise.
 */
const rememberedIds = 10_000;

/**
 * Status of a consumer that gets no messages any more, or of a request for them that nobody
 * received.
 */
const gone: readonly string[] = [
  'consumer_deleted',
  'consumer_not_found',
  'stream_not_found',
  'no_responders',
];
/**
 * How long a request for messages stays open, and how often the server confirms it. When a
 * confirmation is missed the client asks again, so a lost request costs about ten seconds. With the
 * client's own times it would be more than thirty.
 */
const fetchTimes = { expires: 15_000, idle_heartbeat: 3000 };

/**
 * Consumes events until the signal aborts. An event is acknowledged after it was handled, so none
 * is lost; within this call it is handled once although it may be delivered more often. Starts
 * again when stream or consumer do not exist (yet). A message that is not an event is logged and
 * becomes a dead letter, or is not delivered again without `deadLetter`; an event of a later
 * release is skipped. Throws InvalidArgumentError at once for options that cannot work, a
 * connection that cannot be used among them.
 */
export async function consumeEvents<N extends EventName>(
  options: ConsumeOptions<N>,
): Promise<void> {
  const { connection, signal, log } = options;
  checkOptions(options);
  const access = await consumerConnection(connection);
  const seen = new SeenEvents();
  let loggedReason: string | undefined;
  while (!signal.aborted && !connection.isClosed()) {
    try {
      const { messages, streamIdentity, ackWaitMs } = await openMessages(options, access);
      loggedReason = undefined;
      seen.messages.begin(streamIdentity);
      try {
        await handleAll(messages, { ...options, access }, seen, ackWaitMs);
      } finally {
        await messages.close();
        // Once the server knows, it sends nothing more here that would have to wait for its
        // redelivery.
        await flushed(connection);
      }
    } catch (error) {
      const reason = apiFailure(error).text;
      if (!connection.isClosed()) {
        const level = reason === loggedReason ? 'debug' : 'warn';
        log[level]({ reason }, 'events cannot be consumed now: trying again');
      }
      loggedReason = reason;
    }
    await pause(reopenMs, { signal });
  }
}

/** The options, with the JetStream of their connection. */
interface Consuming<N extends EventName> extends ConsumeOptions<N> {
  readonly access: ConsumerConnection;
}

/**
 * Handles messages until they end or the signal aborts; those fetched but not started are returned.
 */
async function handleAll<N extends EventName>(
  messages: ConsumerMessages,
  options: Consuming<N>,
  seen: SeenEvents,
  ackWaitMs: number,
): Promise<void> {
  const { signal } = options;
  // Everything fetched is kept here rather than inside the client, which would drop it when it is
  // closed.
  const queue: JsMsg[] = [];
  let received = 0;
  let inHand: JsMsg | undefined;
  let hasEnded = false;
  let wake: () => void = () => undefined;
  const fetching = (async () => {
    try {
      for await (const message of messages) {
        queue.push(message);
        received += 1;
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
    void quiet(options.connection, () => received).then(() => drained(messages));
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    while (!isAborted(signal)) {
      inHand = queue.shift();
      if (inHand !== undefined) await handleInTime(inHand, options, seen);
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

/** Which events were handled, and the last sequence seen of each source. */
class SeenEvents {
  readonly messages = new SeenMessages();
  readonly #ids = new Set<string>();
  readonly #lastSequence = new Map<string, number>();
  readonly #failures = new Map<string, { count: number; reason: string }>();

  has({ id }: StowageEvent): boolean {
    return this.#ids.has(id);
  }

  add({ id }: StowageEvent): void {
    this.#failures.delete(id);
    this.#ids.add(id);
    const [oldest] = this.#ids;
    if (this.#ids.size > rememberedIds && oldest !== undefined) this.#ids.delete(oldest);
  }

  /**
   * How often handling of this event failed here. Deliveries do not count: one may have been
   * returned untried.
   */
  failures({ id }: StowageEvent): number {
    return this.#failures.get(id)?.count ?? 0;
  }

  /** Why handling failed last. */
  failureReason({ id }: StowageEvent): string {
    return this.#failures.get(id)?.reason ?? '';
  }

  /** Records that handling failed; returns how often it has. */
  addFailure(event: StowageEvent, reason: string): number {
    const count = this.failures(event) + 1;
    this.#failures.set(event.id, { count, reason });
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > rememberedIds && oldest !== undefined) this.#failures.delete(oldest);
    return count;
  }

  /**
   * Records the sequence of an event; returns the number of events of its source that were skipped.
   */
  missingBefore({ source, sequence }: StowageEvent): number {
    const last = this.#lastSequence.get(source);
    // Lower: an event delivered again, or a source that lost its state.
    if (last === undefined || sequence > last || sequence === 1) {
      this.#lastSequence.set(source, sequence);
    }
    return last === undefined ? 0 : Math.max(0, sequence - last - 1);
  }
}

/*
 * The client's own words and helpers would have to be loaded from the package of one version, which
 * the user of the other does not have.
 */
const nanos = (ms: number): number => ms * 1e6;
const millis = (nanoseconds: number): number => Math.floor(nanoseconds / 1e6);

/** Finds or creates the consumer, and starts to fetch. */
async function openMessages<N extends EventName>(
  options: ConsumeOptions<N>,
  access: ConsumerConnection,
): Promise<{
  messages: ConsumerMessages;
  /** When the stream was created; undefined when this login may not ask. */
  streamIdentity: string | undefined;
  ackWaitMs: number;
}> {
  return askApi(async (apiPrefix) => {
    const manager = await access.manager(apiPrefix);
    const { name, config } = await findConsumer(manager, options);
    const stream = await manager.streams.info(streamName).catch(() => undefined);
    const consumer = await access.client({ apiPrefix }).consumers.get(streamName, name);
    const messages = await consumer.consume({ max_messages: 100, ...fetchTimes });
    void closeWhenGone(messages);
    const ackWaitNanos = config.ack_wait ?? 0;
    return {
      messages,
      streamIdentity: stream?.created,
      ackWaitMs: ackWaitNanos > 0 ? millis(ackWaitNanos) : defaultAckWaitMs,
    };
  });
}

/** The consumer; an existing durable one is used as it is. */
async function findConsumer<N extends EventName>(
  { consumers }: JetStreamManager,
  { durable, node, names, from }: ConsumeOptions<N>,
): Promise<ConsumerInfo> {
  if (durable !== undefined) {
    try {
      return await consumers.info(streamName, durable);
    } catch (error) {
      if (apiFailure(error).apiCode !== apiCode.consumerNotFound) throw error;
    }
  }
  const ofNode = node === undefined ? {} : { node };
  // One name is filtered by the server; several only by servers from 2.10 on, so they are here.
  const [only, ...others] = names ?? [];
  const filter = others.length === 0 && only !== undefined ? { ...ofNode, name: only } : ofNode;
  const config: Record<string, unknown> = {
    ...(durable === undefined ? { inactive_threshold: nanos(60_000) } : { durable_name: durable }),
    ack_policy: 'explicit',
    ack_wait: nanos(defaultAckWaitMs),
    deliver_policy: from === 'new' ? 'new' : 'all',
    filter_subject: eventFilter(filter),
    max_ack_pending: 100,
  };
  try {
    return await consumers.add(streamName, config);
  } catch (error) {
    if (!isForbidden(error)) throw error;
    const which = durable === undefined ? 'a consumer without a durable name' : durable;
    throw new Error(
      `consumer ${JSON.stringify(which)} of stream ${streamName} does not exist, and this login may not create it: an operator has to`,
      { cause: error },
    );
  }
}

async function closeWhenGone(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of await messages.status()) {
    if (gone.includes(type)) {
      await messages.close();
      return;
    }
  }
}

/** Handles a message; after the signal has aborted, only for a limited time. */
async function handleInTime<N extends EventName>(
  message: JsMsg,
  options: Consuming<N>,
  seen: SeenEvents,
): Promise<void> {
  const { signal, drainTimeoutMs = defaultDrainTimeoutMs, log } = options;
  let timer: NodeJS.Timeout | undefined;
  let startTimer: () => void = () => undefined;
  const late = new Promise<'late'>((resolve) => {
    startTimer = () => {
      timer = setTimeout(resolve, drainTimeoutMs, 'late');
    };
  });
  signal.addEventListener('abort', startTimer, { once: true });
  const end = await Promise.race([handle(message, options, seen), late]);
  signal.removeEventListener('abort', startTimer);
  clearTimeout(timer);
  if (end !== 'late') return;
  log.warn(
    { subject: message.subject, drainTimeoutMs },
    'event is returned: its handler did not end in time',
  );
  // The client sends one answer for each message: if the handler ends after all, nothing is
  // acknowledged.
  message.nak(giveBackMs);
}

async function handle<N extends EventName>(
  message: JsMsg,
  options: Consuming<N>,
  seen: SeenEvents,
): Promise<void> {
  const { names, handler, log, retryDelayMs = defaultRetryDelayMs, signal } = options;
  const { streamSequence } = message.info;
  if (seen.messages.has(streamSequence)) {
    message.ack();
    return;
  }
  const event = await readEvent(message, options);
  if (event === undefined) return;
  const missing = seen.missingBefore(event);
  const isWhole = names?.length !== 1;
  if (isWhole && missing > 0) reportGap(event, missing, options);
  const isWanted = names === undefined || (names as readonly EventName[]).includes(event.name);
  if (!isWanted || seen.has(event)) {
    message.ack();
    return;
  }
  const maxTries = options.deadLetter ? (options.deadLetter.maxTries ?? defaultMaxTries) : Infinity;
  let failures = seen.failures(event);
  if (failures < maxTries) {
    try {
      const attempt = message.info.deliveryCount;
      await handler(event as unknown as StowageEvent<N>, {
        attempt,
        ...(isWhole && { missing }),
        signal,
      });
      seen.add(event);
      seen.messages.add(streamSequence);
      message.ack();
      return;
    } catch (error) {
      const { id, name } = event;
      const reason = errorMessage(error);
      failures = seen.addFailure(event, reason);
      log.warn(
        { id, event: name, failures, reason },
        failures < maxTries
          ? 'event was not handled and is delivered again'
          : 'event was not handled and becomes a dead letter',
      );
    }
  }
  if (failures < maxTries) message.nak(retryDelayMs);
  else if (
    await deadLetterMessage(message, seen.failureReason(event), failures, options, event.id)
  ) {
    seen.add(event);
    seen.messages.add(streamSequence);
  }
}

/** The event of a message; undefined when it has none for us, and is settled. */
async function readEvent<N extends EventName>(
  message: JsMsg,
  options: Consuming<N>,
): Promise<StowageEvent | undefined> {
  const { log } = options;
  try {
    return parseEvent(message.data);
  } catch (error) {
    const code = error instanceof EventFormatError ? error.code : undefined;
    const reason = errorMessage(error);
    log.warn({ subject: message.subject, code, reason }, 'message is skipped');
    // An event of a later release is not broken.
    if (options.deadLetter === undefined || code === 'EVENT_TYPE_UNKNOWN') message.term();
    else await deadLetterMessage(message, reason, 1, options);
    return undefined;
  }
}

/**
 * Turns a message into a dead letter. Until that is stored, the message is redelivered, so it is
 * never lost.
 */
async function deadLetterMessage<N extends EventName>(
  message: JsMsg,
  reason: string,
  tries: number,
  { access, deadLetter, durable, log, retryDelayMs = defaultRetryDelayMs }: Consuming<N>,
  id?: string,
): Promise<boolean> {
  const subject = deadLetterSubject(message.subject, durable, deadLetter);
  const { streamSequence } = message.info;
  try {
    await publishDeadLetter(access, { message, subject, reason, tries, consumer: durable, id });
  } catch (error) {
    log.error(
      { subject, streamSequence, reason: errorMessage(error) },
      'dead letter was not stored: its message is kept and delivered again',
    );
    message.nak(Math.max(retryDelayMs, deadLetterRetryMs));
    return false;
  }
  log.warn({ subject, streamSequence, tries, reason }, 'message is now a dead letter');
  message.term();
  return true;
}

function reportGap<N extends EventName>(
  event: StowageEvent,
  missing: number,
  { onGap, log }: ConsumeOptions<N>,
): void {
  const { source, sequence } = event;
  try {
    onGap?.({ source, first: sequence - missing, last: sequence - 1, before: event });
  } catch (error) {
    log.error({ reason: errorMessage(error) }, 'onGap failed');
  }
}

function checkOptions<N extends EventName>({
  deadLetter,
  durable,
  names,
  drainTimeoutMs = 0,
  retryDelayMs = 0,
}: ConsumeOptions<N>): void {
  const check = (isRight: boolean, field: string, value: unknown, allowed: string) => {
    if (!isRight) throw new InvalidArgumentError(field, value, allowed);
  };
  check(names?.length !== 0, 'names', names, 'at least one name, or absent for all');
  check(drainTimeoutMs >= 0, 'drainTimeoutMs', drainTimeoutMs, '0 or more');
  check(retryDelayMs >= 0, 'retryDelayMs', retryDelayMs, '0 or more');
  if (deadLetter === undefined) return;
  const { maxTries = defaultMaxTries, subject } = deadLetter;
  const isCount = Number.isSafeInteger(maxTries) && maxTries > 0;
  check(isCount, 'deadLetter.maxTries', maxTries, 'a whole number from 1 on');
  const isNamed = subject !== undefined || durable !== undefined;
  check(isNamed, 'deadLetter.subject', subject, 'a subject, where there is no durable name');
  // Neither a wildcard nor a subject of the stream itself, which would deliver the dead letter here
  // again.
  const isSubject = subject === undefined || /^(?!stowage\.event(\.|$))[^\s*>]+$/.test(subject);
  check(isSubject, 'deadLetter.subject', subject, 'a subject without wildcards, not an event');
}

/**
 * Waits until the server sends nothing more, at most a second. The server queues deliveries and
 * drops those whose subscription has ended by the time they leave the queue; these would wait out
 * the acknowledgement time. Since nothing is acknowledged any more, it stops at the consumer's
 * `max_ack_pending`.
 */
async function quiet(connection: EventConnection, received: () => number): Promise<void> {
  const end = performance.now() + reopenMs;
  let before: number;
  do {
    before = received();
    await flushed(connection);
    await pause(quietMs);
  } while (received() !== before && performance.now() < end);
}

/**
 * Ends the delivery of messages without losing any on their way: those that the server had already
 * sent still arrive. The client's own `close` drops them, and they would wait out the
 * acknowledgement time. It only drains a subscription together with the whole connection, which is
 * not ours to end.
 */
async function drained(messages: ConsumerMessages): Promise<void> {
  const { sub } = messages as ConsumerMessages & { readonly sub?: Subscription };
  // The messages end by themselves after the last one.
  const isDrained = sub?.drain().then(
    () => true,
    () => false,
  );
  if (isDrained === undefined || !(await inTime(isDrained, reopenMs))) await messages.close();
}

/** Waits until the server has seen what was sent, while it answers. */
async function flushed(connection: EventConnection): Promise<void> {
  await inTime(
    connection.flush().catch(() => undefined),
    reopenMs,
  );
}

/** Evaluated again after each wait, whatever the compiler concluded before it. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
const isTrue = (value: boolean): boolean => value;
