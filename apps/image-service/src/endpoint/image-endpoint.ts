import { ImageServiceDefinition } from '@stowage/cri-proto';
import { inVersion, isRuntimeService } from '@stowage/cri-proto/paths';
import type { CallListener, Endpoint, ListenOptions } from '@stowage/cri-endpoint';
import { serveCri } from '@stowage/cri-server';
import { RuntimeUnavailableError } from '@stowage/errors';
import type { ImageRuntime } from '../runtime/image-runtime';
import type { Puller } from '../pull/pull';
import type { RemoveImage } from '../remove/remove-image';

/** What the endpoint needs beside the verbs. */
export interface ImageEndpointOptions {
  readonly listen: ListenOptions;
  /** Socket of the runtime's image service, and of its runtime service. */
  readonly imageSocket: string;
  readonly runtimeSocket: string;
  readonly calls: CallListener;
  /** A connection to the runtime did not move any more. */
  readonly onGivenUp?: (address: string, reason: string) => void;
}

/**
 * Serves CRI's ImageService (v1 and v1alpha2) on a unix socket: PullImage and RemoveImage here,
 * every other call forwarded byte for byte, in the version that the runtime speaks.
 */
export function openImageEndpoint(
  runtime: ImageRuntime,
  puller: Puller,
  remover: Pick<RemoveImage, 'remove'>,
  options: ImageEndpointOptions,
): Promise<Endpoint> {
  return serveCri(
    ImageServiceDefinition,
    {
      pullImage: async (request, { signal, trace, answered }) => {
        const { value } = await puller.pull(request, { signal, trace, answered });
        return value.response;
      },
      removeImage: async (request, { signal, trace: { traceparent } }) => {
        const { response } = await remover.remove(request, { signal, traceparent });
        return response;
      },
    },
    {
      ...options.listen,
      service: 'image-service',
      upstream: {
        address: (method) =>
          isRuntimeService(method) ? options.runtimeSocket : options.imageSocket,
        path: (method) => {
          const { version } = runtime.availability();
          return version === undefined ? method : inVersion(method, version);
        },
      },
      unavailableReason: () => {
        const { available, since, reason = 'not connected yet' } = runtime.availability();
        if (available) return undefined;
        return new RuntimeUnavailableError(runtime.endpoint, since, reason).message;
      },
      calls: options.calls,
      onGivenUp: options.onGivenUp,
    },
  );
}
