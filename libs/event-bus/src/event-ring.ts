import { errorMessage } from '@stowage/errors';
import { StateFile, type Database, type Statement, type StateFileContent } from '@stowage/sqlite';
import path from 'node:path';
import type { OutboxEvent } from './outbox';
import type { BusLog, RecentEvents, RecentEventsQuery } from './types';

/** Events that are kept; the oldest go first. */
export const maxRecent = { events: 10_000, bytes: 32 * 1024 * 1024 };

/** Events are written together, this long after the first of them at the latest, milliseconds. */
const writeAfterMs = 200;
/** Events that wait for a write; while the disk refuses, the oldest of them go. */
const maxWaiting = 1000;

/** The last events of a state directory. */
export const recentEventsFile = (stateDir: string): string => path.join(stateDir, 'events.db');

/** What the file holds. */
const recentEventsContent: StateFileContent = {
  lost: 'what the command events shows; nothing that is to be delivered',
  steps: [
    `
    CREATE TABLE event (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      name TEXT NOT NULL,
      time_ms INTEGER NOT NULL,
      size_bytes INTEGER NOT NULL,
      message TEXT NOT NULL
    );
    `,
  ],
};

type Row = Pick<OutboxEvent, 'id' | 'name' | 'timeMs' | 'sizeBytes' | 'message'>;
interface Found {
  position: number;
  message: string;
}
interface Filter {
  after: number;
  sinceMs: number;
  names: string | null;
  subject: string | null;
  limit: number;
}

interface Statements {
  insert: Statement<[Row]>;
  oldest: Statement<[], { position: number; sizeBytes: number }>;
  remove: Statement<[number]>;
  first: Statement<[Filter], Found>;
  last: Statement<[Filter], Found>;
  summary: Statement<
    [],
    { kept: number; bytes: number | null; oldestMs: number | null; last: number | null }
  >;
}

function prepare(db: Database): Statements {
  const matching = `SELECT position, message FROM event WHERE position > @after AND time_ms >= @sinceMs
    AND (@names IS NULL OR name IN (SELECT value FROM json_each(@names)))
    AND (@subject IS NULL OR json_extract(message, '$.subject') = @subject)`;
  return {
    insert: db.prepare(
      `INSERT OR IGNORE INTO event (id, name, time_ms, size_bytes, message)
       VALUES (@id, @name, @timeMs, @sizeBytes, @message)`,
    ),
    oldest: db.prepare(
      'SELECT position, size_bytes AS sizeBytes FROM event ORDER BY position LIMIT 1',
    ),
    remove: db.prepare('DELETE FROM event WHERE position = ?'),
    first: db.prepare(`${matching} ORDER BY position LIMIT @limit`),
    last: db.prepare(`${matching} ORDER BY position DESC LIMIT @limit`),
    summary: db.prepare(
      `SELECT count(*) AS kept, sum(size_bytes) AS bytes, min(time_ms) AS oldestMs,
         (SELECT seq FROM sqlite_sequence WHERE name = 'event') AS last FROM event`,
    ),
  };
}

/**
 * The last events of a service, in a SQLite file of bounded size: for people on the node, and all
 * there is where no NATS is. Never in the way of an event: a write takes several at once, and a
 * file that refuses writes costs what does not fit into memory. A kill can cost the events of the
 * last moment.
 */
export class EventRing {
  readonly #file: StateFile<Statements>;
  #waiting: Row[] = [];
  #timer: NodeJS.Timeout | undefined;
  #kept = 0;
  #bytes = 0;
  /** Why the file cannot be used at all. */
  #unusable: string | undefined;

  constructor(stateDir: string, log: BusLog, now: () => Date) {
    const file = recentEventsFile(stateDir);
    this.#file = new StateFile<Statements>({
      file,
      content: recentEventsContent,
      makesFolder: true,
      now,
      prepare: (db) => this.#load(db),
      onSetAside: (aside, reason) => {
        const fields = { file, setAside: aside, reason };
        log.warn(fields, 'file of the last events could not be read: it was renamed');
      },
      onRefused: (error, before) => {
        if (before !== undefined) return;
        const fields = { file, reason: errorMessage(error) };
        log.warn(fields, 'file of the last events takes no writes: only the newest are kept');
      },
      retry: () => this.flush(),
    });
    try {
      this.#file.open();
    } catch (error) {
      // Of a newer release, say. Events matter more than looking at them.
      this.#unusable = errorMessage(error);
      log.warn({ file, reason: this.#unusable }, 'the last events cannot be kept');
    }
  }

  /** Why events are not on disk; undefined when they are. */
  get trouble(): string | undefined {
    const reason = this.#unusable ?? this.#file.problem?.reason;
    return reason && `file of the last events cannot be written: ${reason}`;
  }

  /** Keeps events; those that are there already stay as they are. */
  add(events: readonly Row[]): void {
    for (const { id, name, timeMs, sizeBytes, message } of events) {
      this.#waiting.push({ id, name, timeMs, sizeBytes, message });
    }
    if (this.#waiting.length >= maxWaiting) this.flush();
    this.#timer ??= setTimeout(() => this.flush(), writeAfterMs).unref();
  }

  /** Writes what waits; false where the file refuses. */
  flush(): boolean {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length === 0) return true;
    const before = { kept: this.#kept, bytes: this.#bytes };
    const isWritten = this.#file.isDue() && this.#file.write((s) => this.#write(s));
    if (isWritten) {
      this.#waiting = [];
      return true;
    }
    this.#kept = before.kept;
    this.#bytes = before.bytes;
    this.#waiting = this.#waiting.slice(-maxWaiting);
    return false;
  }

  find({ since, names, subject, after, limit }: RecentEventsQuery): RecentEvents {
    this.flush();
    const filter: Filter = {
      after: after ?? 0,
      sinceMs: since?.getTime() ?? 0,
      names: names === undefined ? null : JSON.stringify(names),
      subject: subject ?? null,
      limit: limit + 1,
    };
    const isForward = after !== undefined;
    const found = this.#file.read((s) => {
      const rows = isForward ? s.first.all(filter) : s.last.all(filter).reverse();
      return { rows, summary: s.summary.get() };
    });
    const { rows = [], summary } = found ?? {};
    const more = isForward && rows.length > limit;
    const shown = isForward ? rows.slice(0, limit) : rows.slice(-limit);
    const last = more ? shown.at(-1)?.position : summary?.last;
    return {
      events: shown.map(({ message }) => JSON.parse(message) as Record<string, unknown>),
      next: last ?? after ?? 0,
      more,
      kept: summary?.kept ?? 0,
      ...(summary?.oldestMs != null && { oldest: new Date(summary.oldestMs) }),
    };
  }

  close(): void {
    this.flush();
    this.#file.close();
  }

  #write(s: Statements): void {
    for (const row of this.#waiting) {
      if (s.insert.run(row).changes === 0) continue;
      this.#kept += 1;
      this.#bytes += row.sizeBytes;
    }
    while (this.#kept > maxRecent.events || this.#bytes > maxRecent.bytes) {
      const oldest = s.oldest.get();
      if (oldest === undefined) return;
      s.remove.run(oldest.position);
      this.#kept -= 1;
      this.#bytes -= oldest.sizeBytes;
    }
  }

  #load(db: Database): Statements {
    const statements = prepare(db);
    const summary = statements.summary.get();
    this.#kept = summary?.kept ?? 0;
    this.#bytes = summary?.bytes ?? 0;
    return statements;
  }
}
