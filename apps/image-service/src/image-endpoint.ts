import {
  PullImageRequest,
  PullImageResponse,
  RemoveImageRequest,
  RemoveImageResponse,
} from '@stowage/cri-proto';
import { inVersion, isRuntimeService, methodPath } from '@stowage/cri-proto/paths';
import { createTerminatingEndpoint } from '@stowage/cri-endpoint';
import type {
  CallObserver,
  Endpoint,
  ListenOptions,
  UnaryCall,
  UnaryHandler,
} from '@stowage/cri-endpoint';
import { InvalidArgumentError, RuntimeUnavailableError, toGrpcStatus } from '@stowage/errors';
import { inSpan } from '@stowage/tracing';
import type { TraceContext } from '@stowage/tracing';
import type { ImageRuntime } from './image-runtime';
import type { PullImage } from './pull-image';
import type { RemoveImage } from './remove-image';

/** What the endpoint needs beside the verbs. */
export interface ImageEndpointOptions {
  readonly listen: ListenOptions;
  /** Socket of the runtime's image service, and of its runtime service. */
  readonly imageSocket: string;
  readonly runtimeSocket: string;
  readonly calls: CallObserver;
  /** A connection to the runtime did not move any more. */
  readonly onGivenUp?: (address: string, reason: string) => void;
}

/**
 * Serves CRI's ImageService (v1 and v1alpha2) on a unix socket: PullImage and RemoveImage here, every other call forwarded
 * byte for byte, in the version that the runtime speaks.
 */
export function openImageEndpoint(
  runtime: ImageRuntime,
  puller: Pick<PullImage, 'pull'>,
  remover: Pick<RemoveImage, 'remove'>,
  options: ImageEndpointOptions,
): Promise<Endpoint> {
  return createTerminatingEndpoint({
    ...options.listen,
    service: 'image-service',
    upstream: {
      address: (method) => (isRuntimeService(method) ? options.runtimeSocket : options.imageSocket),
      path: (method) => {
        const { version } = runtime.availability();
        return version === undefined ? method : inVersion(method, version);
      },
    },
    handlers: {
      [methodPath('ImageService', 'PullImage')]: pullHandler(puller),
      [methodPath('ImageService', 'RemoveImage')]: removeHandler(remover),
    },
    unavailableReason: () => {
      const { available, since, reason = 'not connected yet' } = runtime.availability();
      if (available) return undefined;
      return new RuntimeUnavailableError(runtime.endpoint, since, reason).message;
    },
    calls: options.calls,
    onGivenUp: options.onGivenUp,
  });
}

function pullHandler(puller: Pick<PullImage, 'pull'>): UnaryHandler {
  return inServerSpan(async (bytes, { signal }, trace) => {
    const request = decoded(PullImageRequest, bytes, 'PullImageRequest');
    const { value } = await puller.pull(request, { signal, trace });
    return PullImageResponse.encode(value.response).finish();
  });
}

function removeHandler(remover: Pick<RemoveImage, 'remove'>): UnaryHandler {
  return inServerSpan(async (bytes, { signal }, { traceparent }) => {
    const request = decoded(RemoveImageRequest, bytes, 'RemoveImageRequest');
    const { response } = await remover.remove(request, { signal, traceparent });
    return RemoveImageResponse.encode(response).finish();
  });
}

function decoded<M>(codec: { decode(bytes: Uint8Array): M }, bytes: Uint8Array, name: string): M {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    throw new InvalidArgumentError('request', `${bytes.length} bytes`, `a ${name} message`, {
      cause,
    });
  }
}

/** A span of each call, named as OpenTelemetry's conventions for RPC say, below the trace of the client. */
function inServerSpan(
  handle: (bytes: Uint8Array, call: UnaryCall, trace: TraceContext) => Promise<Uint8Array>,
): UnaryHandler {
  return (bytes, call) => {
    const name = call.method.slice(1);
    const [service, method] = name.split('/');
    const { traceparent, tracestate } = call.metadata;
    const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method };
    const settings = { kind: 'server', parent: { traceparent, tracestate }, attributes } as const;
    return inSpan(name, settings, async ({ trace, set }) => {
      try {
        const response = await handle(bytes, call, trace);
        set({ 'rpc.grpc.status_code': 0 });
        return response;
      } catch (error) {
        set({ 'rpc.grpc.status_code': toGrpcStatus(error).code });
        throw error;
      }
    });
  };
}
