import {
  CancelledError,
  DeadlineExceededError,
  errorMessage,
  type GrpcStatusName,
  RuntimeUnavailableError,
  StowageError,
} from '@stowage/errors';

/**
 * Statuses that a caller may retry unchanged: the runtime was busy or away, or another call was in
 * the way.
 */
const retryableStatuses: ReadonlySet<GrpcStatusName> = new Set([
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'ABORTED',
]);

/** The runtime answered a call with an error. Status and message are the runtime's own. */
export class CriError extends StowageError {
  constructor(
    /** The call, for example `PullImage`. */
    readonly method: string,
    status: GrpcStatusName,
    /**
     * The runtime's message as it came; can be empty, when `message` names the call and status
     * instead.
     */
    readonly details: string,
    options: { cause?: unknown } = {},
  ) {
    super(details === '' ? `${method}: ${status}` : details, {
      code: 'CRI_ERROR',
      grpcStatus: status,
      retryable: retryableStatuses.has(status),
      cause: options.cause,
    });
  }
}

/** A call that kubelet's client refuses before it is sent. The message is kubelet's. */
export class CriRequestError extends StowageError {
  constructor(
    readonly method: string,
    message: string,
  ) {
    super(message, { code: 'CRI_REQUEST_INVALID', grpcStatus: 'INVALID_ARGUMENT' });
  }
}

/**
 * The command of an ExecSync call ended with an exit code other than 0. Contains its complete
 * outputs.
 */
export class CommandExitError extends StowageError {
  constructor(
    readonly command: readonly string[],
    readonly exitCode: number,
    readonly stdout: Uint8Array,
    readonly stderr: Uint8Array,
  ) {
    const printed = new TextDecoder().decode(stderr);
    super(`command '${command.join(' ')}' exited with ${exitCode}: ${printed}`, {
      code: 'COMMAND_EXIT',
      grpcStatus: 'UNKNOWN',
    });
  }
}

/** The command of an ExecSync call did not end in its time. There are no outputs. */
export class CommandTimeoutError extends StowageError {
  constructor(
    readonly command: readonly string[],
    message: string,
    options: { cause?: unknown } = {},
  ) {
    super(message, {
      code: 'COMMAND_TIMEOUT',
      grpcStatus: 'DEADLINE_EXCEEDED',
      cause: options.cause,
    });
  }
}

/** Names of the gRPC statuses as Go prints them, where they are not just the words joined. */
const goStatusNames: Partial<Record<GrpcStatusName, string>> = { CANCELLED: 'Canceled' };

function goStatusName(status: GrpcStatusName): string {
  return (
    goStatusNames[status] ??
    status
      .split('_')
      .map((word) => word.charAt(0) + word.slice(1).toLowerCase())
      .join('')
  );
}

/**
 * Text of an error as kubelet would log it or put it into an event:
 * `rpc error: code = NotFound desc = …` for what the runtime answered (for PullImage with UNKNOWN
 * only the message, as kubelet does since 1.28), for a runtime that is away or too slow, and for a
 * cancelled call; else the message.
 */
export function kubeletErrorText(error: unknown): string {
  if (error instanceof CriError) {
    if (error.method === 'PullImage' && error.grpcStatus === 'UNKNOWN') return error.details;
    return rpcErrorText(error.grpcStatus, error.details);
  }
  if (error instanceof DeadlineExceededError) {
    return rpcErrorText(error.grpcStatus, 'context deadline exceeded');
  }
  if (error instanceof CancelledError) return rpcErrorText(error.grpcStatus, 'context canceled');
  if (error instanceof RuntimeUnavailableError) {
    return rpcErrorText(error.grpcStatus, error.message);
  }
  return errorMessage(error);
}

function rpcErrorText(status: GrpcStatusName, details: string): string {
  return `rpc error: code = ${goStatusName(status)} desc = ${details}`;
}
