import type { RequestCheck } from '@stowage/cri-endpoint';
import {
  ContainerStatusRequest,
  ImageStatusRequest,
  PodSandboxStatusRequest,
  StatusRequest,
} from '@stowage/cri-proto';
import { InvalidArgumentError, PermissionDeniedError } from '@stowage/errors';

/** Calls that tell and change nothing: lists, statuses, stats, versions, event streams, metrics. */
const readingCalls: Readonly<Record<string, readonly string[]>> = {
  RuntimeService: [
    'Version',
    'Status',
    'PodSandboxStatus',
    'ListPodSandbox',
    'StreamPodSandboxes',
    'ContainerStatus',
    'ListContainers',
    'StreamContainers',
    'ContainerStats',
    'ListContainerStats',
    'StreamContainerStats',
    'PodSandboxStats',
    'ListPodSandboxStats',
    'StreamPodSandboxStats',
    'ListMetricDescriptors',
    'ListPodSandboxMetrics',
    'StreamPodSandboxMetrics',
    'GetContainerEvents',
  ],
  ImageService: ['ListImages', 'StreamImages', 'ImageStatus', 'ImageFsInfo'],
};

interface VerboseRequest {
  readonly name: string;
  decode(bytes: Uint8Array): { readonly verbose: boolean };
}

/**
 * Answers with `verbose` carry what the runtime likes to add: environment variables of containers and images, its own
 * configuration with the credentials in it.
 */
const verboseRequests: Readonly<Record<string, VerboseRequest>> = {
  Status: { name: 'StatusRequest', decode: (bytes) => StatusRequest.decode(bytes) },
  PodSandboxStatus: {
    name: 'PodSandboxStatusRequest',
    decode: (bytes) => PodSandboxStatusRequest.decode(bytes),
  },
  ContainerStatus: {
    name: 'ContainerStatusRequest',
    decode: (bytes) => ContainerStatusRequest.decode(bytes),
  },
  ImageStatus: { name: 'ImageStatusRequest', decode: (bytes) => ImageStatusRequest.decode(bytes) },
};

const byPath: ReadonlyMap<string, string> = new Map(
  Object.entries(readingCalls).flatMap(([service, names]) =>
    names.flatMap((name) =>
      ['v1', 'v1alpha2'].map((version): [string, string] => [
        `/runtime.${version}.${service}/${name}`,
        name,
      ]),
    ),
  ),
);

/** Longest part of a path that is repeated to the client. */
const maxNamedChars = 200;

/**
 * Whether the read-only socket forwards a call, by its path: throws PermissionDeniedError for calls that change something
 * and for all that are not known; returns a check of the request where `verbose` decides.
 */
export function readonlyVerdict(
  path: string,
  { verboseAllowed }: { readonly verboseAllowed: boolean },
): RequestCheck | undefined {
  const name = byPath.get(path);
  if (name === undefined) {
    throw new PermissionDeniedError(path.slice(0, maxNamedChars), 'this socket is read-only');
  }
  const request = verboseAllowed ? undefined : verboseRequests[name];
  return request && ((bytes) => refuseVerbose(path, request, bytes));
}

function refuseVerbose(path: string, request: VerboseRequest, bytes: Uint8Array): void {
  let verbose;
  try {
    ({ verbose } = request.decode(bytes));
  } catch (cause) {
    throw new InvalidArgumentError(
      'request',
      `${bytes.length} bytes`,
      `a ${request.name} message`,
      {
        cause,
      },
    );
  }
  if (verbose) {
    throw new PermissionDeniedError(
      `${path} with verbose`,
      'this socket is read-only and readonlyVerbose is off',
    );
  }
}
