import type { RuntimeServiceClient } from '@stowage/cri-client';
import {
  createCheckedEndpoint,
  type CallListener,
  type Endpoint,
  type ListenOptions,
} from '@stowage/cri-endpoint';
import { isImageService } from '@stowage/cri-proto/paths';
import { readingRequests } from './readonly-requests';
import { eventPaths, readonlyVerdict, type ReadonlyRules } from './readonly-verdict';
import type { CriVersions } from './cri-versions';
import { unavailableText } from './unavailable-text';

export interface ReadonlyEndpointOptions {
  readonly listen: ListenOptions;
  /** Sockets of the runtime, and of the image service that answers image calls. */
  readonly runtimeSocket: string;
  readonly imageSocket: string;
  /** Whether it takes both packages by itself, as image-service does. */
  readonly imageSocketServesBoth: boolean;
  readonly rules: Omit<ReadonlyRules, 'identify'>;
  readonly calls: CallListener;
  /** A connection to the runtime did not move any more. */
  readonly onGivenUp: (address: string, reason: string) => void;
}

/**
 * Largest request that is looked at, in bytes: filters and names. The worst of this size is read in
 * some 30 ms.
 */
const maxRequestBytes = 256 * 1024;

/**
 * containerd 2.x and CRI-O hand an event to one reader after the other, and wait for one that does
 * not take it: then kubelet gets no events, and calls that cause some do not end. So a reader that
 * stands still for this time, in milliseconds, is cut off.
 */
const unreadEventsMs = 5000;

/** Serves the calls that change nothing, in v1 and v1alpha2 whichever the runtime speaks. */
export function openReadonlyEndpoint(
  runtime: Pick<RuntimeServiceClient, 'availability' | 'endpoint' | 'version'>,
  criVersions: Pick<CriVersions, 'path'>,
  options: ReadonlyEndpointOptions,
): Promise<Endpoint> {
  const { listen, runtimeSocket, imageSocket, calls, onGivenUp } = options;
  const rules: ReadonlyRules = {
    ...options.rules,
    identify: ({ signal }) => runtime.version({}, { signal }),
  };
  const checks = new Map(
    [...readingRequests.keys()].map((path) => [path, readonlyVerdict(path, rules)]),
  );
  return createCheckedEndpoint({
    ...listen,
    service: 'runtime-gateway',
    upstream: {
      address: (path) => (isImageService(path) ? imageSocket : runtimeSocket),
      path: (path) =>
        options.imageSocketServesBoth && isImageService(path) ? path : criVersions.path(path),
    },
    handlers: {},
    admit: (path) => checks.get(path) ?? readonlyVerdict(path, rules),
    maxRequestBytes,
    unreadLimitMs: (path) => (eventPaths.has(path) ? unreadEventsMs : undefined),
    calls,
    onGivenUp,
    unavailableReason: (path) =>
      isImageService(path) && imageSocket !== runtimeSocket ? undefined : unavailableText(runtime),
  });
}
