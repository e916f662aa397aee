import { StowageError } from '@stowage/errors';

/** Another process has the outbox of this state directory open. */
export class StateDirInUseError extends StowageError {
  constructor(
    readonly stateDir: string,
    options: { cause?: unknown } = {},
  ) {
    super(
      `state directory ${stateDir} is in use by another process: each service needs one of its own`,
      {
        code: 'STATE_DIR_IN_USE',
        grpcStatus: 'FAILED_PRECONDITION',
        cause: options.cause,
      },
    );
  }
}

/**
 * A process that shall replace another one could not store its events in the state directory: no
 * permission, or not a directory.
 */
export class StateDirUnusableError extends StowageError {
  constructor(
    readonly stateDir: string,
    readonly reason: string,
    options: { cause?: unknown } = {},
  ) {
    super(`state directory ${stateDir} cannot be used: ${reason}`, {
      code: 'STATE_DIR_UNUSABLE',
      grpcStatus: 'FAILED_PRECONDITION',
      cause: options.cause,
    });
  }
}

/** An event is larger than any NATS server accepts by default. */
export class EventTooLargeError extends StowageError {
  constructor(
    readonly event: string,
    readonly sizeBytes: number,
    readonly maxBytes: number,
  ) {
    super(`event ${event} has ${sizeBytes} bytes, at most ${maxBytes} are allowed`, {
      code: 'EVENT_TOO_LARGE',
      grpcStatus: 'INVALID_ARGUMENT',
    });
  }
}
