import { errorMessage } from '@stowage/errors';
import type { EventData, EventName } from '@stowage/events';
import { isOfTheSystem, StateFile, type Database, type Statement } from '@stowage/sqlite';
import { StateDirInUseError } from './errors';
import { outboxContent, outboxFile } from './outbox-file';
import type { BusLog } from './types';

/** An event as it waits for delivery. */
export interface OutboxEvent {
  sequence: number;
  /** ULID; the same however often it is sent. */
  id: string;
  name: EventName;
  /** NATS subject. */
  subject: string;
  /** When it happened, milliseconds since 1970. */
  timeMs: number;
  sizeBytes: number;
  /** The message as it goes on the wire. */
  message: string;
}

/** Why events were dropped, as in EventsDropped. */
export type DropReason = 'outbox-full' | 'too-large' | 'outbox-corrupt';

/** Dropped events that were not reported yet. */
export type DropRecord = EventData<'EventsDropped'> & {
  reason: DropReason;
  /** Position of the EventsDropped event: the last sequence that is missing. */
  lastSequence: number;
};

/** How an outbox is opened. */
export interface OutboxSettings {
  stateDir: string;
  maxEvents: number;
  maxBytes: number;
  log: BusLog;
  now: () => Date;
  /** Called after each attempt to return to the disk that was not caused by an event. */
  onRetried?: () => void;
}

/** While the disk refuses writes, at most this many events wait in memory. */
const maxInMemory = { events: 2000, bytes: 8 * 1024 * 1024 };

/** Events that one write takes at most. */
const maxPerWrite = 256;

interface Statements {
  insert: Statement<[OutboxEvent]>;
  remove: Statement<[number]>;
  removeThrough: Statement<[number]>;
  read: Statement<[number, number], OutboxEvent>;
  oldestAfter: Statement<[number], OutboxEvent>;
  saveDropped: Statement<[string, string]>;
  forgetDropped: Statement<[string]>;
  forgetSequence: Statement<[]>;
  saveSequence: Statement<[number]>;
}

const columns = 'sequence, id, name, subject, time_ms AS timeMs, size_bytes AS sizeBytes, message';

/**
 * `LIMIT +?` because SQLite looks at the value of a bare `?` there when it plans: each binding
 * makes it plan again, which costs more than the reading.
 */
function prepare(db: Database): Statements {
  return {
    insert: db.prepare(
      'INSERT INTO event VALUES (@sequence, @id, @name, @subject, @timeMs, @sizeBytes, @message)',
    ),
    remove: db.prepare('DELETE FROM event WHERE sequence = ?'),
    removeThrough: db.prepare('DELETE FROM event WHERE sequence <= ?'),
    read: db.prepare(`SELECT ${columns} FROM event WHERE sequence > ? ORDER BY sequence LIMIT +?`),
    oldestAfter: db.prepare(
      `SELECT ${columns} FROM event WHERE sequence > ? ORDER BY sequence LIMIT 1`,
    ),
    saveDropped: db.prepare('INSERT OR REPLACE INTO dropped VALUES (?, ?)'),
    forgetDropped: db.prepare('DELETE FROM dropped WHERE reason = ?'),
    forgetSequence: db.prepare("DELETE FROM sqlite_sequence WHERE name = 'event'"),
    saveSequence: db.prepare("INSERT INTO sqlite_sequence VALUES ('event', ?)"),
  };
}

/**
 * Stores the last sequence used, because events that were delivered from memory are not in the
 * file.
 */
function noteSequence(statements: Statements, last: number): void {
  statements.forgetSequence.run();
  statements.saveSequence.run(last);
}

const isoTime = (ms: number) => new Date(ms).toISOString();

function earlier(a: string | undefined, b: string): string {
  return a === undefined || b < a ? b : a;
}

function later(a: string | undefined, b: string): string {
  return a === undefined || b > a ? b : a;
}

/**
 * A record of dropped events with one more event; an EventsDropped event adds the events that it
 * reports.
 */
export function withDropped(
  record: DropRecord | undefined,
  event: OutboxEvent,
  reason: DropReason,
): DropRecord {
  const reported =
    event.name === 'EventsDropped'
      ? (JSON.parse(event.message) as { data: EventData<'EventsDropped'> }).data
      : undefined;
  const names = reported?.countByName ?? { [event.name]: 1 };
  const countByName = { ...record?.countByName };
  for (const [name, count] of Object.entries(names)) {
    countByName[name] = (countByName[name] ?? 0) + count;
  }
  return {
    reason,
    count: (record?.count ?? 0) + (reported ? (reported.count ?? 0) : 1),
    bytes: (record?.bytes ?? 0) + (reported ? (reported.bytes ?? 0) : event.sizeBytes),
    firstSequence: Math.min(
      record?.firstSequence ?? Infinity,
      reported?.firstSequence ?? event.sequence,
    ),
    lastSequence: Math.max(record?.lastSequence ?? 0, event.sequence),
    oldestTime: earlier(record?.oldestTime, reported?.oldestTime ?? isoTime(event.timeMs)),
    newestTime: later(record?.newestTime, reported?.newestTime ?? isoTime(event.timeMs)),
    countByName,
  };
}

/**
 * Keeps events on disk until JetStream has them: a SQLite file in WAL mode, bounded by count and
 * bytes, which drops the oldest first. While the disk refuses writes (full, read-only, or an
 * unusable folder; also at the start), events wait in memory, in order after those on disk. All
 * calls are synchronous, and none throws for disk errors. Opening throws when another process has
 * the file, when it is not a regular file, and when it was written by a newer release.
 */
export class Outbox {
  readonly #file: StateFile<Statements>;
  /** Events are read from a copy: the file could not be opened for writing. */
  #isCopy = false;
  #nextSequence = 1;
  #storedEvents = 0;
  #storedBytes = 0;
  /** Events that could not be written; all their sequences are above those on disk. */
  #inMemory: OutboxEvent[] = [];
  #inMemoryBytes = 0;
  readonly #droppedByReason = new Map<DropReason, DropRecord>();
  /** Acknowledged, and not removed from the disk yet: 0 unless the disk refuses writes. */
  #acknowledgedThrough = 0;
  /** Everything up to here is being sent and is not dropped. */
  #inFlightThrough = 0;
  #droppedCount = 0;

  constructor(private readonly settings: OutboxSettings) {
    const { stateDir, log, now } = settings;
    const file = outboxFile(stateDir);
    this.#file = new StateFile({
      file,
      content: outboxContent,
      makesFolder: true,
      now,
      prepare: (db) => this.#load(db),
      onSetAside: (aside, reason) => {
        log.warn(
          { file, setAside: aside, reason },
          'outbox file could not be read: it was set aside and a new one begun; the events in it are not delivered',
        );
        this.#replaced();
      },
      onRefused: (error, before) => {
        if (before !== undefined) return;
        log.error(
          { file, reason: errorMessage(error) },
          'outbox file takes no writes: events wait in memory until it does',
        );
      },
      onWritten: () => {
        log.info({ file }, 'outbox file takes writes again');
      },
      retry: () => {
        this.retryDisk();
        settings.onRetried?.();
      },
      heldError: (cause) => new StateDirInUseError(stateDir, { cause }),
    });
    if (!this.#file.open()) this.#openCopy(file);
  }

  /** Why events are not on disk; undefined when they are. */
  get trouble(): string | undefined {
    const { problem } = this.#file;
    return problem && `outbox file cannot be written: ${problem.reason}`;
  }

  /** Sequence that the next event gets. */
  get nextSequence(): number {
    return this.#nextSequence;
  }

  /** Events dropped since the process started. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  /** Events not acknowledged, including the EventsDropped events to come. */
  get pending(): number {
    return this.#storedEvents + this.#inMemory.length + this.#droppedByReason.size;
  }

  /** Events that wait to be sent. */
  get waiting(): number {
    return this.#storedEvents + this.#inMemory.length;
  }

  /** Events were dropped, and no EventsDropped event reports them yet. */
  get hasDropped(): boolean {
    return this.#droppedByReason.size > 0;
  }

  get pendingBytes(): number {
    return this.#storedBytes + this.#inMemoryBytes;
  }

  /** When the oldest waiting event happened, milliseconds since 1970. */
  oldestTimeMs(): number | undefined {
    const stored = this.#file.read((s) => s.oldestAfter.get(this.#acknowledgedThrough));
    return (stored ?? this.#inMemory[0])?.timeMs;
  }

  /** Appends an event; `make` gets its sequence. */
  append(make: (sequence: number) => Omit<OutboxEvent, 'sequence'>): OutboxEvent {
    const sequence = this.#nextSequence;
    const event = { ...make(sequence), sequence };
    this.#nextSequence += 1;
    if (!this.#toDisk([event])) this.#keepInMemory(event);
    return event;
  }

  /** Appends events in this order, many in one write; `make` gets each with its sequence. */
  appendAll<T>(
    items: readonly T[],
    make: (item: T, sequence: number) => Omit<OutboxEvent, 'sequence'>,
  ): OutboxEvent[] {
    // A write is small compared with the outbox, which makes room for all of it at once.
    const atOnce = Math.max(1, Math.min(maxPerWrite, Math.floor(this.settings.maxEvents / 4)));
    const appended: OutboxEvent[] = [];
    for (let at = 0; at < items.length; at += atOnce) {
      const first = this.#nextSequence;
      const events = items
        .slice(at, at + atOnce)
        .map((item, index) => ({ ...make(item, first + index), sequence: first + index }));
      this.#nextSequence += events.length;
      if (!this.#toDisk(events)) for (const event of events) this.#keepInMemory(event);
      appended.push(...events);
    }
    return appended;
  }

  /** The oldest events, in order, and marks them as being sent. At least one when there is any. */
  nextBatch(maxEvents: number, maxBytes: number): OutboxEvent[] {
    const stored = this.#file.read((s) => s.read.all(this.#acknowledgedThrough, maxEvents)) ?? [];
    const events = [...stored, ...this.#inMemory.slice(0, maxEvents - stored.length)];
    let bytes = 0;
    const batch: OutboxEvent[] = [];
    for (const event of events) {
      bytes += event.sizeBytes;
      if (batch.length > 0 && bytes > maxBytes) break;
      batch.push(event);
    }
    this.#inFlightThrough = batch.at(-1)?.sequence ?? 0;
    return batch;
  }

  /** Ends the sending of a batch: removes what JetStream has. Both lists are in order. */
  settle(batch: readonly OutboxEvent[], acknowledged: readonly OutboxEvent[]): void {
    this.#inFlightThrough = 0;
    this.#remove(batch, acknowledged);
    // What came meanwhile waited in memory, although the disk may take writes again by now.
    if (this.#file.problem === undefined && this.#inMemory.length > 0) this.#toDisk([]);
  }

  #remove(batch: readonly OutboxEvent[], acknowledged: readonly OutboxEvent[]): void {
    const last = acknowledged.at(-1);
    if (last === undefined) return;
    const gone = new Set(acknowledged);
    const inMemory = this.#inMemory.filter((event) => gone.has(event));
    if (inMemory.length > 0) {
      this.#inMemory = this.#inMemory.filter((event) => !gone.has(event));
      this.#inMemoryBytes -= sumBytes(inMemory);
      for (const event of inMemory) gone.delete(event);
    }
    const stored = [...gone];
    const lastStored = stored.at(-1);
    if (lastStored === undefined) return;
    const isPrefix = batch[acknowledged.length - 1] === last;
    if (isPrefix) this.#acknowledgedThrough = lastStored.sequence;
    const wrote = this.#write((s) => {
      if (!isPrefix) for (const { sequence } of stored) s.remove.run(sequence);
    });
    if (!wrote && !isPrefix) return;
    this.#storedEvents -= stored.length;
    this.#storedBytes -= sumBytes(stored);
  }

  /** Drops an event. False when it cannot be removed from the disk. */
  drop(event: OutboxEvent, reason: DropReason): boolean {
    const record = withDropped(this.#droppedByReason.get(reason), event, reason);
    if (this.#inMemory.includes(event)) {
      this.#inMemory = this.#inMemory.filter((kept) => kept !== event);
      this.#inMemoryBytes -= event.sizeBytes;
    } else {
      const wrote = this.#write((s) => {
        s.remove.run(event.sequence);
        s.saveDropped.run(reason, JSON.stringify(record));
      });
      if (!wrote) {
        // The oldest one can be skipped as if it were acknowledged; another one does not block
        // anything yet.
        const oldest = this.#file.read((s) => s.oldestAfter.get(this.#acknowledgedThrough));
        if (oldest?.sequence !== event.sequence) return false;
        this.#acknowledgedThrough = event.sequence;
      }
      this.#storedEvents -= 1;
      this.#storedBytes -= event.sizeBytes;
    }
    this.#droppedByReason.set(reason, record);
    this.#droppedCount += countOf(event);
    return true;
  }

  /**
   * Reports dropped events with EventsDropped events. Each takes the place of the last event that
   * it stands for, so that a consumer gets it where it sees the gap. Called before sending, so that
   * a long outage makes one event. Records for which `make` returns no event wait.
   */
  reportDropped(make: (record: DropRecord) => Omit<OutboxEvent, 'sequence'> | undefined): void {
    for (const [reason, record] of this.#droppedByReason) {
      const made = make(record);
      if (made === undefined) continue;
      const event = { ...made, sequence: record.lastSequence };
      const wrote = this.#write((s) => {
        s.insert.run(event);
        s.forgetDropped.run(reason);
      });
      if (wrote) {
        this.#storedEvents += 1;
        this.#storedBytes += event.sizeBytes;
      } else {
        // Those on disk come first; the events in memory are younger.
        if (this.#storedEvents > 0) continue;
        this.#inMemory.unshift(event);
        this.#inMemoryBytes += event.sizeBytes;
      }
      this.#droppedByReason.delete(reason);
    }
  }

  /** Tries to write the events in memory to the disk, when there was trouble with it. */
  retryDisk(): void {
    if (this.#file.problem !== undefined && this.#inFlightThrough === 0) this.#toDisk([], true);
  }

  /** Closes the file. Nothing may be called after it. */
  close(): void {
    this.#inFlightThrough = 0;
    this.retryDisk();
    if (this.#inMemory.length > 0) {
      const lost = { events: this.#inMemory.length, reason: this.trouble };
      this.settings.log.error(lost, 'events in memory are lost: the outbox file takes no writes');
    }
    this.#file.close();
  }

  /**
   * The file refuses writes from the start: its events are sent from a copy, and the sequence
   * continues from there.
   */
  #openCopy(file: string): void {
    try {
      this.#isCopy = this.#file.openCopy();
    } catch (error) {
      this.settings.log.warn(
        { file, reason: errorMessage(error) },
        'outbox file cannot be read either: events of an earlier run wait until it can',
      );
      // Above any number of events, so that sequences in a file that is only out of reach are not
      // used again.
      if (isOfTheSystem(error)) this.#nextSequence = this.settings.now().getTime();
    }
  }

  /**
   * The events of the old file are gone. Their number and last sequence are known only if it was in
   * use until now.
   */
  #replaced(): void {
    const { now } = this.settings;
    const wasInUse = this.#nextSequence > 1;
    if (wasInUse && this.#storedEvents === 0) return;
    // Milliseconds since 1970 are above any number of events, so the sequence rises and the gap
    // shows.
    const lastSequence = wasInUse
      ? (this.#inMemory[0]?.sequence ?? this.#nextSequence) - 1
      : now().getTime();
    this.#droppedByReason.clear();
    this.#droppedByReason.set('outbox-corrupt', {
      reason: 'outbox-corrupt',
      ...(wasInUse ? { count: this.#storedEvents } : {}),
      lastSequence,
    });
    if (wasInUse) this.#droppedCount += this.#storedEvents;
    else this.#nextSequence = lastSequence + 1;
  }

  /** Counts the events in a newly opened file, and writes into it what was dropped meanwhile. */
  #load(db: Database): Statements {
    const statements = prepare(db);
    const stored = db
      .prepare<[number], { events: number; bytes: number | null; last: number | null }>(
        `SELECT count(*) AS events, sum(size_bytes) AS bytes,
           (SELECT seq FROM sqlite_sequence WHERE name = 'event') AS last FROM event WHERE sequence > ?`,
      )
      .get(this.#acknowledgedThrough);
    this.#storedEvents = stored?.events ?? 0;
    this.#storedBytes = stored?.bytes ?? 0;
    const dropped = this.#isCopy
      ? []
      : db
          .prepare<[], { reason: DropReason; record: string }>('SELECT reason, record FROM dropped')
          .all();
    for (const { reason, record } of dropped) {
      this.#droppedByReason.set(reason, JSON.parse(record) as DropRecord);
    }
    const lastDropped = [...this.#droppedByReason.values()].map((record) => record.lastSequence);
    const inMemory = this.#inMemory.at(-1)?.sequence ?? 0;
    this.#nextSequence =
      Math.max(this.#nextSequence - 1, stored?.last ?? 0, inMemory, ...lastDropped) + 1;
    db.transaction(() => {
      // What was reported from the copy must not be reported again.
      if (this.#isCopy) db.exec('DELETE FROM dropped');
      for (const [reason, record] of this.#droppedByReason) {
        statements.saveDropped.run(reason, JSON.stringify(record));
      }
    })();
    this.#isCopy = false;
    return statements;
  }

  /** Writes events, making room first. False when the disk refused. */
  #store(events: readonly OutboxEvent[]): boolean {
    const room = this.#roomFor(events);
    const before = new Map(this.#droppedByReason);
    for (const event of room) this.#addDropped(event, 'outbox-full');
    const wrote = this.#write((s) => {
      if (events.length === 0) noteSequence(s, this.#nextSequence - 1);
      for (const { sequence } of room) s.remove.run(sequence);
      const record = this.#droppedByReason.get('outbox-full');
      if (room.length > 0 && record) s.saveDropped.run('outbox-full', JSON.stringify(record));
      for (const event of events) s.insert.run(event);
    });
    if (!wrote) {
      this.#droppedByReason.clear();
      for (const [reason, record] of before) this.#droppedByReason.set(reason, record);
      this.#droppedCount -= room.reduce((sum, event) => sum + countOf(event), 0);
      return false;
    }
    if (room.length > 0 && !before.has('outbox-full')) {
      const { maxEvents, maxBytes } = this.settings;
      this.settings.log.warn(
        { maxEvents, maxBytes },
        'outbox is full: the oldest events are dropped',
      );
    }
    this.#storedEvents += events.length - room.length;
    this.#storedBytes += sumBytes(events) - sumBytes(room);
    return true;
  }

  /** The oldest stored events that must go so that `events` fit; those being sent stay. */
  #roomFor(events: readonly OutboxEvent[]): OutboxEvent[] {
    const { maxEvents, maxBytes } = this.settings;
    const room: OutboxEvent[] = [];
    let count = this.#storedEvents + events.length;
    let bytes = this.#storedBytes + sumBytes(events);
    let after = Math.max(this.#inFlightThrough, this.#acknowledgedThrough);
    while (count > maxEvents || bytes > maxBytes) {
      const from = after;
      const oldest = this.#file.read((s) => s.oldestAfter.get(from));
      if (oldest === undefined) break;
      room.push(oldest);
      count -= 1;
      bytes -= oldest.sizeBytes;
      after = oldest.sequence;
    }
    return room;
  }

  #addDropped(event: OutboxEvent, reason: DropReason): DropRecord {
    const record = withDropped(this.#droppedByReason.get(reason), event, reason);
    this.#droppedByReason.set(reason, record);
    this.#droppedCount += countOf(event);
    return record;
  }

  #keepInMemory(event: OutboxEvent): void {
    this.#inMemory.push(event);
    this.#inMemoryBytes += event.sizeBytes;
    while (
      this.#inMemory.length > maxInMemory.events ||
      (this.#inMemoryBytes > maxInMemory.bytes && this.#inMemory.length > 1)
    ) {
      const index = this.#inMemory.findIndex(({ sequence }) => sequence > this.#inFlightThrough);
      const [oldest] = this.#inMemory.splice(Math.max(index, 0), 1);
      if (oldest === undefined) return;
      this.#inMemoryBytes -= oldest.sizeBytes;
      this.#addDropped(oldest, 'outbox-full');
    }
  }

  /**
   * Writes the events in memory and then `events` to the disk; false when that was not possible.
   * While there is trouble it tries once a second, or when `now`.
   */
  #toDisk(events: readonly OutboxEvent[], now = false): boolean {
    if (!this.#file.isDue(now)) return false;
    if (this.#inMemory.length === 0) return this.#store(events);
    // Events being sent stay in memory until they are settled.
    if (this.#inFlightThrough > 0) return false;
    if (!this.#store([...this.#inMemory, ...events])) return false;
    this.#inMemory = [];
    this.#inMemoryBytes = 0;
    return true;
  }

  /** Writes in one transaction, and removes what is acknowledged; false when the disk refuses. */
  #write(change: (statements: Statements) => void): boolean {
    const wrote = this.#file.write((statements) => {
      if (this.#acknowledgedThrough > 0) statements.removeThrough.run(this.#acknowledgedThrough);
      change(statements);
    });
    if (wrote) this.#acknowledgedThrough = 0;
    return wrote;
  }
}

/** An EventsDropped event stands for others, which were counted already. */
const countOf = ({ name }: OutboxEvent) => (name === 'EventsDropped' ? 0 : 1);

const sumBytes = (events: readonly OutboxEvent[]) =>
  events.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
