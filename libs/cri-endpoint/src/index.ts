export { SocketInUseError, SocketPathError } from './listen-unix';
export { createTerminatingEndpoint, type TerminatingEndpointOptions } from './terminating-endpoint';
export type {
  CallObserver,
  CallOutcome,
  CallSummary,
  Endpoint,
  EndpointStats,
  LetGoReason,
  ListenOptions,
  UnaryCall,
  UnaryHandler,
} from './types';
