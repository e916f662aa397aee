import type { EventRing } from './event-ring';
import type { DropRecord, Outbox, OutboxEvent } from './outbox';

/** Events that are taken from the outbox at once. */
const maxBatch = { events: 256, bytes: 2 * 1024 * 1024 };

/** Pause after the ring refused a write, milliseconds. */
const retryMs = 1000;

/**
 * Where there is no NATS: moves events from the outbox to the ring. The outbox stays what makes an
 * event and its sequence durable, and is empty a moment later.
 */
export class LocalDelivery {
  #timer: NodeJS.Immediate | NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(
    private readonly parts: {
      outbox: Outbox;
      ring: EventRing;
      describeDropped(record: DropRecord): Omit<OutboxEvent, 'sequence'>;
      onChange(): void;
    },
  ) {}

  /** As of events that are delivered: JetStream has none of them. */
  readonly published = 0;
  readonly failures = 0;

  /** Why events wait in the outbox. */
  get reason(): string | undefined {
    return this.parts.ring.trouble;
  }

  /** Moves what waits, after the caller of publish. */
  kick(): void {
    if (this.#isStopped) return;
    this.#timer ??= setImmediate(() => this.#run());
  }

  /** Moves the rest and ends. */
  stop(): Promise<void> {
    while (!this.#isStopped && this.#move() && this.parts.outbox.waiting > 0);
    this.#isStopped = true;
    return Promise.resolve();
  }

  #run(): void {
    this.#timer = undefined;
    if (this.#isStopped) return;
    if (!this.#move()) {
      this.#timer = setTimeout(() => this.#run(), retryMs).unref();
    } else if (this.parts.outbox.waiting > 0) {
      this.kick();
    }
    this.parts.onChange();
  }

  /** False where the ring refuses: the events then wait. */
  #move(): boolean {
    const { outbox, ring } = this.parts;
    if (outbox.hasDropped) outbox.reportDropped((record) => this.parts.describeDropped(record));
    const batch = outbox.nextBatch(maxBatch.events, maxBatch.bytes);
    ring.add(batch);
    const isWritten = ring.flush();
    outbox.settle(batch, isWritten ? batch : []);
    return isWritten;
  }
}
