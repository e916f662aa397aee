import { errorCatalogue, type ErrorCode } from './catalogue';
import type { GrpcStatusName } from './grpc-status';

/** The fields of every {@link StowageError} besides its message. */
export interface StowageErrorFields {
  /** Stable, SCREAMING_SNAKE; programs branch on it, people search for it. */
  code: string;
  grpcStatus: GrpcStatusName;
  /**
   * Whether the same call may succeed later without anybody changing anything; false when not
   * given.
   */
  retryable?: boolean;
  cause?: unknown;
}

/**
 * Base of all errors that Stowage throws on purpose: a class per meaning, a stable code, a gRPC
 * status. Messages are one line, name the problem, and never contain a secret.
 */
export abstract class StowageError extends Error {
  readonly code: string;
  readonly grpcStatus: GrpcStatusName;
  readonly retryable: boolean;

  constructor(message: string, fields: StowageErrorFields) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = new.target.name;
    this.code = fields.code;
    this.grpcStatus = fields.grpcStatus;
    this.retryable = fields.retryable ?? false;
  }
}

/** Fields of a code as the catalogue has them. */
export function catalogued(code: ErrorCode, cause?: unknown): StowageErrorFields {
  const { grpcStatus, retryable } = errorCatalogue[code];
  return { code, grpcStatus, retryable, cause };
}
