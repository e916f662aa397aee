export { activatedSockets, type ActivatedSocket } from './activated-sockets';
export { activatedOr } from './listen-options';
export { SocketInUseError, SocketPathError } from './listen-unix';
export { createPipedEndpoint, type PipedEndpointOptions } from './piped-endpoint';
export {
  createTerminatingEndpoint,
  type RequestCheck,
  type TerminatingEndpointOptions,
} from './terminating-endpoint';
export type {
  CallObserver,
  CallOutcome,
  CallSummary,
  Endpoint,
  EndpointStats,
  LetGoReason,
  ListenOptions,
  ObservedCall,
  UnaryCall,
  UnaryHandler,
} from './types';
