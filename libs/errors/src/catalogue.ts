import type { GrpcStatusName } from './grpc-status';

/** The meaning of an error code for those who get it. */
export interface CatalogueEntry {
  /** Name of the class that carries the code. */
  readonly className: string;
  readonly grpcStatus: GrpcStatusName;
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  readonly meaning: string;
  /** What the person or program that got the error can do about it. */
  readonly action: string;
}

/**
 * Every code of this library and its gRPC status: the one map. A test compares
 * `docs/reference/errors.md` with it, so there is no entry without documentation.
 */
export const errorCatalogue = {
  INVALID_ARGUMENT: {
    className: 'InvalidArgumentError',
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    meaning: 'A field of the request has a value that is not allowed, or is not known.',
    action: 'Correct the field that the message names; the message says what is allowed.',
  },
  INVALID_IMAGE_NAME: {
    className: 'InvalidImageNameError',
    grpcStatus: 'INVALID_ARGUMENT',
    retryable: false,
    meaning:
      "The image reference breaks a rule of the reference grammar (kubelet's InvalidImageName).",
    action: 'Correct the reference; the message quotes it and names the rule.',
  },
  NOT_FOUND: {
    className: 'NotFoundError',
    grpcStatus: 'NOT_FOUND',
    retryable: false,
    meaning:
      'The image, container, sandbox or plan that was asked for does not exist on this node.',
    action: 'Check the name or id; list what is there.',
  },
  ALREADY_EXISTS: {
    className: 'AlreadyExistsError',
    grpcStatus: 'ALREADY_EXISTS',
    retryable: false,
    meaning: 'Something of this name is there already and differs from what was asked for.',
    action: 'Use the existing one, or remove it first.',
  },
  PERMISSION_DENIED: {
    className: 'PermissionDeniedError',
    grpcStatus: 'PERMISSION_DENIED',
    retryable: false,
    meaning: 'The configuration of the service does not allow this call or command.',
    action:
      'Allow it in the configuration (for commands the key `commands`), or use another socket.',
  },
  FAILED_PRECONDITION: {
    className: 'FailedPreconditionError',
    grpcStatus: 'FAILED_PRECONDITION',
    retryable: false,
    meaning:
      'The call is well-formed but the state of the node forbids it now, such as a stale plan.',
    action: 'Bring about the state that the message names, then call again.',
  },
  RESOURCE_EXHAUSTED: {
    className: 'ResourceExhaustedError',
    grpcStatus: 'RESOURCE_EXHAUSTED',
    retryable: true,
    meaning: 'A bounded queue or a size limit of the service is full.',
    action: 'Call again later with fewer calls at once, or raise the limit that the message names.',
  },
  DEADLINE_EXCEEDED: {
    className: 'DeadlineExceededError',
    grpcStatus: 'DEADLINE_EXCEEDED',
    retryable: true,
    meaning: 'The work did not end in the time it was given.',
    action: 'Look at the runtime if it repeats; give more time where the caller sets it.',
  },
  CANCELLED: {
    className: 'CancelledError',
    grpcStatus: 'CANCELLED',
    retryable: false,
    meaning: 'Whoever asked for the work gave it up.',
    action: 'Nothing: the caller wanted it.',
  },
  SHUTTING_DOWN: {
    className: 'ShuttingDownError',
    grpcStatus: 'UNAVAILABLE',
    retryable: true,
    meaning: 'The service is stopping and takes no new work.',
    action: 'Call again when it is back; /readyz reports it.',
  },
  RUNTIME_UNAVAILABLE: {
    className: 'RuntimeUnavailableError',
    grpcStatus: 'UNAVAILABLE',
    retryable: true,
    meaning: 'The container runtime does not answer on its CRI socket.',
    action:
      'Start the runtime, or correct the endpoint in the configuration; the service recovers by itself.',
  },
  RESPONSE_INVALID: {
    className: 'ResponseInvalidError',
    grpcStatus: 'INTERNAL',
    retryable: false,
    meaning: 'The runtime answered, but a field that CRI requires is missing or empty.',
    action: 'Report it to the authors of the runtime; the message names call and field.',
  },
  UNIMPLEMENTED: {
    className: 'UnimplementedError',
    grpcStatus: 'UNIMPLEMENTED',
    retryable: false,
    meaning: 'The service does not know this call or command.',
    action: 'Check the spelling and the version of the service.',
  },
  INTERNAL: {
    className: 'InternalError',
    grpcStatus: 'INTERNAL',
    retryable: false,
    meaning: 'The service met a state that its authors held impossible.',
    action: 'Report it with the log around it.',
  },
} as const satisfies Record<string, CatalogueEntry>;

/** A code of {@link errorCatalogue}. */
export type ErrorCode = keyof typeof errorCatalogue;
