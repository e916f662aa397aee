import {
  checkInput,
  checkReply,
  isFieldName,
  undocumentedFields,
  type CommandDefinition,
  type CommandReply,
} from '@stowage/commands';
import { isGrpcStatusName } from '@stowage/errors';
import { CommandError, type CommandErrorCode } from './command-error';

/** How a command is sent, whatever the way. */
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

/** Creates the error of one command. */
export type Fail = (
  code: CommandErrorCode,
  reason: string,
  options?: { grpcStatus?: string; cause?: unknown },
) => CommandError;

/** The errors of a command that is sent to `target`, a node or a socket. */
export const failing =
  ({ app, verb }: Pick<CommandDefinition, 'app' | 'verb'>, target: string): Fail =>
  (code, reason, options) =>
    new CommandError(code, `${app}.${verb}`, target, reason, options);

/** Throws where an input breaks the contract. */
export function requireInput(command: CommandDefinition, input: unknown, fail: Fail): void {
  const checked = checkInput(command, input);
  if ('input' in checked) return;
  const { field, problem, unknownKey } = checked;
  const isShown = unknownKey !== undefined && isFieldName(unknownKey);
  const shown = isShown ? problem.replace('unknown key', `unknown key "${unknownKey}"`) : problem;
  throw fail('COMMAND_INPUT_INVALID', `${field}: ${shown}`);
}

/** The result in the bytes of a reply; throws the error in it, or says what is wrong with it. */
export function resultOf<C extends CommandDefinition>(
  command: C,
  data: Uint8Array,
  { strict = false }: Pick<SendOptions, 'strict'>,
  fail: Fail,
): CommandReply<C> {
  const checked = checkReply(command, readResult(data, fail));
  if ('problem' in checked) {
    throw fail('COMMAND_REPLY_INVALID', `the reply does not fit: ${checked.problem}`);
  }
  const unknown = strict ? undocumentedFields(command, checked.reply) : [];
  if (unknown.length > 0) {
    const reason = `the contract does not name these fields of the reply: ${unknown.join(', ')}`;
    throw fail('COMMAND_REPLY_INVALID', reason);
  }
  return checked.reply;
}

/** The result in the bytes of a reply, unchecked; throws the error in it. */
export function readResult(data: Uint8Array, fail: Fail): unknown {
  const reply = readReply(data, fail);
  if (reply.ok) return reply.result;
  const { code, message } = reply.error;
  const grpcStatus = isGrpcStatusName(code) ? code : 'UNKNOWN';
  throw fail('COMMAND_REFUSED', `${code}: ${message}`, { grpcStatus });
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
