export { activatedSockets, type ActivatedSocket } from './activated-sockets';
export { activatedOr } from './listen-options';
export { isSocketServed, SocketInUseError, SocketPathError } from './listen-unix';
export { createPipedEndpoint, type PathChanges, type PipedEndpointOptions } from './piped-endpoint';
export { MalformedMessageError, readStrictly, type MessageShape } from './strict-message';
export { createTerminatingEndpoint, type TerminatingEndpointOptions } from './terminating-endpoint';
export type {
  CallObserver,
  CallOutcome,
  CallSummary,
  CheckedCall,
  Endpoint,
  EndpointStats,
  LetGoReason,
  ListenOptions,
  LocalHandler,
  ObservedCall,
  RequestCheck,
  StreamCall,
  StreamHandler,
  UnaryCall,
  UnaryHandler,
} from './types';
