/** A run shared by all who asked for the same thing while it was going on. */
interface SharedRun<T, Caller> {
  readonly outcome: Promise<T>;
  readonly abort: AbortController;
  readonly callers: Set<Caller>;
  /** Of each caller that has one: when its answer has left. */
  readonly answers: Promise<void>[];
}

/** What a run knows of those who share it. */
export interface RunContext<Caller = RunCaller> {
  /** Aborts when the last caller has given up. */
  readonly signal: AbortSignal;
  /** Those who wait now, in the order in which they came. */
  readonly callers: ReadonlySet<Caller>;
  /** Resolves when all who share the run by now, and gave an `answered`, have their answer. */
  readonly answered: () => Promise<void>;
}

/** A caller of a run. */
export interface RunCaller {
  readonly signal: AbortSignal;
  /** Resolves when this caller has its answer. */
  readonly answered?: Promise<void>;
}

/** Outcome of a shared run for one caller. */
export interface Coalesced<T> {
  readonly value: T;
  /** True when the caller took part in a run that another had begun. */
  readonly joined: boolean;
}

/**
 * Lets callers with the same key share one run. A caller that gives up leaves the others alone;
 * when the last one gives up, the run's signal aborts with that caller's reason. A caller that
 * comes after that starts a new run.
 */
export class PullCoalescer<T, Caller extends RunCaller = RunCaller> {
  readonly #joinable = new Map<string, SharedRun<T, Caller>>();
  /** Runs that have not ended, cancelled ones that are still ending included. */
  readonly #running = new Set<Promise<unknown>>();

  async run(
    key: string,
    start: (context: RunContext<Caller>) => Promise<T>,
    caller: Caller,
  ): Promise<Coalesced<T>> {
    const { signal, answered } = caller;
    signal.throwIfAborted();
    const existing = this.#joinable.get(key);
    const joined = existing !== undefined;
    const shared = existing ?? this.#begin(key, start, caller);
    shared.callers.add(caller);
    if (answered !== undefined) shared.answers.push(answered);
    return { value: await this.#wait(key, shared, caller), joined };
  }

  /** Resolves when no run is left. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #begin(
    key: string,
    start: (context: RunContext<Caller>) => Promise<T>,
    first: Caller,
  ): SharedRun<T, Caller> {
    const abort = new AbortController();
    const answers: Promise<void>[] = [];
    const callers = new Set([first]);
    const outcome = start({
      signal: abort.signal,
      callers,
      answered: () => Promise.all(answers).then(() => undefined),
    });
    const shared: SharedRun<T, Caller> = { outcome, abort, callers, answers };
    this.#joinable.set(key, shared);
    const ended = outcome
      .catch(() => undefined)
      .then(() => {
        this.#running.delete(ended);
        this.#forget(key, shared);
      });
    this.#running.add(ended);
    return shared;
  }

  #forget(key: string, shared: SharedRun<T, Caller>): void {
    if (this.#joinable.get(key) === shared) this.#joinable.delete(key);
  }

  async #wait(key: string, shared: SharedRun<T, Caller>, caller: Caller): Promise<T> {
    const { signal } = caller;
    let giveUp: (() => void) | undefined;
    const gaveUp = new Promise<never>((_resolve, reject) => {
      giveUp = () => {
        const reason = signal.reason as Error;
        reject(reason);
        shared.callers.delete(caller);
        if (shared.callers.size > 0) return;
        this.#forget(key, shared);
        shared.abort.abort(reason);
      };
      signal.addEventListener('abort', giveUp, { once: true });
    });
    try {
      return await Promise.race([shared.outcome, gaveUp]);
    } finally {
      if (giveUp !== undefined) signal.removeEventListener('abort', giveUp);
    }
  }
}
