import { Loop } from '@stowage/async';
import { FileChanges, type ConfigFiles } from '../config/config-files';
import type { HealthRegistry } from '../health';
import type { Logger } from '../log';

export interface CommandsReloadParts {
  readonly source: ConfigFiles<{ readonly commands: readonly string[] }>;
  /** The verbs that callers on NATS are answered; changed in place. */
  readonly answered: Set<string>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly health: HealthRegistry;
  readonly signal: AbortSignal;
  /** Pause between two looks at the files, milliseconds. Default 2000. */
  readonly intervalMs?: number;
}

/**
 * The key `commands`, read again when a configuration file changes and at SIGHUP. A configuration
 * that is wrong is refused as a whole, with the reason, and the list stays.
 */
export class CommandsReload {
  readonly #changes: FileChanges;
  readonly #loop: Loop;
  #refusal: string | undefined;
  readonly #onHangUp = () => void this.#reload('SIGHUP');

  constructor(private readonly parts: CommandsReloadParts) {
    const { source, signal, intervalMs = 2000 } = parts;
    this.#changes = new FileChanges(source.files);
    let isFirst = true;
    this.#loop = new Loop({
      intervalMs,
      run: async () => {
        if (isFirst || this.#changes.look()) await this.#reload('file');
        isFirst = false;
        this.#changes.learn();
        return undefined;
      },
      signal,
    });
  }

  start(): void {
    process.on('SIGHUP', this.#onHangUp);
    this.#loop.start();
  }

  /** Never throws. */
  async #reload(cause: 'file' | 'SIGHUP'): Promise<void> {
    const { source, answered, log, health } = this.parts;
    const outcome = await source
      .load()
      .catch((error: unknown) => ({ action: 'exit' as const, output: String(error) }));
    if (outcome.action === 'exit') {
      const { output: reason } = outcome;
      if (reason !== this.#refusal) {
        log.warn({ cause, reason }, 'new list of commands refused: the old one stays');
      }
      this.#refusal = reason;
      const text = `the new configuration is refused, the list of commands stays: ${reason}`;
      health.report('commands', { state: 'degraded', reason: text });
      return;
    }
    if (this.#refusal !== undefined) health.report('commands', { state: 'ok' });
    this.#refusal = undefined;
    const { commands } = outcome.config;
    const added = commands.filter((verb) => !answered.has(verb));
    const dropped = [...answered].filter((verb) => !commands.includes(verb));
    if (added.length + dropped.length === 0) return;
    answered.clear();
    for (const verb of commands) answered.add(verb);
    log.info({ cause, added, dropped }, 'other commands are answered on NATS from now on');
  }
}
