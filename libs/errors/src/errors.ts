import { catalogued, StowageError } from './stowage-error';

const maxQuotedChars = 256;

/** A value as an error message shows it: JSON, one line, long ones cut with their length. */
export function quoteValue(value: unknown): string {
  const text = printed(value);
  if (text.length <= maxQuotedChars) return text;
  return `${text.slice(0, maxQuotedChars)}… (${text.length} characters)`;
}

function printed(value: unknown): string {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'object':
      try {
        return JSON.stringify(value);
      } catch {
        return 'an object that JSON cannot hold';
      }
    case 'bigint':
    case 'undefined':
      return String(value);
    case 'symbol':
    case 'function':
      return `a ${typeof value}`;
  }
}

/**
 * A field of a request or of a configuration has a value outside what is allowed. Never give it a
 * secret value.
 */
export class InvalidArgumentError extends StowageError {
  constructor(
    readonly field: string,
    readonly value: unknown,
    readonly allowed: string,
    options: { cause?: unknown } = {},
  ) {
    super(
      `${field}: ${quoteValue(value)} is not allowed; allowed: ${allowed}`,
      catalogued('INVALID_ARGUMENT', options.cause),
    );
  }
}

/** An image reference that does not parse. `rule` is the grammar rule it breaks. */
export class InvalidImageNameError extends StowageError {
  constructor(
    readonly reference: string,
    readonly rule: string,
    options: { cause?: unknown } = {},
  ) {
    super(
      `image reference ${quoteValue(reference)} is not valid: ${rule}`,
      catalogued('INVALID_IMAGE_NAME', options.cause),
    );
  }
}

/**
 * `kind` is the field's word for the thing (`image`, `container`), `id` the name or id that was
 * asked for.
 */
export class NotFoundError extends StowageError {
  constructor(
    readonly kind: string,
    readonly id: string,
    options: { cause?: unknown } = {},
  ) {
    super(`${kind} ${quoteValue(id)} not found`, catalogued('NOT_FOUND', options.cause));
  }
}

/** Something of this name exists and differs from what was requested. */
export class AlreadyExistsError extends StowageError {
  constructor(
    readonly kind: string,
    readonly id: string,
    options: { cause?: unknown } = {},
  ) {
    super(`${kind} ${quoteValue(id)} already exists`, catalogued('ALREADY_EXISTS', options.cause));
  }
}

/** The configuration does not allow `action`; `reason` says which part of it. */
export class PermissionDeniedError extends StowageError {
  constructor(
    readonly action: string,
    readonly reason: string,
    options: { cause?: unknown } = {},
  ) {
    super(`${action} is not allowed: ${reason}`, catalogued('PERMISSION_DENIED', options.cause));
  }
}

/** The state of the node forbids a well-formed call; the message says which state is needed. */
export class FailedPreconditionError extends StowageError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, catalogued('FAILED_PRECONDITION', options.cause));
  }
}

/** A bounded queue or size limit is full. `resource` names it, `limit` is its size. */
export class ResourceExhaustedError extends StowageError {
  constructor(
    readonly resource: string,
    readonly limit: number,
    options: { cause?: unknown } = {},
  ) {
    super(`${resource} is full: limit ${limit}`, catalogued('RESOURCE_EXHAUSTED', options.cause));
  }
}

/** `what` did not end within `timeoutMs` milliseconds. */
export class DeadlineExceededError extends StowageError {
  constructor(
    readonly what: string,
    readonly timeoutMs: number,
    options: { cause?: unknown } = {},
  ) {
    super(
      `${what} timed out after ${timeoutMs} ms`,
      catalogued('DEADLINE_EXCEEDED', options.cause),
    );
  }
}

/** The caller of `what` has cancelled it. */
export class CancelledError extends StowageError {
  constructor(
    readonly what: string,
    options: { cause?: unknown } = {},
  ) {
    super(`${what} was cancelled by the caller`, catalogued('CANCELLED', options.cause));
  }
}

/** The service is stopping and takes no new work. */
export class ShuttingDownError extends StowageError {
  constructor(
    readonly service: string,
    options: { cause?: unknown } = {},
  ) {
    super(`${service} is shutting down`, catalogued('SHUTTING_DOWN', options.cause));
  }
}

/**
 * The runtime's CRI socket is absent or lost. The text is also what /readyz and every refused call
 * say.
 */
export class RuntimeUnavailableError extends StowageError {
  constructor(
    readonly endpoint: string,
    readonly since: Date,
    readonly reason: string,
    options: { cause?: unknown } = {},
  ) {
    super(
      `container runtime at ${endpoint} is unavailable since ${since.toISOString()}: ${reason}`,
      catalogued('RUNTIME_UNAVAILABLE', options.cause),
    );
  }
}

/**
 * The runtime's answer to `method` lacks what CRI requires; `problem` is the text of kubelet's own
 * check.
 */
export class ResponseInvalidError extends StowageError {
  constructor(
    readonly method: string,
    readonly problem: string,
    options: { cause?: unknown } = {},
  ) {
    super(problem, catalogued('RESPONSE_INVALID', options.cause));
  }
}

/** The service does not know this call or command. */
export class UnimplementedError extends StowageError {
  constructor(
    readonly method: string,
    readonly reason = 'unknown to this service',
    options: { cause?: unknown } = {},
  ) {
    super(`${method}: ${reason}`, catalogued('UNIMPLEMENTED', options.cause));
  }
}

/** A state that should be impossible. */
export class InternalError extends StowageError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, catalogued('INTERNAL', options.cause));
  }
}
