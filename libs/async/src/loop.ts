import { pause } from './pause';

/** Something done again and again. Times are milliseconds. */
export interface LoopOptions {
  /** Pause after the end of one run; what it returns, when that is a number, replaces it once. */
  readonly intervalMs: number;
  /** Shortest pause, however often it is woken. Default 100. */
  readonly minPauseMs?: number;
  /** Must not throw. */
  readonly run: () => Promise<number | undefined>;
  /** Ends the loop; the run that is going on may finish. */
  readonly signal: AbortSignal;
}

/** Runs at once, then after each pause, or earlier when woken. Never two runs at a time. */
export class Loop {
  /** Aborted by the next wake; replaced when a run begins. */
  #woken = new AbortController();
  #running: Promise<void> | undefined;

  constructor(private readonly options: LoopOptions) {}

  start(): void {
    this.#running ??= this.#go();
  }

  /** Ends the pause, after its shortest time; during a run it makes another one follow. */
  wake(): void {
    this.#woken.abort();
  }

  /** For a run that waits first: being woken before this call makes no other run follow. */
  forgetWake(): void {
    this.#woken = new AbortController();
  }

  /** Resolves when the loop has ended; at once when it was never started. */
  async ended(): Promise<void> {
    await this.#running;
  }

  async #go(): Promise<void> {
    const { signal, run, intervalMs, minPauseMs = 100 } = this.options;
    const stop = () => this.wake();
    signal.addEventListener('abort', stop);
    while (!signal.aborted) {
      this.forgetWake();
      const pauseMs = (await run()) ?? intervalMs;
      const shortMs = Math.min(minPauseMs, pauseMs);
      await pause(shortMs, { signal });
      if (pauseMs > shortMs) await pause(pauseMs - shortMs, { signal: this.#woken.signal });
    }
    signal.removeEventListener('abort', stop);
  }
}
