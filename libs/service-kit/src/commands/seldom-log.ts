import type { Logger } from '../log';

/**
 * Lines of one kind that are written in a minute; the rest is counted and written as one line at
 * its end.
 */
const linesPerMinute = 5;
const windowMs = 60_000;

/**
 * Logs what whoever sends commands can cause as often as they like. `kind` has to come from a
 * closed set: each has a count of its own.
 */
export class SeldomLog {
  readonly #windows = new Map<
    string,
    { lines: number; more: number; end: () => void; timer: NodeJS.Timeout }
  >();

  constructor(private readonly log: Logger) {}

  write(level: 'info' | 'error', kind: Readonly<Record<string, string>>, fields: object): void {
    const key = Object.values(kind).join(' ');
    let window = this.#windows.get(key);
    if (window === undefined) {
      const end = () => {
        this.#end(key, level, kind);
      };
      window = { lines: 0, more: 0, end, timer: setTimeout(end, windowMs).unref() };
      this.#windows.set(key, window);
    }
    if (window.lines >= linesPerMinute) {
      window.more += 1;
      return;
    }
    window.lines += 1;
    this.log[level]({ ...fields, ...kind }, 'command refused or failed');
  }

  /** Writes what was only counted, and forgets it. */
  close(): void {
    for (const { timer, end } of this.#windows.values()) {
      clearTimeout(timer);
      end();
    }
  }

  #end(key: string, level: 'info' | 'error', kind: Readonly<Record<string, string>>): void {
    const more = this.#windows.get(key)?.more ?? 0;
    this.#windows.delete(key);
    if (more === 0) return;
    const fields = { ...kind, more, seconds: windowMs / 1000 };
    this.log[level](fields, 'more commands were refused or failed in the same way');
  }
}
