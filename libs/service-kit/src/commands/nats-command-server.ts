import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import {
  DeadlineExceededError,
  errorMessage,
  InvalidArgumentError,
  PermissionDeniedError,
  quoteValue,
  ResourceExhaustedError,
  ShuttingDownError,
  nearest,
  toGrpcStatus,
  UnimplementedError,
} from '@stowage/errors';
import {
  checkInput,
  commandLimitMs,
  isFieldName,
  type CommandDefinition,
  type InputProblem,
} from '@stowage/commands';
import { subjectToken } from '@stowage/events';
import { inSpan, type TraceContext } from '@stowage/tracing';
import { lastValueFrom } from 'rxjs';
import type { Logger } from '../log';
import type { CommandExtras } from './handles';
import { SeldomLog } from './seldom-log';
import type {
  CommandCall,
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
  /** Verbs that are answered; others that exist are refused with PERMISSION_DENIED. */
  allowed: readonly string[];
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
}

/** Time that aborted handlers have to answer before the stop goes on without them. */
const abortGraceMs = 1000;

/** A command that was accepted. */
interface QueuedCommand {
  readonly message: CommandMessage;
  readonly maxReplyBytes: number;
  readonly arrivedAt: number;
}

/** How a command ended. */
interface Outcome {
  /** `OK` or a gRPC status name. */
  readonly code: string;
  readonly reply: Buffer;
}

/** Lets through `perSecond` a second, and as many at once after a pause. */
class TokenBucket {
  #tokens: number;
  #at = performance.now();

  constructor(private readonly perSecond: number) {
    this.#tokens = perSecond;
  }

  /** Takes one; how long to wait before it counts, milliseconds. */
  take(): number {
    const now = performance.now();
    const refill = ((now - this.#at) / 1000) * this.perSecond;
    this.#tokens = Math.min(this.perSecond, this.#tokens + refill) - 1;
    this.#at = now;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / this.perSecond);
  }
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
  readonly #options: Required<NatsCommandServerOptions>;
  readonly #subscriptions = new Map<CommandConnection, CommandSubscription>();
  readonly #inFlight = new Set<Promise<void>>();
  /**
   * Accepted and not begun: one is begun in a turn of the event loop, so that sockets are served in
   * between.
   */
  readonly #queue: QueuedCommand[] = [];
  #isQueueDue = false;
  readonly #starts: TokenBucket;
  readonly #seldom: SeldomLog;
  readonly #abort = new AbortController();
  #stopListening: (() => void)[] = [];
  #waiting: CommandConnections[] = [];
  #state: 'new' | 'listening' | 'closed' = 'new';

  constructor(options: NatsCommandServerOptions) {
    super();
    this.#options = {
      maxInFlight: 64,
      maxPerSecond: 100,
      maxRequestBytes: 1 << 20,
      drainMs: 5000,
      observe: () => undefined,
      ...options,
    };
    this.#starts = new TokenBucket(this.#options.maxPerSecond);
    this.#seldom = new SeldomLog(this.#options.log);
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
    const unknown = this.#options.allowed.filter((verb) => !this.messageHandlers.has(verb));
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
    return this.end({ drainMs: this.#options.drainMs });
  }

  /**
   * Takes no further command. Those that run may go on for `drainMs`, or as long as a later call
   * says, if that is less; then their signal aborts and the end comes a second later at most.
   */
  async end({ drainMs }: { drainMs: number }): Promise<void> {
    this.#leave();
    const timer = setTimeout(() => {
      this.#abort.abort(new ShuttingDownError(this.#options.app));
    }, drainMs);
    await Promise.race([Promise.all(this.#inFlight), this.#givenUp()]);
    clearTimeout(timer);
    this.#seldom.close();
  }

  #leave(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    for (const stop of this.#stopListening.splice(0)) stop();
    for (const subscription of this.#subscriptions.values()) {
      // A connection that is gone has no subscription to end.
      try {
        subscription.unsubscribe();
      } catch (error) {
        this.#options.log.debug({ err: error }, 'unsubscribing from commands');
      }
    }
    this.#subscriptions.clear();
    const stopping = new ShuttingDownError(this.#options.app);
    for (const { message } of this.#queue.splice(0)) this.#refuse(message, stopping);
  }

  /** Resolves a moment after the running commands were told to end. */
  #givenUp(): Promise<void> {
    const { signal } = this.#abort;
    return new Promise((resolve) => {
      const told = () => setTimeout(resolve, abortGraceMs).unref();
      if (signal.aborted) told();
      else signal.addEventListener('abort', told, { once: true });
    });
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
    this.#subscriptions.set(connection, subscription);
    log.info({ subject }, 'answering commands');
  }

  /** Cheap where there are too many: a refusal costs little more than its reply. */
  #accept(message: CommandMessage, maxReplyBytes: number): void {
    const { maxInFlight } = this.#options;
    if (this.#inFlight.size + this.#queue.length >= maxInFlight) {
      this.#refuse(message, new ResourceExhaustedError('queue of commands', maxInFlight));
      return;
    }
    this.#queue.push({ message, maxReplyBytes, arrivedAt: performance.now() });
    this.#dueQueue();
  }

  /** Begins what waits, one in a turn of the event loop and not more in a second than allowed. */
  #dueQueue(): void {
    if (this.#isQueueDue || this.#queue.length === 0) return;
    this.#isQueueDue = true;
    const begin = () => {
      this.#isQueueDue = false;
      const next = this.#queue.shift();
      if (next === undefined) return;
      const running = this.#run(next).finally(() => {
        this.#inFlight.delete(running);
      });
      this.#inFlight.add(running);
      this.#dueQueue();
    };
    const waitMs = this.#starts.take();
    if (waitMs === 0) setImmediate(begin);
    else setTimeout(begin, waitMs);
  }

  /** Answers a command that is not begun. */
  #refuse(message: CommandMessage, error: Error): void {
    const verb = this.#knownVerb(message);
    this.#answer(message, verb, this.#refusal(verb, error), performance.now());
  }

  #knownVerb({ subject }: CommandMessage): string {
    const { nodeName, app } = this.#options;
    const verb = subject.slice(subjectPrefix(nodeName, app).length);
    return this.messageHandlers.has(verb) ? verb : 'unknown';
  }

  /** What a caller is answered, with a line in the log for the first of each kind. */
  #refusal(verb: string, error: unknown): Outcome {
    const { name: code, message } = toGrpcStatus(error);
    const isUnexpected = code === 'INTERNAL' || code === 'UNKNOWN';
    // Where a caller was refused its error says nothing that the stack would add to.
    if (isUnexpected) this.#seldom.write('error', { verb, code }, { err: error });
    else this.#seldom.write('info', { verb, code }, { reason: message });
    const forCaller = error instanceof UnknownKeyError ? error.forCaller : message;
    return { code, reply: encode({ ok: false, error: { code, message: forCaller } }) };
  }

  #answer(
    message: CommandMessage,
    verb: string,
    { code, reply }: Outcome,
    arrivedAt: number,
  ): void {
    const { log, observe } = this.#options;
    try {
      message.respond(reply);
    } catch (error) {
      log.info({ verb, reason: errorMessage(error) }, 'reply to a command lost: NATS is away');
    }
    observe({ verb, code, durationMs: performance.now() - arrivedAt });
  }

  async #run({ message, maxReplyBytes, arrivedAt }: QueuedCommand): Promise<void> {
    const { nodeName, app } = this.#options;
    const verb = message.subject.slice(subjectPrefix(nodeName, app).length);
    const known = this.#knownVerb(message);
    let outcome: Outcome;
    try {
      const reply = await inSpan(
        `${app}.${known}`,
        {
          kind: 'server',
          parent: traceHeaders(message),
          attributes: { 'messaging.system': 'nats', 'messaging.destination.name': message.subject },
        },
        async ({ trace }) => {
          const result = (await this.#handle(verb, message, trace)) ?? null;
          return checkedReply({ ok: true, result }, maxReplyBytes);
        },
      );
      outcome = { code: 'OK', reply };
    } catch (error) {
      outcome = this.#refusal(known, error);
    }
    this.#answer(message, known, outcome, arrivedAt);
  }

  async #handle(verb: string, message: CommandMessage, trace: TraceContext): Promise<unknown> {
    const { app, allowed, maxRequestBytes, log } = this.#options;
    const handler = this.messageHandlers.get(verb);
    if (handler === undefined) {
      const near = nearest(verb, [...this.messageHandlers.keys()])?.name;
      throw new UnimplementedError(
        `command ${app}.${verb}`,
        near === undefined ? 'this app has no commands' : `not known; nearest: ${near}`,
      );
    }
    if (!allowed.includes(verb)) {
      throw new PermissionDeniedError(
        `command ${app}.${verb}`,
        'the configuration key commands (STOWAGE_COMMANDS) does not list it',
      );
    }
    if (message.data.length > maxRequestBytes) {
      throw new ResourceExhaustedError('request of a command (bytes)', maxRequestBytes);
    }
    const { command } = handler.extras as unknown as CommandExtras;
    const input = readInput(command, message.data);
    return withinTime(`command ${app}.${verb}`, commandLimitMs(command), async (late) => {
      const call: CommandCall = {
        verb,
        subject: message.subject,
        signal: AbortSignal.any([this.#abort.signal, late]),
        log: log.child({ command: verb }),
        trace,
      };
      const result: unknown = await handler(input, call);
      return lastValueFrom(this.transformToObservable(result), { defaultValue: null });
    });
  }
}

/** Rejects when the time is over, whatever the handler makes of its signal. */
async function withinTime<T>(
  what: string,
  timeoutMs: number | undefined,
  handle: (late: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  if (timeoutMs === undefined) return handle(late.signal);
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const error = new DeadlineExceededError(what, timeoutMs);
      reject(error);
      late.abort(error);
    }, timeoutMs);
  });
  try {
    return await Promise.race([handle(late.signal), over]);
  } finally {
    clearTimeout(timer);
  }
}

const encode = (reply: object): Buffer =>
  Buffer.from(
    JSON.stringify(reply, (_key, value: unknown) =>
      typeof value === 'bigint' ? Number(value) : value,
    ),
  );

function checkedReply(reply: object, maxBytes: number): Buffer {
  const bytes = encode(reply);
  if (bytes.length <= maxBytes) return bytes;
  throw new ResourceExhaustedError(`reply of ${bytes.length} bytes: NATS message`, maxBytes);
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

/** Empty means `{}`: `nats req SUBJECT ''` is how people ask. */
function readInput(command: CommandDefinition, data: Uint8Array): unknown {
  const text = new TextDecoder().decode(data);
  let json: unknown;
  try {
    json = text.trim() === '' ? {} : JSON.parse(text);
  } catch {
    // The text may hold a credential: it is not quoted.
    throw new InvalidArgumentError('request', `${data.length} bytes`, 'a JSON object');
  }
  const checked = checkInput(command, json);
  if ('input' in checked) return checked.input;
  throw checked.unknownKey === undefined
    ? new InputError(checked)
    : new UnknownKeyError(checked, checked.unknownKey);
}

class InputError extends InvalidArgumentError {
  constructor({ field, problem }: InputProblem) {
    super(field, undefined, problem);
    this.message = `${field}: ${problem}`;
  }
}

/**
 * A key that a command does not have. Its name goes back to the caller if it looks like one, and
 * nowhere else: logs and traces print the message.
 */
class UnknownKeyError extends InputError {
  readonly #key: string;

  constructor(problem: InputProblem, key: string) {
    super(problem);
    this.#key = key;
  }

  get forCaller(): string {
    return isFieldName(this.#key)
      ? this.message.replace(': unknown key', `: unknown key ${quoteValue(this.#key)}`)
      : this.message;
  }
}
