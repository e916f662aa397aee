import type { CommandDefinition, CommandInput, CommandReply } from '@stowage/commands';
import { errorMessage } from '@stowage/errors';
import { commandSubject, SubjectError } from '@stowage/events';
import { ErrorCode, headers, NatsError, type NatsConnection } from 'nats';
import { failing, requireInput, resultOf, type Fail, type SendOptions } from './exchange';

/**
 * Sends a command to a service of a node and resolves with its result. The input is checked before
 * it is sent; the result has the fields of the contract, and those that a newer service adds.
 * Rejects with `CommandError`, or with the signal's reason.
 */
export async function sendCommand<C extends CommandDefinition>(
  connection: Pick<NatsConnection, 'request'>,
  node: string,
  command: C,
  input: CommandInput<C>,
  options: SendOptions,
): Promise<CommandReply<C>> {
  const fail = failing(command, node);
  options.signal?.throwIfAborted();
  const subject = subjectOf(node, command, fail);
  requireInput(command, input, fail);
  const data = await request(connection, subject, JSON.stringify(input), options, fail);
  return resultOf(command, data, options, fail);
}

function subjectOf(node: string, { app, verb }: CommandDefinition, fail: Fail): string {
  try {
    return commandSubject(node, app, verb);
  } catch (error) {
    if (error instanceof SubjectError) throw fail('COMMAND_INPUT_INVALID', error.message);
    throw error;
  }
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
  const cause = { cause: error };
  switch (code) {
    case ErrorCode.NoResponders:
      return fail('COMMAND_NO_RESPONDERS', 'nobody answers commands there', cause);
    case ErrorCode.Timeout:
      return fail('COMMAND_TIMEOUT', `no answer within ${timeoutMs / 1000} s`, cause);
    case ErrorCode.PermissionsViolation: {
      const reason =
        permissionContext?.operation === 'subscription'
          ? `NATS does not let this login receive replies on ${permissionContext.subject}: give the connection an inbox prefix that it may use`
          : `NATS does not let this login publish on ${subject}`;
      return fail('COMMAND_NOT_PERMITTED', reason, cause);
    }
    case ErrorCode.ConnectionClosed:
    case ErrorCode.ConnectionDraining:
    case ErrorCode.Disconnect:
      return fail('COMMAND_NOT_SENT', 'the connection to NATS is closed', cause);
    case ErrorCode.MaxPayloadExceeded:
      return fail('COMMAND_NOT_SENT', 'the request is larger than a NATS message may be', cause);
    case undefined:
    default:
      return fail('COMMAND_NOT_SENT', errorMessage(error), cause);
  }
}
