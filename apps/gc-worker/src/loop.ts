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
  private wakeUp: (() => void) | undefined;
  private woken = false;
  private running: Promise<void> | undefined;

  constructor(private readonly options: LoopOptions) {}

  start(): void {
    this.running ??= this.go();
  }

  /** Ends the pause, after its shortest time; during a run it makes another one follow. */
  wake(): void {
    this.woken = true;
    this.wakeUp?.();
  }

  /** Resolves when the loop has ended. */
  async ended(): Promise<void> {
    await this.running;
  }

  private async go(): Promise<void> {
    const { signal, run, intervalMs, minPauseMs = 100 } = this.options;
    while (!signal.aborted) {
      this.woken = false;
      const pauseMs = (await run()) ?? intervalMs;
      const shortMs = Math.min(minPauseMs, pauseMs);
      await this.pause(shortMs, { wakeable: false });
      await this.pause(pauseMs - shortMs, { wakeable: true });
    }
  }

  private pause(ms: number, { wakeable }: { wakeable: boolean }): Promise<void> {
    const { signal } = this.options;
    return new Promise((resolve) => {
      if (ms <= 0 || signal.aborted || (wakeable && this.woken)) {
        resolve();
        return;
      }
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        this.wakeUp = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener('abort', end, { once: true });
      if (wakeable) this.wakeUp = end;
    });
  }
}
