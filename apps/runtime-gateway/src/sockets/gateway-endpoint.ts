import type { RuntimeServiceClient } from '@stowage/cri-client';
import { createPipedEndpoint, createTerminatingEndpoint } from '@stowage/cri-endpoint';
import type {
  CallListener,
  DetachReason,
  Endpoint,
  ListenOptions,
  MessageObserver,
} from '@stowage/cri-endpoint';
import { isImageService } from '@stowage/cri-proto/paths';
import type { CriVersions } from './cri-versions';
import { unavailableText } from './unavailable-text';

export interface GatewayEndpointOptions {
  readonly listen: ListenOptions;
  /** Socket of the runtime. */
  readonly runtimeSocket: string;
  /** Socket to which image calls go; absent: they go to the runtime with all others. */
  readonly imageServiceSocket?: string;
  readonly calls: CallListener;
  readonly onDetached: (reason: DetachReason, detail: string) => void;
  /** A connection over which calls are forwarded one by one did not move any more. */
  readonly onGivenUp: (address: string, reason: string) => void;
}

const service = 'runtime-gateway';

/**
 * Serves the runtime's CRI on a unix socket, while the observer reads the calls it asks for along
 * the way. Every connection is joined to one of the runtime's; only where image calls go elsewhere
 * each call is forwarded on its own. Either way v1 and v1alpha2 are served whichever the runtime
 * speaks.
 */
export function openGatewayEndpoint(
  runtime: Pick<RuntimeServiceClient, 'availability' | 'endpoint'>,
  criVersions: Pick<CriVersions, 'path' | 'servesBoth' | 'changedPrefix'>,
  observer: MessageObserver,
  options: GatewayEndpointOptions,
): Promise<Endpoint> {
  const { listen, runtimeSocket, imageServiceSocket, calls, onDetached } = options;
  if (imageServiceSocket === undefined) {
    return createPipedEndpoint({
      ...listen,
      observer,
      calls,
      service,
      upstreamPath: runtimeSocket,
      rewritePaths: () =>
        criVersions.servesBoth
          ? undefined
          : { path: (path) => criVersions.path(path), prefix: criVersions.changedPrefix },
      unavailableReason: () => unavailableText(runtime),
      onDetached,
    });
  }
  return createTerminatingEndpoint({
    ...listen,
    observer,
    calls,
    service,
    onGivenUp: options.onGivenUp,
    handlers: {},
    upstream: {
      address: (path) => (isImageService(path) ? imageServiceSocket : runtimeSocket),
      // image-service speaks both packages and asks the runtime in its own.
      path: (path) => (isImageService(path) ? path : criVersions.path(path)),
    },
    unavailableReason: (path) =>
      isImageService(path)
        ? `image-service at ${imageServiceSocket} does not answer`
        : unavailableText(runtime),
  });
}
