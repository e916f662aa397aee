import type { Registry } from 'prom-client';
import type { CommandConnections } from './commands/types';
import type { ReloadListener } from './config/config-reload';
import type { HealthRegistry } from './health';
import type { Logger } from './log';
import type { StatusSource } from './status-page/types';
import { token, type Token } from './wiring/token';

/** For apps whose sockets another instance can take over. */
export interface TakeOver {
  /**
   * To be called when another process serves the app's socket. This one then gives up at once what
   * the other waits for (the address of metrics and health, the commands, and what the `handOver`
   * of its providers names), ends once its calls have ended, and exits with 0.
   */
  lost(socket: string): void;
}

/** What the kit gives an app's module. */
export interface ServiceContext<C> {
  readonly app: string;
  readonly version: string;
  readonly config: C;
  /** For what counts of the configuration without a restart. */
  readonly configReload: {
    /** Called when a file of the configuration was changed, and at SIGHUP. Must not throw. */
    onRead(listener: ReloadListener<C>): void;
  };
  readonly log: Logger;
  readonly metrics: Registry;
  readonly health: HealthRegistry;
  /**
   * Aborted when the stop begins, or a take-over by another instance; loops and waits end on it.
   * Calls being answered may finish.
   */
  readonly signal: AbortSignal;
  readonly takeOver: TakeOver;
  /** The page `/`, to which `statusSections` adds what the service has to show. */
  readonly statusPage: { add(source: StatusSource): void };
  readonly commands: {
    /**
     * Hands over where NATS connections come from (the event bus); commands are answered on them.
     */
    use(connections: CommandConnections): void;
  };
}

/** One for the process. */
export const CONTEXT = token<ServiceContext<unknown>>('ServiceContext');

/**
 * The name under which every module of an app finds its {@link ServiceContext}:
 * `contextToken<GcConfig>()`, where `GcConfig` is `ConfigOf` the keys of the definition that
 * `runService` gets.
 */
export function contextToken<C>(): Token<ServiceContext<C>> {
  return CONTEXT as unknown as Token<ServiceContext<C>>;
}
