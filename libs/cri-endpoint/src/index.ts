export { activatedSockets, type ActivatedSocket } from './activated-sockets';
export { activatedOr } from './listen-options';
export {
  checkListening,
  isSocketServed,
  listenUnix,
  makeSocketFolder,
  SocketInUseError,
  SocketPathError,
  type UnixListener,
} from './listen-unix';
export { createCheckedEndpoint, type CheckedEndpointOptions } from './checked-endpoint';
export { createPipedEndpoint, type PathChanges, type PipedEndpointOptions } from './piped-endpoint';
export { MalformedMessageError, readStrictly, type MessageShape } from './strict-message';
export { createTerminatingEndpoint, type TerminatingEndpointOptions } from './terminating-endpoint';
export type {
  CallListener,
  CallOutcome,
  CallSummary,
  CheckedCall,
  DetachReason,
  Endpoint,
  EndpointStats,
  ListenOptions,
  LocalHandler,
  MessageObserver,
  ObservedCall,
  RequestCheck,
  StreamCall,
  StreamHandler,
  UnaryCall,
  UnaryHandler,
} from './types';
