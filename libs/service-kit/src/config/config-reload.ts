import { Loop } from '@stowage/async';
import { FileChanges, type ConfigFiles } from './config-files';

/** The configuration as it is now, or what is wrong with it. */
export type ReadAgain<C> = { readonly config: C } | { readonly problem: string };

/** Why the configuration was read again. */
export type ReloadCause = 'file' | 'SIGHUP';

/** Called each time that the configuration was read again. Must not throw. */
export type ReloadListener<C> = (read: ReadAgain<C>, cause: ReloadCause) => void;

/**
 * Reads the configuration again when one of its files changes, and at SIGHUP. What of it counts
 * without a restart is up to the listeners.
 */
export class ConfigReload<C> {
  readonly #changes: FileChanges;
  readonly #listeners: ReloadListener<C>[] = [];
  readonly #signal: AbortSignal;
  readonly #loop: Loop;

  /** The source was read once, so that its files are known. `intervalMs`: default 2000. */
  constructor(
    private readonly source: ConfigFiles<C>,
    { signal, intervalMs = 2000 }: { signal: AbortSignal; intervalMs?: number },
  ) {
    this.#changes = new FileChanges(source.files);
    this.#signal = signal;
    this.#loop = new Loop({
      intervalMs,
      run: async () => {
        await this.look();
        return undefined;
      },
      signal,
    });
  }

  onRead(listener: ReloadListener<C>): void {
    this.#listeners.push(listener);
  }

  /** From now on a SIGHUP has it read again; before that one ends the process. */
  heedSignals(): void {
    process.on('SIGHUP', () => void this.read('SIGHUP'));
  }

  /** Looks at the files now and every `intervalMs` milliseconds, until the signal is aborted. */
  start(): void {
    this.#loop.start();
  }

  /**
   * Reads it again when one of the files is another than at the last look, and the first time, as
   * they may have changed since the start. Never throws.
   */
  async look(): Promise<void> {
    if (!this.#changes.look()) return;
    await this.read('file');
    this.#changes.learn();
  }

  /** Reads it again. Never throws. */
  async read(cause: ReloadCause): Promise<void> {
    const outcome = await this.source
      .load()
      .catch((error: unknown) => ({ action: 'exit' as const, output: String(error) }));
    if (this.#signal.aborted) return;
    const read =
      outcome.action === 'exit' ? { problem: outcome.output } : { config: outcome.config };
    for (const listener of this.#listeners) listener(read, cause);
  }
}
