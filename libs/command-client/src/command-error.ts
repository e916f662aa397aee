/** The codes of {@link CommandError}, with their gRPC status. */
export const commandErrorStatus = {
  /** The input breaks the contract, or the node name is invalid: nothing was sent. */
  COMMAND_INPUT_INVALID: 'INVALID_ARGUMENT',
  /**
   * Nobody answers: the service is not running, not connected, or has another node name or another
   * local socket.
   */
  COMMAND_NO_RESPONDERS: 'UNAVAILABLE',
  /** No reply in time. The command may have been carried out. */
  COMMAND_TIMEOUT: 'DEADLINE_EXCEEDED',
  /**
   * NATS does not let this login send the command, or receive its reply; or this user may not use
   * the local socket.
   */
  COMMAND_NOT_PERMITTED: 'PERMISSION_DENIED',
  /** The service answered with an error; `grpcStatus` is its code. */
  COMMAND_REFUSED: 'UNKNOWN',
  /** The service's answer breaks the contract. */
  COMMAND_REPLY_INVALID: 'INTERNAL',
  /** The connection to NATS or to the local socket is closed or refuses the request. */
  COMMAND_NOT_SENT: 'UNAVAILABLE',
  /** The local connection ended before the reply. The command may have been carried out. */
  COMMAND_REPLY_LOST: 'UNAVAILABLE',
} as const;

export type CommandErrorCode = keyof typeof commandErrorStatus;

/** A command that gave no result. The message says which command, on which node, and why. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  /** Name of a gRPC status. */
  readonly grpcStatus: string;

  constructor(
    readonly code: CommandErrorCode,
    /** App and verb, as in `gc-worker.plan`. */
    readonly command: string,
    /** The node that was asked, or the path of the local socket. */
    readonly node: string,
    /** Why, in words, without the command and the node. */
    readonly reason: string,
    options: { grpcStatus?: string; cause?: unknown } = {},
  ) {
    super(`${command} on ${node}: ${reason}`, { cause: options.cause });
    this.grpcStatus = options.grpcStatus ?? commandErrorStatus[code];
  }
}
