import { Server, type CustomTransportStrategy, type MessageHandler } from '@nestjs/microservices';
import { errorMessage } from '@stowage/errors';
import { subjectToken } from '@stowage/events';
import type { TraceContext } from '@stowage/tracing';
import type { Logger } from '../log';
import { CommandRunner, type CommandOutcome } from './command-runner';
import type { CommandExtras } from './handles';
import type { HealthState } from '../health';
import { ServiceDiscovery } from './service-discovery';
import type {
  CommandConnection,
  CommandConnections,
  CommandMessage,
  CommandObservation,
  CommandSubscription,
} from './types';

/** What {@link NatsCommandServer} is made with. */
export interface NatsCommandServerOptions {
  app: string;
  nodeName: string;
  /**
   * Verbs that are answered, asked at each command; others that exist are refused with
   * PERMISSION_DENIED.
   */
  allowed: ReadonlySet<string>;
  log: Logger;
  /** Commands that run or wait to be begun; more are refused with RESOURCE_EXHAUSTED. */
  maxInFlight?: number;
  /**
   * Commands that are begun in a second, after as many at once; more wait. The sockets of the
   * service come first.
   */
  maxPerSecond?: number;
  /** Largest request that is read, in bytes. */
  maxRequestBytes?: number;
  /** How long running commands may go on after the stop began; then their signal aborts. */
  drainMs?: number;
  observe?(observation: CommandObservation): void;
  /** What NATS's service discovery says of the service; absent: it is not found by it. */
  discovery?: {
    readonly version: string;
    readonly description: string;
    /** RFC 3339. */
    readonly startedAt: string;
    /** Its health now, as `/readyz` has it. */
    readonly state: () => HealthState;
  };
}

/**
 * Subject of all commands of an app without the verb at its end; `commandSubject` of the events is
 * the whole.
 */
const subjectPrefix = (nodeName: string, app: string) =>
  `stowage.cmd.${subjectToken(nodeName)}.${app}.`;

/**
 * NestJS transport for NATS request/reply: subject `stowage.cmd.<node>.<app>.<verb>`, JSON, reply
 * `{ok:true,result}` or `{ok:false,error:{code,message}}` with gRPC code names. It answers every
 * verb of its app, also unknown and refused ones, so that a caller learns why instead of waiting
 * for a time-out. It has no connection of its own: it subscribes on each one that
 * {@link NatsCommandServer.use} announces, so NATS may be absent at start and come back at any
 * time.
 */
export class NatsCommandServer extends Server implements CustomTransportStrategy {
  readonly #options: NatsCommandServerOptions;
  readonly #runner: CommandRunner;
  readonly #discovery: ServiceDiscovery | undefined;
  readonly #subscriptions = new Map<CommandConnection, readonly CommandSubscription[]>();
  #stopListening: (() => void)[] = [];
  #waiting: CommandConnections[] = [];
  #state: 'new' | 'listening' | 'closed' = 'new';

  constructor(options: NatsCommandServerOptions) {
    super();
    this.#options = options;
    this.#discovery = this.#discoveryOf(options);
    this.#runner = new CommandRunner({
      maxInFlight: 64,
      maxPerSecond: 100,
      maxRequestBytes: 1 << 20,
      ...options,
      observe: (observation) => {
        this.#discovery?.count(observation.verb, observation);
        options.observe?.(observation);
      },
      handlers: this.messageHandlers,
      replyLimit: 'NATS message',
    });
  }

  /** The handlers of the app by verb, once NestJS has made them. */
  get handlers(): ReadonlyMap<string, MessageHandler> {
    return this.messageHandlers;
  }

  /** Subscribes on the connections of `source`, now (once listening) and later. */
  use(source: CommandConnections): void {
    if (this.#state === 'new') this.#waiting.push(source);
    if (this.#state !== 'listening') return;
    this.#stopListening.push(
      source.onConnected((connection) => {
        this.#subscribe(connection);
      }),
    );
  }

  override listen(callback: () => void): void {
    const unknown = [...this.#options.allowed].filter((verb) => !this.messageHandlers.has(verb));
    if (unknown.length > 0) {
      throw new Error(`no handler for the allowed commands ${unknown.join(', ')}`);
    }
    for (const { extras } of this.messageHandlers.values()) {
      const { command } = extras as unknown as CommandExtras;
      if (command.app === this.#options.app) continue;
      throw new Error(`${command.app}.${command.verb} is not a command of ${this.#options.app}`);
    }
    this.#state = 'listening';
    for (const source of this.#waiting.splice(0)) this.use(source);
    callback();
  }

  /** As {@link NatsCommandServer.end} with the time that the server was made with. */
  override close(): Promise<void> {
    return this.end({ drainMs: this.#options.drainMs ?? 5000 });
  }

  /**
   * Takes no further command. Those that run may go on for `drainMs`, or as long as a later call
   * says, if that is less; then their signal aborts and the end comes a second later at most.
   */
  async end(options: { drainMs: number }): Promise<void> {
    this.#leave();
    await this.#runner.end(options);
  }

  #leave(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    for (const stop of this.#stopListening.splice(0)) stop();
    for (const subscription of [...this.#subscriptions.values()].flat()) {
      // A connection that is gone has no subscription to end.
      try {
        subscription.unsubscribe();
      } catch (error) {
        this.#options.log.debug({ err: error }, 'unsubscribing from commands');
      }
    }
    this.#subscriptions.clear();
  }

  override on(): never {
    throw new Error('the NATS command transport has no events');
  }

  override unwrap(): never {
    throw new Error('the NATS command transport has no server of its own');
  }

  #subscribe(connection: CommandConnection): void {
    if (this.#state !== 'listening' || this.#subscriptions.has(connection)) return;
    // A connection announced anew replaces the one before; that one is closed, its subscription
    // with it.
    this.#subscriptions.clear();
    const { nodeName, app, log } = this.#options;
    const subject = `${subjectPrefix(nodeName, app)}*`;
    const subscription = connection.subscribe(subject, {
      queue: app,
      callback: (error, message) => {
        if (error != null) {
          log.warn({ err: error, subject }, 'subscription to commands failed');
          return;
        }
        this.#accept(message, connection.info?.max_payload ?? 1 << 20);
      },
    });
    this.#subscriptions.set(connection, [
      subscription,
      ...(this.#discovery?.subscribe(connection) ?? []),
    ]);
    log.info({ subject }, 'answering commands');
  }

  #discoveryOf({ app, nodeName, discovery, log }: NatsCommandServerOptions) {
    if (discovery === undefined) return undefined;
    const { version, description, startedAt, state } = discovery;
    return new ServiceDiscovery({
      ...{ version, description, startedAt, log, name: `stowage-${app}` },
      metadata: () => ({ app, node: nodeName, state: state() }),
      endpoints: () =>
        [...this.messageHandlers.values()].flatMap(({ extras }) => {
          const { verb, description } = (extras as unknown as CommandExtras).command;
          if (!this.#options.allowed.has(verb)) return [];
          const subject = `${subjectPrefix(nodeName, app)}${verb}`;
          return [{ name: verb, subject, queueGroup: app, metadata: { description } }];
        }),
    });
  }

  #accept(message: CommandMessage, maxReplyBytes: number): void {
    const { nodeName, app } = this.#options;
    this.#runner.accept({
      verb: message.subject.slice(subjectPrefix(nodeName, app).length),
      data: message.data,
      trace: traceHeaders(message),
      attributes: { 'messaging.system': 'nats', 'messaging.destination.name': message.subject },
      maxReplyBytes,
      respond: (outcome) => this.#respond(message, outcome),
    });
  }

  #respond(message: CommandMessage, { reply }: CommandOutcome): void {
    try {
      message.respond(reply);
    } catch (error) {
      const { nodeName, app, log } = this.#options;
      const asked = message.subject.slice(subjectPrefix(nodeName, app).length);
      const verb = this.messageHandlers.has(asked) ? asked : 'unknown';
      log.info({ verb, reason: errorMessage(error) }, 'reply to a command lost: NATS is away');
    }
  }
}

/**
 * W3C's headers of a message. Libraries that treat headers as those of HTTP send the names
 * capitalised.
 */
function traceHeaders({ headers }: CommandMessage): TraceContext {
  const header = (name: string, capitalised: string) => {
    const value = headers?.get(name) ?? '';
    return value === '' ? headers?.get(capitalised) : value;
  };
  return {
    traceparent: header('traceparent', 'Traceparent'),
    tracestate: header('tracestate', 'Tracestate'),
  };
}
