import {
  grpcStatusCode,
  grpcStatusName,
  isGrpcStatusName,
  type GrpcStatusName,
} from './grpc-status';

/** An error as in a gRPC trailer or a NATS reply. */
export interface GrpcStatus {
  code: number;
  name: GrpcStatusName;
  message: string;
}

const field = (value: object, name: string): unknown => (value as Record<string, unknown>)[name];

function statusName(error: unknown): GrpcStatusName {
  if (typeof error !== 'object' || error == null) return 'UNKNOWN';
  const named = field(error, 'grpcStatus');
  if (isGrpcStatusName(named)) return named;
  const code = field(error, 'code');
  // A number alone is not enough: DOMException has a numeric code too. gRPC clients put `details`
  // beside it.
  if (typeof code === 'number' && typeof field(error, 'details') === 'string') {
    return grpcStatusName(code);
  }
  const name = field(error, 'name');
  if (name === 'AbortError') return 'CANCELLED';
  if (name === 'TimeoutError') return 'DEADLINE_EXCEEDED';
  return 'UNKNOWN';
}

/**
 * Text of anything that was thrown: an error's own message (gRPC clients' `details`, without the
 * method in front), the messages inside an AggregateError that has none of its own, a string as it
 * is.
 */
export function errorMessage(error: unknown): string {
  if (typeof error === 'string') return error;
  if (typeof error !== 'object' || error == null) return String(error);
  const details = field(error, 'details');
  if (typeof details === 'string' && typeof field(error, 'code') === 'number') return details;
  const message = field(error, 'message');
  if (typeof message === 'string' && message !== '') return message;
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.map(errorMessage).join('; ');
  }
  const code = field(error, 'code');
  if (typeof code === 'string' && code !== '') return code;
  const name = field(error, 'name');
  return typeof name === 'string' && name !== '' ? name : 'unknown error';
}

/**
 * gRPC status of anything that was thrown: a StowageError (or anything with a `grpcStatus` name), a
 * gRPC client's error (`code` and `details`), an abort (CANCELLED) or time-out (DEADLINE_EXCEEDED)
 * of a signal, and UNKNOWN for the rest, as gRPC servers do.
 */
export function toGrpcStatus(error: unknown): GrpcStatus {
  const name = statusName(error);
  return { code: grpcStatusCode[name], name, message: errorMessage(error) };
}
