export { criCallLog, type CriCallLog } from './call-log';
export {
  CriOptionsError,
  grpcTarget,
  parseEndpoint,
  type ParsedEndpoint,
  splitEndpoint,
  type SplitEndpoint,
} from './endpoint';
export {
  CommandExitError,
  CommandTimeoutError,
  CriError,
  CriRequestError,
  kubeletErrorText,
} from './errors';
export { connectImageService } from './image-service';
export { criInstrumentation } from './instrumentation';
export { LogReduction } from './log-reduction';
export { criMetrics } from './metrics';
export { combineObservers } from './observers';
export { connectRuntimeService } from './runtime-service';
export { criTracing, type CriTracer } from './tracing';
export type {
  CriCall,
  CriCallObserver,
  CriCallOptions,
  CriCallOutcome,
  CriCalls,
  CriCallSpan,
  CriClientOptions,
  CriConnectionView,
  CriServiceName,
  CriStreamOptions,
  CriVersion,
  ImageServiceClient,
  RuntimeAvailability,
  RuntimeServiceClient,
} from './types';
