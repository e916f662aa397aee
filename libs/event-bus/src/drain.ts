import { cloudEventContentType } from '@stowage/events';
import { headers, type NatsConnection } from 'nats';
import { errorText, type NatsLink } from './nats-link';
import type { DropRecord, Outbox, OutboxEvent } from './outbox';
import type { StreamCheck } from './stream';
import type { BusLog } from './types';

/** Events in flight at once. */
const maxBatch = { events: 256, bytes: 2 * 1024 * 1024 };
const ackTimeoutMs = 5000;
const retry = { firstMs: 100, maxMs: 10_000 };

/** Room for subject and headers beside the message in what the server counts as payload. */
const headerBytes = 256;

/** JetStream API code: the message is larger than the stream takes. */
const messageTooLarge = 10054;

/** What a drain works on. */
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
 * Moves events from the outbox to JetStream: a batch at a time, in order, removed from the outbox only after the
 * acknowledgement. A batch that fails is sent again from its first event without acknowledgement, after a pause, and
 * that event alone: a server that begins to take events in the middle of a batch would store its end before its begin.
 */
export class Drain {
  #running: Promise<void> | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #retryMs = retry.firstMs;
  #streamReady = false;
  /** JetStream took the last event that was sent. */
  #takesEvents = false;
  #reason: string | undefined;
  #published = 0;
  #failures = 0;
  readonly #stop = new AbortController();

  constructor(private readonly parts: DrainParts) {}

  /** Why events do not flow although NATS is connected. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Events acknowledged. */
  get published(): number {
    return this.#published;
  }

  /** Attempts without acknowledgement. */
  get failures(): number {
    return this.#failures;
  }

  /** There is something to send. Returns at once. */
  kick(): void {
    if (this.#running !== undefined || this.#retryTimer !== undefined) return;
    if (this.#stop.signal.aborted || !this.parts.link.state.connected) return;
    this.#running = this.#run();
  }

  /** The connection is back: looks at the stream again and sends without waiting for a pause to end. */
  reconnected(): void {
    this.#streamReady = false;
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
    this.#retryTimer = undefined;
    await this.#running;
  }

  async #run(): Promise<void> {
    // The caller of publish goes on first.
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
    if (this.parts.outbox.pending > 0) this.kick();
  }

  /** Sends one batch. False when there is no more to do now. */
  async #step(): Promise<boolean> {
    const { outbox, link } = this.parts;
    const { connection } = link;
    if (!link.state.connected || connection === undefined) return false;
    if (!this.#streamReady) {
      const check = await this.parts.checkStream(connection);
      if (check.state === 'unavailable') {
        this.#failed(check.reason);
        return false;
      }
      this.#streamReady = true;
    }
    outbox.tellDropped((record) => this.parts.describeDropped(record));
    const maxEvents = this.#takesEvents ? maxBatch.events : 1;
    const batch = this.#sendable(outbox.nextBatch(maxEvents, maxBatch.bytes), connection);
    if (batch === undefined) return !outbox.trouble;
    if (batch.length === 0) {
      outbox.settle([], []);
      this.#flows();
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

  /** The events before the first one that the server would refuse; undefined when that was the first, now dropped. */
  #sendable(batch: OutboxEvent[], connection: NatsConnection): OutboxEvent[] | undefined {
    const max = (connection.info?.max_payload ?? Infinity) - headerBytes;
    const index = batch.findIndex(({ sizeBytes }) => sizeBytes > max);
    if (index < 0) return batch;
    const event = batch[index];
    if (index > 0 || event === undefined) return batch.slice(0, index);
    this.parts.outbox.settle([], []);
    this.#tooLarge(event, max);
    return undefined;
  }

  #tooLarge(event: OutboxEvent, maxBytes: number | undefined): void {
    const { id, name, sizeBytes } = event;
    const dropped = this.parts.outbox.drop(event, 'too-large');
    this.parts.log.error(
      { id, event: name, sizeBytes, maxBytes, dropped },
      'event is larger than the NATS server takes and is dropped',
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
    // Acknowledgements that come later find copies that nobody looks at.
    return { acknowledged: new Set(acknowledged), failures: new Map(failures) };
  }

  /** True to go on at once. */
  #handleFailures(
    batch: readonly OutboxEvent[],
    acknowledged: ReadonlySet<OutboxEvent>,
    failures: ReadonlyMap<OutboxEvent, unknown>,
  ): boolean {
    this.#failures += batch.length - acknowledged.size;
    const { link, log } = this.parts;
    for (const [event, error] of failures) {
      const { api_error: api } = error as { api_error?: { err_code?: number } };
      if (api?.err_code === messageTooLarge) this.#tooLarge(event, undefined);
    }
    if (!link.state.connected || this.#stop.signal.aborted) return false;
    const first = batch.findIndex((event) => !acknowledged.has(event));
    if (batch.slice(first).some((event) => acknowledged.has(event))) {
      log.warn(
        { id: batch[first]?.id },
        'JetStream took later events of a batch and not this one: it follows out of order',
      );
    }
    const [error] = failures.values();
    // No responders, or no answer: the stream may be gone.
    this.#streamReady = false;
    this.#failed(`JetStream did not acknowledge: ${errorText(error ?? 'no answer')}`);
    return false;
  }

  #flows(): void {
    this.#retryMs = retry.firstMs;
    if (this.#reason !== undefined) this.parts.log.info({}, 'events are delivered again');
    this.#reason = undefined;
    this.parts.onChange();
  }

  #failed(reason: string): void {
    if (this.#stop.signal.aborted) return;
    if (this.#reason !== reason) {
      this.parts.log.warn({ reason }, 'events are not delivered and wait in the outbox');
    }
    this.#reason = reason;
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.kick();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, retry.maxMs);
    this.parts.onChange();
  }
}

function aborted(signal: AbortSignal): { promise: Promise<void>; cancel: () => void } {
  let cancel: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    const done = () => {
      resolve();
    };
    signal.addEventListener('abort', done, { once: true });
    cancel = () => {
      signal.removeEventListener('abort', done);
    };
    if (signal.aborted) resolve();
  });
  return { promise, cancel };
}
