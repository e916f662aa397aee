export { errorCatalogue, type CatalogueEntry, type ErrorCode } from './catalogue';
export {
  AlreadyExistsError,
  CancelledError,
  DeadlineExceededError,
  FailedPreconditionError,
  InternalError,
  InvalidArgumentError,
  InvalidImageNameError,
  NotFoundError,
  PermissionDeniedError,
  quoteValue,
  ResourceExhaustedError,
  ResponseInvalidError,
  RuntimeUnavailableError,
  ShuttingDownError,
  UnimplementedError,
} from './errors';
export {
  grpcStatusCode,
  grpcCodeName,
  grpcStatusName,
  isGrpcStatusName,
  type GrpcStatusName,
} from './grpc-status';
export { joinMessages } from './join-messages';
export { nearest } from './nearest';
export { StowageError, type StowageErrorFields } from './stowage-error';
export { errorMessage, toGrpcStatus, type GrpcStatus } from './to-grpc-status';
