import type { ReadAgain, ReloadCause } from '../config/config-reload';
import type { HealthRegistry } from '../health';
import type { Logger } from '../log';

export interface CommandsReloadParts {
  /** The verbs that callers on NATS are answered; changed in place. */
  readonly answered: Set<string>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly health: HealthRegistry;
}

/**
 * The key `commands`, which counts without a restart. A configuration that is wrong is refused as a
 * whole, with the reason, and the list stays.
 */
export class CommandsReload {
  #refusal: string | undefined;

  constructor(private readonly parts: CommandsReloadParts) {}

  /** Takes the list of a configuration that was read again. */
  take(read: ReadAgain<{ readonly commands: readonly string[] }>, cause: ReloadCause): void {
    const { answered, log, health } = this.parts;
    if ('problem' in read) {
      const { problem: reason } = read;
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
    const { commands } = read.config;
    const added = commands.filter((verb) => !answered.has(verb));
    const dropped = [...answered].filter((verb) => !commands.includes(verb));
    if (added.length + dropped.length === 0) return;
    answered.clear();
    for (const verb of commands) answered.add(verb);
    log.info({ cause, added, dropped }, 'other commands are answered on NATS from now on');
  }
}
