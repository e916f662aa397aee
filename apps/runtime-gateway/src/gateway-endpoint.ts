import type { RuntimeServiceClient } from '@stowage/cri-client';
import { createPipedEndpoint } from '@stowage/cri-endpoint';
import type { CallObserver, Endpoint, LetGoReason, ListenOptions } from '@stowage/cri-endpoint';
import type { RuntimeObserver } from './runtime-observer';
import { unavailableText } from './unavailable-text';

export interface GatewayEndpointOptions {
  readonly listen: ListenOptions;
  /** Socket of the runtime. */
  readonly runtimeSocket: string;
  readonly calls: CallObserver;
  readonly onLetGo: (reason: LetGoReason, detail: string) => void;
}

/**
 * Serves the runtime's CRI on a unix socket: every connection is joined to one of the runtime's, and the observer reads the
 * calls it asks for along the way.
 */
export function openGatewayEndpoint(
  runtime: Pick<RuntimeServiceClient, 'availability' | 'endpoint'>,
  observer: Pick<RuntimeObserver, 'observes' | 'callStarted' | 'callEnded'>,
  { listen, runtimeSocket, calls, onLetGo }: GatewayEndpointOptions,
): Promise<Endpoint> {
  return createPipedEndpoint({
    ...listen,
    service: 'runtime-gateway',
    upstreamPath: runtimeSocket,
    observe: (method) => observer.observes(method),
    onCall: (call) => observer.callEnded(call),
    calls: {
      started: (method) => {
        observer.callStarted(method);
        calls.started?.(method);
      },
      ended: (call) => calls.ended?.(call),
    },
    unavailableReason: () => unavailableText(runtime),
    onLetGo,
  });
}
