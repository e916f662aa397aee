/** Names of the gRPC status codes that are errors, as NATS replies, logs and metrics carry them. */
export type GrpcStatusName =
  | 'CANCELLED'
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED';

/** The number that stands for each name in the `grpc-status` trailer. */
export const grpcStatusCode: Readonly<Record<GrpcStatusName, number>> = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
};

const namesByCode = new Map(
  Object.entries(grpcStatusCode).map(([name, code]) => [code, name as GrpcStatusName]),
);

/**
 * Name of a gRPC status number; UNKNOWN for 0 (which is no error) and for numbers gRPC does not
 * define.
 */
export function grpcStatusName(code: number): GrpcStatusName {
  return namesByCode.get(code) ?? 'UNKNOWN';
}

/** Name of the code of any answer: OK for 0, else as {@link grpcStatusName}. */
export function grpcCodeName(code: number): GrpcStatusName | 'OK' {
  return code === 0 ? 'OK' : grpcStatusName(code);
}

/** True when `value` is one of the names of {@link grpcStatusCode}. */
export function isGrpcStatusName(value: unknown): value is GrpcStatusName {
  return typeof value === 'string' && Object.hasOwn(grpcStatusCode, value);
}
