import {
  checkInput,
  checkReply,
  isFieldName,
  undocumentedFields,
  type CommandDefinition,
  type CommandInput,
  type CommandReply,
} from '@stowage/commands';
import { errorMessage, isGrpcStatusName } from '@stowage/errors';
import { commandSubject, SubjectError } from '@stowage/events';
import { ErrorCode, headers, NatsError, type NatsConnection } from 'nats';
import { CommandError, type CommandErrorCode } from './command-error';

/** How {@link sendCommand} sends. */
export interface SendOptions {
  /**
   * Longest wait for the reply, milliseconds. The service has a limit of its own: `commandLimitMs`.
   */
  readonly timeoutMs: number;
  /** Ends the wait; the command itself continues. */
  readonly signal?: AbortSignal;
  /** W3C trace context that the command joins. */
  readonly traceparent?: string;
  /** Refuse fields that the contract does not name: for tests. A newer service may send some. */
  readonly strict?: boolean;
}

/** Creates the error of this command. */
type Fail = (code: CommandErrorCode, reason: string, cause?: unknown) => CommandError;

/**
 * Sends a command to a service of a node and resolves with its result. The input is checked before
 * it is sent; the result has the fields of the contract, and those that a newer service adds.
 * Rejects with {@link CommandError}, or with the signal's reason.
 */
export async function sendCommand<C extends CommandDefinition>(
  connection: Pick<NatsConnection, 'request'>,
  node: string,
  command: C,
  input: CommandInput<C>,
  options: SendOptions,
): Promise<CommandReply<C>> {
  const name = `${command.app}.${command.verb}`;
  const fail: Fail = (code, reason, cause) => new CommandError(code, name, node, reason, { cause });
  options.signal?.throwIfAborted();
  const subject = subjectOf(node, command, fail);
  requireInput(command, input, fail);
  const data = await request(connection, subject, JSON.stringify(input), options, fail);
  const reply = readReply(data, fail);
  if (!reply.ok) {
    const { code, message } = reply.error;
    const grpcStatus = isGrpcStatusName(code) ? code : 'UNKNOWN';
    throw new CommandError('COMMAND_REFUSED', name, node, `${code}: ${message}`, { grpcStatus });
  }
  const checked = checkReply(command, reply.result);
  if ('problem' in checked) {
    throw fail('COMMAND_REPLY_INVALID', `the reply does not fit: ${checked.problem}`);
  }
  const unknown = options.strict === true ? undocumentedFields(command, reply.result) : [];
  if (unknown.length > 0) {
    const reason = `the contract does not name these fields of the reply: ${unknown.join(', ')}`;
    throw fail('COMMAND_REPLY_INVALID', reason);
  }
  return checked.reply;
}

function subjectOf(node: string, { app, verb }: CommandDefinition, fail: Fail): string {
  try {
    return commandSubject(node, app, verb);
  } catch (error) {
    if (error instanceof SubjectError) throw fail('COMMAND_INPUT_INVALID', error.message);
    throw error;
  }
}

function requireInput(command: CommandDefinition, input: unknown, fail: Fail): void {
  const checked = checkInput(command, input);
  if ('input' in checked) return;
  const { field, problem, unknownKey } = checked;
  const isShown = unknownKey !== undefined && isFieldName(unknownKey);
  const shown = isShown ? problem.replace('unknown key', `unknown key "${unknownKey}"`) : problem;
  throw fail('COMMAND_INPUT_INVALID', `${field}: ${shown}`);
}

async function request(
  connection: Pick<NatsConnection, 'request'>,
  subject: string,
  payload: string,
  { timeoutMs, signal, traceparent }: SendOptions,
  fail: Fail,
): Promise<Uint8Array> {
  const sent = traceparent === undefined ? undefined : headers();
  sent?.set('traceparent', traceparent ?? '');
  const reply = connection
    .request(subject, payload, { timeout: timeoutMs, ...(sent && { headers: sent }) })
    .catch((error: unknown) => {
      throw failure(error, subject, timeoutMs, fail);
    });
  return (await unlessAborted(reply, signal)).data;
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function failure(error: unknown, subject: string, timeoutMs: number, fail: Fail): Error {
  const { code, permissionContext } = error instanceof NatsError ? error : {};
  switch (code) {
    case ErrorCode.NoResponders:
      return fail('COMMAND_NO_RESPONDERS', 'nobody answers commands there', error);
    case ErrorCode.Timeout:
      return fail('COMMAND_TIMEOUT', `no answer within ${timeoutMs / 1000} s`, error);
    case ErrorCode.PermissionsViolation: {
      const reason =
        permissionContext?.operation === 'subscription'
          ? `NATS does not let this login receive replies on ${permissionContext.subject}: give the connection an inbox prefix that it may use`
          : `NATS does not let this login publish on ${subject}`;
      return fail('COMMAND_NOT_PERMITTED', reason, error);
    }
    case ErrorCode.ConnectionClosed:
    case ErrorCode.ConnectionDraining:
    case ErrorCode.Disconnect:
      return fail('COMMAND_NOT_SENT', 'the connection to NATS is closed', error);
    case ErrorCode.MaxPayloadExceeded:
      return fail('COMMAND_NOT_SENT', 'the request is larger than a NATS message may be', error);
    case undefined:
    default:
      return fail('COMMAND_NOT_SENT', errorMessage(error), error);
  }
}

type Reply =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly error: { readonly code: string; readonly message: string } };

function readReply(data: Uint8Array, fail: Fail): Reply {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data));
  } catch {
    throw fail('COMMAND_REPLY_INVALID', `the reply of ${data.length} bytes is not JSON`);
  }
  if (isReply(json)) return json;
  throw fail(
    'COMMAND_REPLY_INVALID',
    'the reply is neither {"ok":true,"result":…} nor {"ok":false,"error":{"code":…,"message":…}}',
  );
}

const field = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value != null ? (value as Record<string, unknown>)[name] : undefined;

function isReply(json: unknown): json is Reply {
  const [ok, error] = [field(json, 'ok'), field(json, 'error')];
  if (ok === true) return true;
  return (
    ok === false &&
    typeof field(error, 'code') === 'string' &&
    typeof field(error, 'message') === 'string'
  );
}
