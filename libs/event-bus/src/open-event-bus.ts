import { errorMessage, InvalidArgumentError } from '@stowage/errors';
import {
  assertEventData,
  checkAppName,
  checkNodeName,
  createEvent,
  EventFormatError,
  eventSource,
  eventSubject,
  type EventName,
} from '@stowage/events';
import { checkSchema, useStateFolder } from '@stowage/sqlite';
import type { NatsConnection } from 'nats';
import { Drain } from './drain';
import { EventRing } from './event-ring';
import { EventTooLargeError, StateDirUnusableError } from './errors';
import { HandOverFolder } from './hand-over-folder';
import { LocalDelivery } from './local-delivery';
import { natsConnectSettings, NatsLink, type LinkState } from './nats-link';
import { Outbox, type DropRecord, type OutboxEvent } from './outbox';
import { outboxContent, outboxFile } from './outbox-file';
import { checkStream } from './stream';
import type {
  BusLog,
  EventBus,
  EventBusOptions,
  EventBusStatus,
  PublishedEvent,
  RecentEvents,
  RecentEventsQuery,
} from './types';
import { ulidGenerator } from './ulid';

/**
 * Largest message, bytes; below the 1 MiB that NATS servers accept by default, with room for
 * headers.
 */
export const maxEventBytes = 1024 * 1024 - 1024;

const traceparentPattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
const defaultDrainMs = 2000;
/** How often events that replaced processes have left are picked up. */
const takeInMs = 1000;
/**
 * Longest wait for NATS when the outbox is handed over: the other process is waiting, and delivers
 * the rest.
 */
const releaseDrainMs = 250;

const defaults = { maxEvents: 100_000, maxBytes: 64 * 1024 * 1024 };

function checkPositive(field: string, value: number | undefined): void {
  if (value !== undefined && (!Number.isSafeInteger(value) || value <= 0)) {
    throw new InvalidArgumentError(field, value, 'a positive integer');
  }
}

function checkOptions({ outbox = {}, stream = {} }: EventBusOptions): void {
  checkPositive('outbox.maxEvents', outbox.maxEvents);
  checkPositive('outbox.maxBytes', outbox.maxBytes);
  checkPositive('stream.maxAgeMs', stream.maxAgeMs);
  checkPositive('stream.maxBytes', stream.maxBytes);
  checkPositive('stream.duplicateWindowMs', stream.duplicateWindowMs);
  checkPositive('stream.replicas', stream.replicas);
}

/** Throws EventFormatError for an event that must not be published. */
function checkEvent<N extends EventName>(name: N, event: PublishedEvent<N>): void {
  assertEventData(name, event.data);
  if (event.subject === '') {
    throw new EventFormatError('EVENT_DATA_INVALID', `event ${name}`, ['subject: required']);
  }
  if (event.time !== undefined && Number.isNaN(event.time.getTime())) {
    throw new EventFormatError('EVENT_DATA_INVALID', `event ${name}`, ['time: not a valid time']);
  }
}

/** Passes each distinct warning on once. */
function warningOnce(log: BusLog): BusLog {
  const seen = new Set<string>();
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    error: (fields, message) => log.error(fields, message),
    warn: (fields, message) => {
      const key = message + JSON.stringify(fields);
      if (!seen.has(key)) log.warn(fields, message);
      seen.add(key);
    },
  };
}

/**
 * Throws what {@link openEventBus} would throw for these options, without opening anything: for a
 * process that shall take over the outbox from another one, before that one is asked to give it up.
 */
export function checkEventBus(options: EventBusOptions): void {
  settingsOf(options);
  checkSchema(outboxFile(options.stateDir), outboxContent);
}

/**
 * Throws StateDirUnusableError for a folder that could not hold an outbox. A full or read-only disk
 * is allowed, because it may be temporary. An instance that would have to keep its events in memory
 * must not replace one that does not.
 */
export function checkStateDir(stateDir: string): void {
  try {
    useStateFolder(stateDir);
  } catch (error) {
    if (/^(ENOSPC|EDQUOT|EROFS|EIO)$/.test((error as NodeJS.ErrnoException).code ?? '')) return;
    throw new StateDirUnusableError(stateDir, errorMessage(error), { cause: error });
  }
}

/**
 * Opens the outbox and starts to connect; NATS need not be running. Throws StateDirInUseError,
 * StateFileKindError and StateFileNewerError of `@stowage/sqlite`, and InvalidArgumentError and
 * SubjectError for invalid settings.
 */
export function openEventBus(options: EventBusOptions): EventBus {
  return new OutboxEventBus(options, settingsOf(options));
}

/** Undefined where there is no NATS to connect to. */
function settingsOf(options: EventBusOptions): ReturnType<typeof natsConnectSettings> | undefined {
  checkNodeName(options.node);
  checkAppName(options.app);
  checkOptions(options);
  if (options.nats.servers.length === 0) return undefined;
  return natsConnectSettings(options.nats, `${options.app}@${options.node}`);
}

class OutboxEventBus implements EventBus {
  readonly #outbox: Outbox;
  readonly #ring: EventRing;
  /** Undefined where there is no NATS to connect to. */
  readonly #link: NatsLink | undefined;
  readonly #delivery: Drain | LocalDelivery;
  readonly #now: () => Date;
  readonly #nextId = ulidGenerator();
  readonly #statusListeners = new Set<(status: EventBusStatus) => void>();
  readonly #connectionListeners = new Set<(connection: NatsConnection) => void>();
  readonly #changeListeners = new Set<() => void>();
  readonly #handOver: HandOverFolder;
  #handOverTimer: NodeJS.Timeout;
  #releasing: Promise<void> | undefined;
  #isReleased = false;
  #closing: Promise<void> | undefined;
  #closed = false;
  #lateDropped = 0;
  #since: Date;
  #reported: { connected: boolean; reason: string | undefined };

  constructor(
    private readonly options: EventBusOptions,
    connect: ReturnType<typeof natsConnectSettings> | undefined,
  ) {
    const { log, stateDir } = options;
    this.#now = options.now ?? (() => new Date());
    this.#since = this.#now();
    this.#outbox = new Outbox({
      stateDir,
      ...defaults,
      ...options.outbox,
      log,
      now: this.#now,
      onRetried: () => this.#changed(),
    });
    if (this.#outbox.pending > 0) {
      log.info({ pending: this.#outbox.pending }, 'outbox holds events of an earlier run');
    }
    this.#ring = new EventRing(stateDir, log, this.#now);
    if (connect === undefined) {
      this.#delivery = new LocalDelivery({
        outbox: this.#outbox,
        ring: this.#ring,
        describeDropped: (record) => this.#describeDropped(record),
        onChange: () => this.#changed(),
      });
      log.info({}, 'no NATS servers are configured: events stay on the node');
    } else {
      ({ link: this.#link, drain: this.#delivery } = this.#connecting(connect));
    }
    this.#reported = { connected: false, reason: this.#reason() };
    this.#handOver = new HandOverFolder(stateDir, log);
    this.#takeIn();
    this.#handOverTimer = setInterval(() => this.#takeIn(), takeInMs).unref();
    this.#link?.start();
    this.#delivery.kick();
  }

  #connecting(connect: ReturnType<typeof natsConnectSettings>): { link: NatsLink; drain: Drain } {
    const { log, node, stream = {} } = this.options;
    const streamLog = warningOnce(log);
    const link = new NatsLink(connect, log, {
      connection: (connection) => {
        for (const listener of this.#connectionListeners) this.#notify(listener, connection);
      },
      state: ({ connected }) => {
        if (connected) drain.reconnected();
        this.#changed();
      },
    });
    const drain = new Drain({
      outbox: this.#outbox,
      link,
      checkStream: (connection) => checkStream(connection, node, stream, streamLog),
      describeDropped: (record) => this.#describeDropped(record),
      log,
      onChange: () => this.#changed(),
    });
    return { link, drain };
  }

  #describeDropped(record: DropRecord): Omit<OutboxEvent, 'sequence'> {
    const { node, app } = this.options;
    const { lastSequence, ...known } = record;
    const data = record.count === undefined ? known : { ...known, lastSequence };
    return this.#row('EventsDropped', lastSequence, { subject: eventSource(node, app), data });
  }

  /** Of the connection; without NATS it is not missing. */
  get #linkState(): LinkState {
    return this.#link?.state ?? { connected: false };
  }

  publish<N extends EventName>(name: N, event: PublishedEvent<N>): string {
    checkEvent(name, event);
    if (this.#closed) return this.#lost(name);
    if (this.#isReleased) return this.#leave(name, event);
    const appended = this.#outbox.append((sequence) => this.#row(name, sequence, event));
    this.#appended([appended]);
    return appended.id;
  }

  publishAll<N extends EventName>(name: N, events: readonly PublishedEvent<N>[]): string[] {
    for (const event of events) checkEvent(name, event);
    if (this.#closed) return events.map(() => this.#lost(name));
    if (this.#isReleased) return events.map((event) => this.#leave(name, event));
    const appended = this.#outbox.appendAll(events, (event, sequence) =>
      this.#row(name, sequence, event),
    );
    this.#appended(appended);
    return appended.map(({ id }) => id);
  }

  #lost(name: EventName): string {
    this.#lateDropped += 1;
    this.options.log.warn({ event: name }, 'event after the bus was closed is lost');
    return this.#nextId(this.#now());
  }

  /** Publishes through the process that has the outbox now. */
  #leave<N extends EventName>(name: N, event: PublishedEvent<N>): string {
    const id = this.#nextId(this.#now());
    this.#handOver.leave({ id, name, event: { time: this.#now(), ...event } });
    return id;
  }

  /** Publishes the events that previous owners of the outbox have left. */
  #takeIn(): void {
    if (this.#isReleased || this.#closed) return;
    this.#handOver.takeIn(({ id, name, event }) => {
      checkEvent(name, event);
      this.#appended([this.#outbox.append((sequence) => this.#row(name, sequence, event, id))]);
    });
  }

  #appended(events: readonly OutboxEvent[]): void {
    if (this.#outbox.trouble !== this.#lastTrouble) this.#changed();
    // Without NATS the delivery itself brings them there.
    if (this.#link !== undefined) this.#ring.add(events);
    this.#delivery.kick();
  }

  recent(query: RecentEventsQuery): RecentEvents {
    return this.#ring.find(query);
  }

  status(): EventBusStatus {
    const oldest = this.#closed ? undefined : this.#outbox.oldestTimeMs();
    const reason = this.#reason();
    return {
      isLocal: this.#link === undefined,
      connected: this.#linkState.connected,
      since: this.#since,
      ...(reason === undefined ? {} : { reason }),
      pending: this.#outbox.pending,
      pendingBytes: this.#outbox.pendingBytes,
      ...(oldest === undefined ? {} : { oldestPendingAt: new Date(oldest) }),
      published: this.#delivery.published,
      dropped: this.#outbox.droppedCount + this.#lateDropped,
      isOnDisk: this.#outbox.trouble === undefined,
      failures: this.#delivery.failures,
    };
  }

  nextSequence(): number {
    return this.#outbox.nextSequence;
  }

  onStatus(listener: (status: EventBusStatus) => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  natsConnection(): NatsConnection | undefined {
    return this.#link?.connection;
  }

  onConnected(listener: (connection: NatsConnection) => void): () => void {
    this.#connectionListeners.add(listener);
    const connection = this.#link?.connection;
    if (connection !== undefined) this.#notify(listener, connection);
    return () => this.#connectionListeners.delete(listener);
  }

  flush({ signal }: { signal?: AbortSignal } = {}): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = () => {
        if (this.#outbox.pending > 0 && !this.#closed && signal?.aborted !== true) return;
        this.#changeListeners.delete(settle);
        signal?.removeEventListener('abort', settle);
        resolve(this.#outbox.pending === 0);
      };
      this.#changeListeners.add(settle);
      signal?.addEventListener('abort', settle);
      settle();
    });
  }

  release(): Promise<void> {
    this.#releasing ??= this.#release(releaseDrainMs);
    return this.#releasing;
  }

  close({ drainMs = defaultDrainMs }: { drainMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    const began = performance.now();
    await (this.#releasing ??= this.#release(drainMs));
    this.#handOver.leave();
    clearInterval(this.#handOverTimer);
    const { waiting } = this.#handOver;
    if (waiting > 0) this.options.log.error({ events: waiting }, 'events in memory are lost');
    this.#closed = true;
    await this.#link?.close(Math.max(250, drainMs - (performance.now() - began)));
    this.#changed();
    this.#statusListeners.clear();
    this.#connectionListeners.clear();
  }

  /** Ends the delivery and closes the outbox. */
  async #release(drainMs: number): Promise<void> {
    if (this.#linkState.connected) await this.flush({ signal: AbortSignal.timeout(drainMs) });
    await this.#delivery.stop();
    this.#isReleased = true;
    clearInterval(this.#handOverTimer);
    this.#handOverTimer = setInterval(() => this.#handOver.leave(), takeInMs).unref();
    const { pending } = this.#outbox;
    if (pending > 0)
      this.options.log.info({ pending }, 'events stay in the outbox for the next run');
    this.#outbox.close();
    this.#ring.close();
    this.#changed();
  }

  #row<N extends EventName>(
    name: N,
    sequence: number,
    event: PublishedEvent<N>,
    knownId?: string,
  ): Omit<OutboxEvent, 'sequence'> {
    const { node, app } = this.options;
    const now = this.#now();
    const { subject, data, traceparent, time = now } = event;
    const id = knownId ?? this.#nextId(now);
    const isTrace = traceparent !== undefined && traceparentPattern.test(traceparent);
    const attributes = { id, node, app, sequence, subject, time };
    const message = JSON.stringify(
      createEvent(name, isTrace ? { ...attributes, traceparent } : attributes, data),
    );
    const sizeBytes = Buffer.byteLength(message);
    if (sizeBytes > maxEventBytes) throw new EventTooLargeError(name, sizeBytes, maxEventBytes);
    return {
      id,
      name,
      subject: eventSubject(node, name),
      timeMs: time.getTime(),
      sizeBytes,
      message,
    };
  }

  #lastTrouble: string | undefined;

  #reason(): string | undefined {
    this.#lastTrouble = this.#outbox.trouble;
    const state = this.#linkState;
    const isUp = this.#link === undefined || state.connected;
    const delivery = isUp ? this.#delivery.reason : state.reason;
    const reasons = [delivery, this.#outbox.trouble].filter((reason) => reason !== undefined);
    return reasons.length === 0 ? undefined : reasons.join('; ');
  }

  #changed(): void {
    for (const listener of [...this.#changeListeners]) listener();
    const { connected } = this.#linkState;
    const reason = this.#reason();
    if (connected === this.#reported.connected && reason === this.#reported.reason) return;
    if ((reason === undefined) !== (this.#reported.reason === undefined)) this.#since = this.#now();
    this.#reported = { connected, reason };
    const status = this.status();
    for (const listener of [...this.#statusListeners]) this.#notify(listener, status);
  }

  /** A listener that throws does not affect others. */
  #notify<T>(listener: (value: T) => void, value: T): void {
    try {
      listener(value);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.options.log.error({ reason }, 'listener of the event bus threw');
    }
  }
}
