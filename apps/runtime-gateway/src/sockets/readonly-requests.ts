import { readStrictly, type MessageShape } from '@stowage/cri-endpoint';
import {
  ContainerStatsRequest,
  ContainerStatusRequest,
  GetEventsRequest,
  ImageFsInfoRequest,
  ImageStatusRequest,
  ListContainerStatsRequest,
  ListContainersRequest,
  ListImagesRequest,
  ListMetricDescriptorsRequest,
  ListPodSandboxMetricsRequest,
  ListPodSandboxRequest,
  ListPodSandboxStatsRequest,
  PodSandboxStatsRequest,
  PodSandboxStatusRequest,
  RuntimeConfigRequest,
  StatusRequest,
  StreamContainersRequest,
  StreamContainerStatsRequest,
  StreamImagesRequest,
  StreamPodSandboxesRequest,
  StreamPodSandboxMetricsRequest,
  StreamPodSandboxStatsRequest,
  VersionRequest,
} from '@stowage/cri-proto';
import type {
  ContainerFilter,
  ContainerStatsFilter,
  ImageFilter,
  ImageSpec,
  MessageFns,
  PodSandboxFilter,
  PodSandboxStatsFilter,
} from '@stowage/cri-proto';
import { methodPaths, type ServiceName } from '@stowage/cri-proto/paths';

/** A request as it was understood, and what is sent on for it: these fields and no others. */
export interface ReadingRequest {
  /** Whether it asks for what the runtime likes to add; false where the call has no such field. */
  readonly verbose: boolean;
  encode(): Uint8Array;
}

/** Understands the bytes of a request; throws MalformedMessageError. */
type ReadRequest = (bytes: Uint8Array) => ReadingRequest;

function reads<T extends object>(type: MessageFns<T>, shape: MessageShape<T>): ReadRequest {
  return (bytes) => {
    const message = readStrictly(shape, bytes);
    return {
      verbose: 'verbose' in message && message.verbose !== false,
      encode() {
        return type.encode(message).finish();
      },
    };
  };
}

const imageSpec: MessageShape<ImageSpec> = {
  image: [1, 'string'],
  annotations: [2, 'map'],
  userSpecifiedImage: [18, 'string'],
  runtimeHandler: [19, 'string'],
  imageRef: [20, 'string'],
};

const podSandboxFilter: MessageShape<PodSandboxFilter> = {
  id: [1, 'string'],
  state: [2, { state: [1, 'enum'] }],
  labelSelector: [3, 'map'],
};

const containerFilter: MessageShape<ContainerFilter> = {
  id: [1, 'string'],
  state: [2, { state: [1, 'enum'] }],
  podSandboxId: [3, 'string'],
  labelSelector: [4, 'map'],
};

const containerStatsFilter: MessageShape<ContainerStatsFilter> = {
  id: [1, 'string'],
  podSandboxId: [2, 'string'],
  labelSelector: [3, 'map'],
};

const podSandboxStatsFilter: MessageShape<PodSandboxStatsFilter> = {
  id: [1, 'string'],
  labelSelector: [2, 'map'],
};

const imageFilter: MessageShape<ImageFilter> = { image: [1, imageSpec] };

/**
 * Calls that only read: lists, statuses, stats, versions, event streams, metrics. Their requests
 * are read here field by field; a field that is not named here does not reach the runtime.
 */
const readingCalls = {
  RuntimeService: {
    Version: reads(VersionRequest, { version: [1, 'string'] }),
    Status: reads(StatusRequest, { verbose: [1, 'bool'] }),
    PodSandboxStatus: reads(PodSandboxStatusRequest, {
      podSandboxId: [1, 'string'],
      verbose: [2, 'bool'],
    }),
    ListPodSandbox: reads(ListPodSandboxRequest, { filter: [1, podSandboxFilter] }),
    StreamPodSandboxes: reads(StreamPodSandboxesRequest, { filter: [1, podSandboxFilter] }),
    ContainerStatus: reads(ContainerStatusRequest, {
      containerId: [1, 'string'],
      verbose: [2, 'bool'],
    }),
    ListContainers: reads(ListContainersRequest, { filter: [1, containerFilter] }),
    StreamContainers: reads(StreamContainersRequest, { filter: [1, containerFilter] }),
    ContainerStats: reads(ContainerStatsRequest, { containerId: [1, 'string'] }),
    ListContainerStats: reads(ListContainerStatsRequest, { filter: [1, containerStatsFilter] }),
    StreamContainerStats: reads(StreamContainerStatsRequest, { filter: [1, containerStatsFilter] }),
    PodSandboxStats: reads(PodSandboxStatsRequest, { podSandboxId: [1, 'string'] }),
    ListPodSandboxStats: reads(ListPodSandboxStatsRequest, { filter: [1, podSandboxStatsFilter] }),
    StreamPodSandboxStats: reads(StreamPodSandboxStatsRequest, {
      filter: [1, podSandboxStatsFilter],
    }),
    ListMetricDescriptors: reads(ListMetricDescriptorsRequest, {}),
    ListPodSandboxMetrics: reads(ListPodSandboxMetricsRequest, {}),
    StreamPodSandboxMetrics: reads(StreamPodSandboxMetricsRequest, {}),
    GetContainerEvents: reads(GetEventsRequest, {}),
    RuntimeConfig: reads(RuntimeConfigRequest, {}),
  },
  ImageService: {
    ListImages: reads(ListImagesRequest, { filter: [1, imageFilter] }),
    StreamImages: reads(StreamImagesRequest, { filter: [1, imageFilter] }),
    ImageStatus: reads(ImageStatusRequest, { image: [1, imageSpec], verbose: [2, 'bool'] }),
    ImageFsInfo: reads(ImageFsInfoRequest, {}),
  },
} satisfies Record<ServiceName, Record<string, ReadRequest>>;

/**
 * How the requests of each call that the read-only socket knows are read, by path; v1alpha2 is the
 * same on the wire.
 */
export const readingRequests: ReadonlyMap<string, ReadRequest> = new Map(
  (Object.keys(readingCalls) as ServiceName[]).flatMap((service) =>
    Object.entries(readingCalls[service]).flatMap(([name, read]) =>
      methodPaths(service, name).map((path): [string, ReadRequest] => [path, read]),
    ),
  ),
);
