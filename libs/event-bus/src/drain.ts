import { cloudEventContentType } from '@stowage/events';
import { headers, type NatsConnection } from 'nats';
import { apiCode, apiFailure, isUnheard } from './jetstream-api';
import { errorText } from './error-text';
import type { NatsLink } from './nats-link';
import type { DropRecord, Outbox, OutboxEvent } from './outbox';
import type { StreamCheck } from './stream';
import type { BusLog } from './types';

/** Events in flight at once. */
const maxBatch = { events: 256, bytes: 2 * 1024 * 1024 };
const ackTimeoutMs = 5000;
/**
 * Pauses before a batch is sent again. `blindMaxMs` applies where the stream cannot be inspected
 * and nothing is acknowledged: each attempt may be stored once more.
 */
const retry = { firstMs: 100, maxMs: 10_000, blindMaxMs: 300_000 };

/**
 * Room for subject and headers, which the server counts as payload and a stream stores with the
 * message.
 */
const headerBytes = { sent: 256, stored: 512 };

/** How long events of a refused size are not sent again. */
const refusedForMs = 60_000;

/** What a drain needs. */
export interface DrainParts {
  outbox: Outbox;
  link: NatsLink;
  checkStream(connection: NatsConnection): Promise<StreamCheck>;
  describeDropped(record: DropRecord): Omit<OutboxEvent, 'sequence'>;
  log: BusLog;
  /** Reason or progress changed. */
  onChange(): void;
}

/**
 * Moves events from the outbox to JetStream: a batch at a time, in order, removed from the outbox
 * only after the acknowledgement. A batch that fails is sent again, after a pause, from its first
 * unacknowledged event, and that event alone: a server that starts to accept events in the middle
 * of a batch would store its end before its beginning.
 */
export class Drain {
  #running: Promise<void> | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #heldTimer: NodeJS.Timeout | undefined;
  #retryMs = retry.firstMs;
  /** The result of the last check of the stream; undefined when it must be checked. */
  #stream: Extract<StreamCheck, { state: 'ready' }> | undefined;
  /** The smallest event that the stream refused for its size, and when. */
  #refused: { sizeBytes: number; atMs: number } | undefined;
  /**
   * Events dropped for their size are logged once for each connection; EventsDropped counts them.
   */
  #hasLoggedTooLarge = false;
  /** JetStream accepted the last event that was sent. */
  #takesEvents = false;
  #reason: string | undefined;
  #heldReason: string | undefined;
  #published = 0;
  #failures = 0;
  readonly #stop = new AbortController();

  constructor(private readonly parts: DrainParts) {}

  /** Why events do not flow although NATS is connected. */
  get reason(): string | undefined {
    return this.#reason ?? (this.parts.outbox.hasDropped ? this.#heldReason : undefined);
  }

  /** Events acknowledged. */
  get published(): number {
    return this.#published;
  }

  /** Attempts without acknowledgement. */
  get failures(): number {
    return this.#failures;
  }

  /** Notifies the drain that there is something to send. Returns at once. */
  kick(): void {
    if (this.#running !== undefined || this.#retryTimer !== undefined) return;
    if (this.#stop.signal.aborted || !this.parts.link.state.connected) return;
    this.#running = this.#run();
  }

  /**
   * The connection is back: checks the stream again and sends without waiting for a pause to end.
   */
  reconnected(): void {
    this.#stream = undefined;
    this.#refused = undefined;
    this.#hasLoggedTooLarge = false;
    this.#takesEvents = false;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    this.#retryMs = retry.firstMs;
    this.kick();
  }

  /** Ends sending; what is in flight counts as not acknowledged. */
  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#heldTimer);
    this.#retryTimer = undefined;
    await this.#running;
  }

  async #run(): Promise<void> {
    // The caller of publish continues first.
    await new Promise((resolve) => setImmediate(resolve));
    let more = true;
    while (more && !this.#stop.signal.aborted) {
      try {
        more = await this.#step();
      } catch (error) {
        this.#failed(errorText(error));
        more = false;
      }
    }
    this.#running = undefined;
    if (this.parts.outbox.waiting > 0) this.kick();
  }

  /** Sends one batch. False when there is no more to do now. */
  async #step(): Promise<boolean> {
    const { outbox, link } = this.parts;
    const { connection } = link;
    if (!link.state.connected || connection === undefined) return false;
    if (this.#stream === undefined) {
      const stopped = aborted(this.#stop.signal);
      const checked = this.parts.checkStream(connection).finally(stopped.cancel);
      // Whoever stops does not wait for a JetStream that is silent.
      const check = await Promise.race([checked, stopped.promise]);
      if (check === undefined) return false;
      if (check.state === 'unavailable') {
        this.#failed(check.reason);
        return false;
      }
      this.#stream = check;
    }
    const batch = this.#nextBatch(connection);
    if (batch === undefined) {
      // Each one is a write: let other work run in between.
      await new Promise((resolve) => setImmediate(resolve));
      return !outbox.trouble;
    }
    if (batch.length === 0) {
      outbox.settle([], []);
      this.#flows();
      if (outbox.hasDropped) this.#held();
      return false;
    }
    const { acknowledged, failures } = await this.#send(connection, batch);
    const done = batch.filter((event) => acknowledged.has(event));
    outbox.settle(batch, done);
    this.#published += done.length;
    this.#takesEvents = done.length === batch.length;
    if (this.#takesEvents) {
      this.#flows();
      return outbox.pending > 0;
    }
    return this.#handleFailures(batch, acknowledged, failures);
  }

  /** The events to send next; undefined when the first one was too large and was dropped. */
  #nextBatch(connection: NatsConnection): OutboxEvent[] | undefined {
    const { outbox } = this.parts;
    const maxBytes = this.#maxBytes(connection);
    const maxEvents = this.#takesEvents ? maxBatch.events : 1;
    const read = () => outbox.nextBatch(maxEvents, maxBatch.bytes);
    let batch = read();
    if (outbox.hasDropped && isSmall(batch[0], maxBytes)) {
      // Only here, so that a run of events that are too large is reported by one event.
      outbox.reportDropped((record) => {
        const event = this.parts.describeDropped(record);
        return event.sizeBytes <= maxBytes ? event : undefined;
      });
      batch = read();
    }
    const index = batch.findIndex(({ sizeBytes }) => sizeBytes > maxBytes);
    if (index < 0) return batch;
    const event = batch[index];
    if (index > 0 || event === undefined) return batch.slice(0, index);
    outbox.settle([], []);
    this.#tooLarge(event, maxBytes);
    return undefined;
  }

  /** Largest event that server and stream accept, as far as is known. */
  #maxBytes(connection: NatsConnection): number {
    const refused = this.#refused;
    const isRecent = refused && performance.now() - refused.atMs < refusedForMs;
    return Math.min(
      (connection.info?.max_payload ?? Infinity) - headerBytes.sent,
      (this.#stream?.maxStoredBytes ?? Infinity) - headerBytes.stored,
      isRecent ? refused.sizeBytes - 1 : Infinity,
    );
  }

  #tooLarge(event: OutboxEvent, maxBytes: number | undefined): void {
    const { id, name, sizeBytes } = event;
    const dropped = this.parts.outbox.drop(event, 'too-large');
    const level = this.#hasLoggedTooLarge ? 'debug' : 'error';
    this.#hasLoggedTooLarge = true;
    this.parts.log[level](
      { id, event: name, sizeBytes, maxBytes, dropped },
      'event is larger than the NATS server takes and is dropped, as others of its size will be',
    );
    this.parts.onChange();
  }

  async #send(connection: NatsConnection, batch: readonly OutboxEvent[]) {
    const acknowledged = new Set<OutboxEvent>();
    const failures = new Map<OutboxEvent, unknown>();
    const jetStream = connection.jetstream({ timeout: ackTimeoutMs });
    const lost = this.parts.link.disconnected();
    const stopped = aborted(this.#stop.signal);
    const acks = batch.map(async (event) => {
      const header = headers();
      header.set('Content-Type', cloudEventContentType);
      try {
        await jetStream.publish(event.subject, Buffer.from(event.message), {
          msgID: event.id,
          headers: header,
        });
        acknowledged.add(event);
      } catch (error) {
        failures.set(event, error);
      }
    });
    await Promise.race([Promise.all(acks), lost.promise, stopped.promise]);
    lost.cancel();
    stopped.cancel();
    // Later acknowledgements only change copies that nobody reads.
    return { acknowledged: new Set(acknowledged), failures: new Map(failures) };
  }

  /** True to continue at once. */
  #handleFailures(
    batch: readonly OutboxEvent[],
    acknowledged: ReadonlySet<OutboxEvent>,
    failures: ReadonlyMap<OutboxEvent, unknown>,
  ): boolean {
    const { link, log } = this.parts;
    const tooLarge = [...failures].filter(
      ([, error]) => apiFailure(error).apiCode === apiCode.messageTooLarge,
    );
    this.#failures += batch.length - acknowledged.size - tooLarge.length;
    for (const [event] of tooLarge) {
      const { sizeBytes } = event;
      const smallest = Math.min(sizeBytes, this.#refused?.sizeBytes ?? Infinity);
      this.#refused = { sizeBytes: smallest, atMs: performance.now() };
      this.#tooLarge(event, undefined);
    }
    if (!link.state.connected || this.#stop.signal.aborted) return false;
    const isGivenUp = (event: OutboxEvent) => tooLarge.some(([other]) => other === event);
    const first = batch.findIndex((event) => !acknowledged.has(event) && !isGivenUp(event));
    // Everything else was accepted, so there is no reason to wait.
    if (first < 0) return !this.parts.outbox.trouble;
    if (batch.slice(first).some((event) => acknowledged.has(event))) {
      log.warn(
        { id: batch[first]?.id },
        'JetStream took later events of a batch and not this one: it follows out of order',
      );
    }
    const error = batch[first] && failures.get(batch[first]);
    this.#failed(this.#unacknowledged(error), this.#stream?.doubt !== undefined);
    // No responders, or no answer: the stream may be gone.
    this.#stream = undefined;
    return false;
  }

  /**
   * Why an event was not acknowledged; if nobody answered, with the suspected problem of the
   * stream.
   */
  #unacknowledged(error: unknown): string {
    const failure = apiFailure(error ?? 'no answer');
    const isSilent = isUnheard(failure) || error === undefined || failure.code === 'TIMEOUT';
    const doubt = isSilent ? this.#stream?.doubt : undefined;
    return [`JetStream did not acknowledge: ${failure.text}`, doubt]
      .filter((text) => text !== undefined)
      .join('; ');
  }

  /**
   * Everything is delivered except the event that reports what was dropped, which is too large as
   * well. Retried later.
   */
  #held(): void {
    this.#heldReason =
      'events were dropped, and the NATS server or the stream takes only messages so small that this cannot be reported';
    this.#heldTimer ??= setTimeout(() => {
      this.#heldTimer = undefined;
      this.#stream = undefined;
      this.kick();
    }, refusedForMs);
    this.parts.onChange();
  }

  #flows(): void {
    this.#retryMs = retry.firstMs;
    if (this.#reason !== undefined) this.parts.log.info({}, 'events are delivered again');
    this.#reason = undefined;
    this.parts.onChange();
  }

  #failed(reason: string, isBlind = false): void {
    if (this.#stop.signal.aborted) return;
    if (this.#reason !== reason) {
      this.parts.log.warn({ reason }, 'events are not delivered and wait in the outbox');
    }
    this.#reason = reason;
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.kick();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, isBlind ? retry.blindMaxMs : retry.maxMs);
    this.parts.onChange();
  }
}

/** Nothing waits, or the first event can be sent. */
const isSmall = (first: OutboxEvent | undefined, maxBytes: number) =>
  first === undefined || first.sizeBytes <= maxBytes;

function aborted(signal: AbortSignal): { promise: Promise<undefined>; cancel: () => void } {
  let cancel: () => void = () => undefined;
  const promise = new Promise<undefined>((resolve) => {
    const done = () => {
      resolve(undefined);
    };
    signal.addEventListener('abort', done, { once: true });
    cancel = () => {
      signal.removeEventListener('abort', done);
    };
    if (signal.aborted) done();
  });
  return { promise, cancel };
}
