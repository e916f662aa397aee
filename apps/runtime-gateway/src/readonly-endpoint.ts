import type { RuntimeServiceClient } from '@stowage/cri-client';
import { createTerminatingEndpoint } from '@stowage/cri-endpoint';
import type { CallObserver, Endpoint, ListenOptions } from '@stowage/cri-endpoint';
import { readonlyVerdict } from './readonly-verdict';
import { isImageCall } from './runtime-packages';
import type { RuntimePackages } from './runtime-packages';
import { unavailableText } from './unavailable-text';

export interface ReadonlyEndpointOptions {
  readonly listen: ListenOptions;
  /** Sockets of the runtime, and of the image service that answers image calls. */
  readonly runtimeSocket: string;
  readonly imageSocket: string;
  /** Whether it takes both packages by itself, as image-service does. */
  readonly imageSocketSpeaksBoth: boolean;
  readonly verboseAllowed: boolean;
  readonly calls: CallObserver;
  /** A connection to the runtime did not move any more. */
  readonly onGivenUp: (address: string, reason: string) => void;
}

/** Largest request that is looked at, in bytes: filters and names. */
const maxRequestBytes = 1024 * 1024;

/** Serves the calls that change nothing, in v1 and v1alpha2 whichever the runtime speaks. */
export function openReadonlyEndpoint(
  runtime: Pick<RuntimeServiceClient, 'availability' | 'endpoint'>,
  packages: Pick<RuntimePackages, 'path'>,
  options: ReadonlyEndpointOptions,
): Promise<Endpoint> {
  const { listen, runtimeSocket, imageSocket, verboseAllowed, calls, onGivenUp } = options;
  return createTerminatingEndpoint({
    ...listen,
    service: 'runtime-gateway',
    upstream: {
      address: (path) => (isImageCall(path) ? imageSocket : runtimeSocket),
      path: (path) =>
        options.imageSocketSpeaksBoth && isImageCall(path) ? path : packages.path(path),
    },
    handlers: {},
    admit: (path) => readonlyVerdict(path, { verboseAllowed }),
    maxRequestBytes,
    calls,
    onGivenUp,
    unavailableReason: (path) =>
      isImageCall(path) && imageSocket !== runtimeSocket ? undefined : unavailableText(runtime),
  });
}
