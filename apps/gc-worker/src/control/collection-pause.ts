import { FailedPreconditionError } from '@stowage/errors';
import type { EventData } from '@stowage/events';
import type { Publish } from '../publish';
import type { ControlFile, Pause } from './control-file';

export interface CollectionPauseParts {
  readonly file: Pick<ControlFile, 'pause' | 'setPause'>;
  /** What events of a pause are about: the service. */
  readonly subject: string;
  readonly publish: Publish;
  readonly metrics: { paused(isPaused: boolean): void };
  /** Called when a pause begins, changes or ends, and when file systems were measured. */
  readonly changed: () => void;
  readonly log: { info(fields: object, message: string): void };
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Longest time between two looks at the clock, which may be set. Milliseconds. */
const lookMs = 30_000;

const minuteMs = 60_000;

/**
 * The pause of collections that an operator asked for. It survives a restart and ends by itself.
 */
export class CollectionPause {
  #timer: NodeJS.Timeout | undefined;
  #begins = new AbortController();
  readonly #listeners: (() => void)[] = [];

  constructor(private readonly parts: CollectionPauseParts) {
    if (parts.file.pause !== undefined) this.#begin(parts.file.pause);
    parts.metrics.paused(this.current() !== undefined);
    this.#look();
  }

  /** The pause; undefined while there is none. */
  current(): Pause | undefined {
    return this.parts.file.pause;
  }

  /** Aborted when a pause begins, and as long as there is one. */
  get begins(): AbortSignal {
    return this.#begins.signal;
  }

  /** Called when a pause has ended. */
  onEnd(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Begins a pause, or gives the one there is another end. A collection that runs is cut off. */
  pause({ minutes, reason }: { minutes: number; reason: string }): Pause {
    const { file, publish, subject, metrics, changed, log, now } = this.parts;
    const at = now();
    const since = file.pause?.since ?? at;
    const pause = { since, until: at + minutes * minuteMs, reason };
    file.setPause(pause);
    this.#begin(pause);
    metrics.paused(true);
    log.info({ until: time(pause.until), reason }, 'collection is paused');
    const data: EventData<'CollectionPaused'> = {
      since: time(since),
      until: time(pause.until),
      reason,
    };
    publish('CollectionPaused', subject, data);
    changed();
    this.#look();
    return pause;
  }

  /** Ends the pause; the one that there was, if any. */
  resume(): Pause | undefined {
    return this.#end('command');
  }

  /** The file systems were measured: how much a pause matters may have changed. */
  measured(): void {
    this.parts.changed();
  }

  /** Ends the waiting. The pause itself goes on with the next process. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #begin({ until, reason }: Pause): void {
    if (this.#begins.signal.aborted) return;
    const text = `collection is paused until ${time(until)}: ${reason}`;
    this.#begins.abort(new FailedPreconditionError(text));
  }

  /** Ends a pause whose time is over, or looks again. */
  #look(): void {
    clearTimeout(this.#timer);
    const { pause } = this.parts.file;
    if (pause === undefined) return;
    const leftMs = pause.until - this.parts.now();
    if (leftMs <= 0) this.#end('time');
    else this.#timer = setTimeout(() => this.#look(), Math.min(leftMs, lookMs)).unref();
  }

  #end(cause: 'command' | 'time'): Pause | undefined {
    const { file, publish, subject, metrics, changed, log } = this.parts;
    const { pause } = file;
    clearTimeout(this.#timer);
    if (pause === undefined) return undefined;
    file.setPause(undefined);
    this.#begins = new AbortController();
    metrics.paused(false);
    log.info({ cause, reason: pause.reason }, 'collection is resumed');
    publish('CollectionResumed', subject, {
      pausedSince: time(pause.since),
      pausedUntil: time(pause.until),
      reason: pause.reason,
      cause,
    });
    changed();
    for (const listener of this.#listeners) listener();
    return pause;
  }
}

const time = (ms: number): string => new Date(ms).toISOString();
