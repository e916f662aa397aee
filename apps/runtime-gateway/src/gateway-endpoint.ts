import type { RuntimeServiceClient } from '@stowage/cri-client';
import { createPipedEndpoint, createTerminatingEndpoint } from '@stowage/cri-endpoint';
import type { CallObserver, Endpoint, LetGoReason, ListenOptions } from '@stowage/cri-endpoint';
import { isImageService } from '@stowage/cri-proto/paths';
import type { RuntimeObserver } from './runtime-observer';
import type { RuntimePackages } from './runtime-packages';
import { unavailableText } from './unavailable-text';

export interface GatewayEndpointOptions {
  readonly listen: ListenOptions;
  /** Socket of the runtime. */
  readonly runtimeSocket: string;
  /** Socket to which image calls go; absent: they go to the runtime with all others. */
  readonly imageServiceSocket?: string;
  readonly calls: CallObserver;
  readonly onLetGo: (reason: LetGoReason, detail: string) => void;
  /** A connection over which calls are forwarded one by one did not move any more. */
  readonly onGivenUp: (address: string, reason: string) => void;
}

const service = 'runtime-gateway';

/**
 * Serves the runtime's CRI on a unix socket, while the observer reads the calls it asks for along the way. Every connection
 * is joined to one of the runtime's; only where image calls go elsewhere each call is forwarded on its own. Either
 * way v1 and v1alpha2 are served whichever the runtime speaks.
 */
export function openGatewayEndpoint(
  runtime: Pick<RuntimeServiceClient, 'availability' | 'endpoint'>,
  packages: Pick<RuntimePackages, 'path' | 'bothSpoken' | 'changedPrefix'>,
  observer: Pick<RuntimeObserver, 'observes' | 'callStarted' | 'callRequested' | 'callEnded'>,
  options: GatewayEndpointOptions,
): Promise<Endpoint> {
  const { listen, runtimeSocket, imageServiceSocket, calls, onLetGo } = options;
  const observing = {
    observe: (path: string) => observer.observes(path),
    onRequest: (path, request) => observer.callRequested(path, request),
    onCall: (call) => observer.callEnded(call),
    calls: {
      started: (path) => {
        observer.callStarted(path);
        calls.started?.(path);
      },
      ended: (call) => calls.ended?.(call),
    },
  } satisfies Partial<Parameters<typeof createPipedEndpoint>[0]>;

  if (imageServiceSocket === undefined) {
    return createPipedEndpoint({
      ...listen,
      ...observing,
      service,
      upstreamPath: runtimeSocket,
      rewritePaths: () =>
        packages.bothSpoken
          ? undefined
          : { path: (path) => packages.path(path), prefix: packages.changedPrefix },
      unavailableReason: () => unavailableText(runtime),
      onLetGo,
    });
  }
  return createTerminatingEndpoint({
    ...listen,
    ...observing,
    service,
    onGivenUp: options.onGivenUp,
    handlers: {},
    upstream: {
      address: (path) => (isImageService(path) ? imageServiceSocket : runtimeSocket),
      // image-service speaks both packages and asks the runtime in its own.
      path: (path) => (isImageService(path) ? path : packages.path(path)),
    },
    unavailableReason: (path) =>
      isImageService(path)
        ? `image-service at ${imageServiceSocket} does not answer`
        : unavailableText(runtime),
  });
}
