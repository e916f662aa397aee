import { setMaxListeners } from 'node:events';
import { DeadlineExceededError } from '@stowage/errors';
import type { StreamingSession, StreamingSessionListener } from './types';

/** What carries a session. */
export interface Carrier {
  /** Sends something that the client answers by itself. */
  probe(): void;
  /** Ends it at once. */
  destroy(): void;
}

export interface SessionOptions {
  readonly idleTimeoutMs: number;
  readonly probeIntervalMs: number;
  /** How long it may take to end once it has to, milliseconds. */
  readonly endWithinMs: number;
  readonly listener: StreamingSessionListener | undefined;
}

/** One connection of a client, from the handshake to its end. */
export class Session {
  /** Resolves when the connection is closed; never rejects. */
  readonly ended: Promise<void>;
  /** Resolves when the session has to end; never rejects. */
  readonly stopped: Promise<void>;
  readonly #stop = new AbortController();
  readonly #idle: NodeJS.Timeout;
  readonly #probe: NodeJS.Timeout;
  readonly #started = performance.now();
  #endTimer: NodeJS.Timeout | undefined;
  #carrier: Carrier | undefined;
  #end!: () => void;

  constructor(
    private readonly session: StreamingSession,
    private readonly options: SessionOptions,
  ) {
    const { idleTimeoutMs, probeIntervalMs } = options;
    // Every connection of a port-forward listens to it.
    setMaxListeners(0, this.signal);
    this.ended = new Promise((resolve) => (this.#end = resolve));
    this.stopped = new Promise((resolve) =>
      this.signal.addEventListener('abort', () => resolve(), { once: true }),
    );
    this.#idle = setTimeout(() => {
      this.stop(new DeadlineExceededError('session without any traffic', idleTimeoutMs));
    }, idleTimeoutMs);
    this.#probe = setInterval(() => this.#carrier?.probe(), probeIntervalMs);
    options.listener?.started?.(session);
  }

  /** Aborted when the session has to end, with the reason. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Notes that content came or went. */
  readonly active = (): void => {
    this.#idle.refresh();
  };

  carriedBy(carrier: Carrier): void {
    this.#carrier = carrier;
  }

  /** Makes it end, with the reason for the client; what does not end then is cut. */
  stop(reason: Error): void {
    if (this.signal.aborted) return;
    this.#endTimer = setTimeout(() => this.cut(), this.options.endWithinMs);
    this.#stop.abort(reason);
  }

  /** Ends it at once; what is under way is lost. */
  cut(): void {
    this.#carrier?.destroy();
  }

  /** Runs it to its end. */
  run(work: () => Promise<void>): void {
    void work()
      .catch(() => undefined)
      .then(() => {
        clearTimeout(this.#idle);
        clearInterval(this.#probe);
        clearTimeout(this.#endTimer);
        this.#carrier?.destroy();
        const durationMs = performance.now() - this.#started;
        this.options.listener?.ended?.({ ...this.session, durationMs });
        this.#end();
      });
  }
}
