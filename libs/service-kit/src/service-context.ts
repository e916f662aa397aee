import type { Registry } from 'prom-client';
import type { CommandConnections } from './commands/types';
import type { HealthRegistry } from './health';
import type { Logger } from './log';
import { token, type Token } from './wiring/token';

/** What ends at a stop, or when another instance takes over, once its calls have ended; see {@link TakeOver.drain}. */
export type Drain = (options: { drainMs: number }) => Promise<void>;

/** For apps whose sockets another instance can take over. */
export interface TakeOver {
  /**
   * To be called when another process serves the app's socket. This one then gives up at once what the other waits for (the
   * address of metrics and health, the commands, and what the `handOver` of its providers names), ends once its calls have
   * ended, and exits with 0.
   */
  lost(socket: string): void;
  /** Names what gives up the state directory; called once, after `signal` was aborted. */
  onLost(release: () => Promise<void>): void;
  /**
   * Begins to end what serves calls, and waits for it. `close` gets the time that calls in flight have: at a stop half of
   * `stopTimeout`, after a take-over `takeOverDrain`; it is called again, with less, when a stop comes in the middle of that.
   */
  drain(close: Drain): Promise<void>;
}

/** What the kit gives an app's module. */
export interface ServiceContext<C> {
  readonly app: string;
  readonly version: string;
  readonly config: C;
  /** Arguments after the program's name, as the process was started. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly health: HealthRegistry;
  /** Aborted when the stop begins, or a take-over by another instance; loops and waits end on it. Calls being answered may finish. */
  readonly signal: AbortSignal;
  readonly takeOver: TakeOver;
  readonly commands: {
    /** Hands over where NATS connections come from (the event bus); commands are answered on them. */
    use(connections: CommandConnections): void;
  };
}

/** One for the process. */
export const CONTEXT = token<ServiceContext<unknown>>('ServiceContext');

/**
 * The name under which every module of an app finds its {@link ServiceContext}: `contextToken<GcConfig>()`, where `GcConfig` is
 * `ConfigOf` the keys of the definition that `runService` gets.
 */
export function contextToken<C>(): Token<ServiceContext<C>> {
  return CONTEXT as unknown as Token<ServiceContext<C>>;
}
