export { StreamingServer, type StreamingServerOptions } from './streaming-server';
export type { TlsFiles } from './tls-files';
export type {
  ExecIo,
  ExecTarget,
  PortTarget,
  RequestedStreams,
  SessionKind,
  SessionProtocol,
  StreamingSession,
  StreamingSessionListener,
  TerminalSize,
} from './types';
