import { errorMessage } from '@stowage/errors';
import { CommandFailure, UsageError } from './failures';

/** An error in words, and what helps. */
export interface FailureText {
  readonly message: string;
  readonly remedy?: string;
}

/** As CommandError has it; the class itself would load a NATS client with it. */
interface CommandErrorFields {
  readonly name: 'CommandError';
  readonly code: string;
  readonly grpcStatus: string;
  readonly command: string;
  readonly node: string;
  readonly message: string;
}

const isCommandError = (error: unknown): error is CommandErrorFields =>
  error instanceof Error && error.name === 'CommandError';

/** Whether nobody answers a command. */
export const isUnanswered = (error: unknown): boolean =>
  isCommandError(error) && error.code === 'COMMAND_NO_RESPONDERS';

/** Whether a service ended the local connection before its answer, as one that stops does. */
export const isCutOff = (error: unknown): boolean =>
  isCommandError(error) && error.code === 'COMMAND_REPLY_LOST';

/** Whether the service knows no such command: it is older, or a verb is not answered. */
export const isNotOffered = (error: unknown): boolean =>
  isCommandError(error) &&
  error.code === 'COMMAND_REFUSED' &&
  ['UNIMPLEMENTED', 'PERMISSION_DENIED'].includes(error.grpcStatus);

/** The gRPC status of what a service answered. */
export const refusalStatus = (error: unknown): string | undefined =>
  isCommandError(error) && error.code === 'COMMAND_REFUSED' ? error.grpcStatus : undefined;

/** What to print for an error, and what helps. */
export function failureText(error: unknown): FailureText {
  if (error instanceof UsageError || error instanceof CommandFailure) {
    const { message, remedy } = error;
    return { message, remedy };
  }
  const message = errorMessage(error);
  if (!isCommandError(error)) return { message };
  const remedy = remedyFor(error);
  return { message, remedy };
}

function remedyFor({ code, grpcStatus, command, node }: CommandErrorFields): string | undefined {
  const [app = '', verb = ''] = command.split('.');
  const isLocal = node.startsWith('/');
  switch (code) {
    case 'COMMAND_NO_RESPONDERS':
      return isLocal
        ? `start ${app}, or name the folder of its socket with --sockets; other nodes: --server URL --node NAME`
        : `check that ${app} runs there and its node name (nodeName) is ${node}; stowctl nodes --all lists nodes`;
    case 'COMMAND_TIMEOUT':
      return 'wait longer with --timeout, or see on the node itself: stowctl doctor';
    case 'COMMAND_NOT_PERMITTED':
      return isLocal
        ? undefined
        : 'use the login of an operator with its --inbox-prefix: deploy/nats has the roles';
    case 'COMMAND_REFUSED':
      return grpcStatus === 'PERMISSION_DENIED'
        ? `add "${verb}" to the key commands of ${app} (STOWAGE_COMMANDS), or run stowctl on the node as root`
        : undefined;
    default:
      return undefined;
  }
}
