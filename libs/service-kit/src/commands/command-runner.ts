import type { MessageHandler } from '@nestjs/microservices';
import { TokenBucket } from '@stowage/async';
import {
  checkInput,
  commandLimitMs,
  isFieldName,
  type CommandDefinition,
  type InputProblem,
} from '@stowage/commands';
import {
  DeadlineExceededError,
  InvalidArgumentError,
  nearest,
  PermissionDeniedError,
  quoteValue,
  ResourceExhaustedError,
  ShuttingDownError,
  toGrpcStatus,
  UnimplementedError,
} from '@stowage/errors';
import { commandSubject } from '@stowage/events';
import { inSpan, type TraceContext } from '@stowage/tracing';
import { isObservable, lastValueFrom } from 'rxjs';
import type { Logger } from '../log';
import type { CommandExtras } from './handles';
import { SeldomLog } from './seldom-log';
import type { CommandCall, CommandObservation } from './types';

/** What a {@link CommandRunner} is made with. */
export interface CommandRunnerOptions {
  readonly app: string;
  readonly nodeName: string;
  /** The handlers of the app by verb. */
  readonly handlers: ReadonlyMap<string, MessageHandler>;
  /** Verbs that are answered; others that exist are refused with PERMISSION_DENIED. */
  readonly allowed: { has(verb: string): boolean };
  readonly log: Logger;
  /** Commands that run or wait to be begun; more are refused with RESOURCE_EXHAUSTED. */
  readonly maxInFlight: number;
  /**
   * Commands that are begun in a second, after as many at once; more wait. The sockets of the
   * service come first.
   */
  readonly maxPerSecond: number;
  /** Largest request that is read, in bytes. */
  readonly maxRequestBytes: number;
  /** Largest reply, in bytes, as `NATS message`: what the limit is of. */
  readonly replyLimit: string;
  observe(observation: CommandObservation): void;
}

/** A command as its transport hands it over. */
export interface CommandRequest {
  /** As it was asked for; there may be none of that name. */
  readonly verb: string;
  /** JSON; empty for `{}`. */
  readonly data: Uint8Array;
  readonly trace: TraceContext;
  /** Attributes of its span. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly maxReplyBytes: number;
  /** Sends the reply. Called once; must not throw. */
  respond(outcome: CommandOutcome): void;
}

/** How a command ended. */
export interface CommandOutcome {
  /** `OK` or a gRPC status name. */
  readonly code: string;
  readonly reply: Buffer;
}

/** A command that was accepted. */
interface QueuedCommand {
  readonly request: CommandRequest;
  readonly arrivedAt: number;
}

/** Time that aborted handlers have to answer before the stop goes on without them. */
const abortGraceMs = 1000;

/**
 * Answers the commands of an app, whatever the way they come: checks, limits, time, spans, log and
 * metrics are here, once for each transport. Every verb is answered, also unknown and refused ones,
 * so that a caller learns why instead of waiting for a time-out.
 */
export class CommandRunner {
  readonly #inFlight = new Set<Promise<void>>();
  /**
   * Accepted and not begun: one is begun in a turn of the event loop, so that sockets are served in
   * between.
   */
  readonly #queue: QueuedCommand[] = [];
  #isQueueDue = false;
  #isClosed = false;
  readonly #starts: TokenBucket;
  readonly #seldom: SeldomLog;
  readonly #abort = new AbortController();

  constructor(private readonly options: CommandRunnerOptions) {
    this.#starts = new TokenBucket(options.maxPerSecond);
    this.#seldom = new SeldomLog(options.log);
  }

  /** Cheap where there are too many: a refusal costs little more than its reply. */
  accept(request: CommandRequest): void {
    const { app, maxInFlight } = this.options;
    if (this.#isClosed) {
      this.#refuse(request, new ShuttingDownError(app));
      return;
    }
    if (this.#inFlight.size + this.#queue.length >= maxInFlight) {
      this.#refuse(request, new ResourceExhaustedError('queue of commands', maxInFlight));
      return;
    }
    this.#queue.push({ request, arrivedAt: performance.now() });
    this.#dueQueue();
  }

  /**
   * Takes no further command. Those that run may go on for `drainMs`, or as long as a later call
   * says, if that is less; then their signal aborts and the end comes a second later at most.
   */
  async end({ drainMs }: { drainMs: number }): Promise<void> {
    const { app } = this.options;
    this.#isClosed = true;
    const stopping = new ShuttingDownError(app);
    for (const { request } of this.#queue.splice(0)) this.#refuse(request, stopping);
    const timer = setTimeout(() => {
      this.#abort.abort(new ShuttingDownError(app));
    }, drainMs);
    await Promise.race([Promise.all(this.#inFlight), this.#givenUp()]);
    clearTimeout(timer);
    this.#seldom.close();
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
  #refuse(request: CommandRequest, error: Error): void {
    const verb = this.#knownVerb(request);
    this.#answer(request, verb, this.#refusal(verb, error), performance.now());
  }

  #knownVerb({ verb }: CommandRequest): string {
    return this.options.handlers.has(verb) ? verb : 'unknown';
  }

  /** What a caller is answered, with a line in the log for the first of each kind. */
  #refusal(verb: string, error: unknown): CommandOutcome {
    const { name: code, message } = toGrpcStatus(error);
    const isUnexpected = code === 'INTERNAL' || code === 'UNKNOWN';
    // Where a caller was refused its error says nothing that the stack would add to.
    if (isUnexpected) this.#seldom.write('error', { verb, code }, { err: error });
    else this.#seldom.write('info', { verb, code }, { reason: message });
    const forCaller = error instanceof UnknownKeyError ? error.forCaller : message;
    return { code, reply: encode({ ok: false, error: { code, message: forCaller } }) };
  }

  #answer(request: CommandRequest, verb: string, outcome: CommandOutcome, arrivedAt: number): void {
    request.respond(outcome);
    const { code } = outcome;
    this.options.observe({ verb, code, durationMs: performance.now() - arrivedAt });
  }

  async #run({ request, arrivedAt }: QueuedCommand): Promise<void> {
    const { app, replyLimit } = this.options;
    const known = this.#knownVerb(request);
    const { trace: parent, attributes, maxReplyBytes } = request;
    let outcome: CommandOutcome;
    try {
      const reply = await inSpan(
        `${app}.${known}`,
        { kind: 'server', parent, attributes },
        async ({ trace }) => {
          const result = (await this.#handle(request, trace)) ?? null;
          return checkedReply({ ok: true, result }, replyLimit, maxReplyBytes);
        },
      );
      outcome = { code: 'OK', reply };
    } catch (error) {
      outcome = this.#refusal(known, error);
    }
    this.#answer(request, known, outcome, arrivedAt);
  }

  async #handle({ verb, data }: CommandRequest, trace: TraceContext): Promise<unknown> {
    const { app, nodeName, handlers, allowed, maxRequestBytes, log } = this.options;
    const handler = handlers.get(verb);
    if (handler === undefined) {
      const near = nearest(verb, [...handlers.keys()])?.name;
      throw new UnimplementedError(
        `command ${app}.${verb}`,
        near === undefined ? 'this app has no commands' : `not known; nearest: ${near}`,
      );
    }
    if (!allowed.has(verb)) {
      throw new PermissionDeniedError(
        `command ${app}.${verb}`,
        'the configuration key commands (STOWAGE_COMMANDS) does not list it',
      );
    }
    if (data.length > maxRequestBytes) {
      throw new ResourceExhaustedError('request of a command (bytes)', maxRequestBytes);
    }
    const { command } = handler.extras as unknown as CommandExtras;
    const input = readInput(command, data);
    return withinTime(`command ${app}.${verb}`, commandLimitMs(command), async (late) => {
      const call: CommandCall = {
        verb,
        subject: commandSubject(nodeName, app, verb),
        signal: AbortSignal.any([this.#abort.signal, late]),
        log: log.child({ command: verb }),
        trace,
      };
      const result: unknown = await handler(input, call);
      return isObservable(result) ? lastValueFrom(result, { defaultValue: null }) : result;
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

/** A reply as JSON. */
export const encode = (reply: object): Buffer =>
  Buffer.from(
    JSON.stringify(reply, (_key, value: unknown) =>
      typeof value === 'bigint' ? Number(value) : value,
    ),
  );

function checkedReply(reply: object, limit: string, maxBytes: number): Buffer {
  const bytes = encode(reply);
  if (bytes.length <= maxBytes) return bytes;
  throw new ResourceExhaustedError(`reply of ${bytes.length} bytes: ${limit}`, maxBytes);
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
