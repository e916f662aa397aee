import type { RuntimeServiceClient } from '@stowage/cri-client';
import { createPipedEndpoint } from '@stowage/cri-endpoint';
import type { CallObserver, Endpoint, LetGoReason } from '@stowage/cri-endpoint';
import { RuntimeUnavailableError } from '@stowage/errors';
import type { RuntimeObserver } from './runtime-observer';

export interface GatewayEndpointOptions {
  readonly socketPath: string;
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
  { socketPath, runtimeSocket, calls, onLetGo }: GatewayEndpointOptions,
): Promise<Endpoint> {
  return createPipedEndpoint({
    socketPath,
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
    unavailableReason: () => {
      const { available, since, reason } = runtime.availability();
      if (available || reason === undefined) return undefined;
      return new RuntimeUnavailableError(runtime.endpoint, since, reason).message;
    },
    onLetGo,
  });
}
