import { StowageError, type GrpcStatusName } from '@stowage/errors';

/** What the engine's HTTP status says where the call gives it no other meaning. */
const grpcStatusOf: Readonly<Record<number, GrpcStatusName>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'FAILED_PRECONDITION',
  501: 'UNIMPLEMENTED',
};

/**
 * The engine answered `operation` with a status of 400 or more; the message is the engine's own.
 */
export class EngineResponseError extends StowageError {
  constructor(
    /** The call in the words of the client, for instance `inspect image`. */
    readonly operation: string,
    /** HTTP status. */
    readonly status: number,
    message: string,
  ) {
    super(message, {
      code: 'DOCKER_ENGINE_REFUSED',
      grpcStatus: grpcStatusOf[status] ?? 'UNKNOWN',
      retryable: status >= 500,
    });
  }
}

/**
 * No answer came: nothing listens there, or the connection ended before the answer did. The call
 * may have had its effect.
 */
export class EngineUnreachableError extends StowageError {
  constructor(
    readonly operation: string,
    readonly endpoint: string,
    reason: string,
    options: { cause?: unknown } = {},
  ) {
    super(`Docker Engine is not reachable at ${endpoint}: ${reason}`, {
      code: 'DOCKER_ENGINE_UNREACHABLE',
      grpcStatus: 'UNAVAILABLE',
      retryable: true,
      cause: options.cause,
    });
  }
}

/** The answer is none that the engine's API describes: not JSON, or too long. */
export class EngineAnswerError extends StowageError {
  constructor(
    readonly operation: string,
    problem: string,
    options: { cause?: unknown } = {},
  ) {
    super(`Docker Engine's answer to ${operation} ${problem}`, {
      code: 'DOCKER_ENGINE_ANSWER',
      grpcStatus: 'UNKNOWN',
      cause: options.cause,
    });
  }
}

/** Whether the engine does not know what the call was about. */
export const isNotFound = (error: unknown): boolean =>
  error instanceof EngineResponseError && error.status === 404;

/** Whether what the call was about is in a state that forbids it. */
export const isConflict = (error: unknown): boolean =>
  error instanceof EngineResponseError && error.status === 409;
