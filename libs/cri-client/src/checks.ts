import type {
  ContainerStatus,
  ImageStatusRequest,
  ImageStatusResponse,
  PodSandboxMetadata,
  PodSandboxStatus,
  ContainerMetadata,
  StatusResponse,
  VersionResponse,
} from '@stowage/cri-proto';
import { ResponseInvalidError } from '@stowage/errors';
import { quoteGo } from './go-text';

/**
 * Kubelet's checks of responses, with its texts. Each throws ResponseInvalidError for the first
 * problem.
 */

export function checkVersion(response: VersionResponse): void {
  const missing = [
    response.version === '' ? 'Version' : '',
    response.runtimeName === '' ? 'RuntimeName' : '',
    response.runtimeApiVersion === '' ? 'RuntimeApiVersion' : '',
    response.runtimeVersion === '' ? 'RuntimeVersion' : '',
  ].filter((name) => name !== '');
  if (missing.length > 0) {
    throw invalid(
      'Version',
      `not all fields are set in VersionResponse (missing ${missing.join(', ')})`,
    );
  }
}

/** Checks only the number of conditions, as kubelet does, not their types. */
export function checkStatus(response: StatusResponse): void {
  if (response.status === undefined || response.status.conditions.length < 2) {
    throw invalid('Status', 'RuntimeReady or NetworkReady condition are not set');
  }
}

export function checkPodSandboxId(
  podSandboxId: string,
  metadata: PodSandboxMetadata | undefined,
): void {
  if (podSandboxId !== '') return;
  throw invalid(
    'RunPodSandbox',
    `PodSandboxId is not set for sandbox ${quoteGo(sandboxMetadataText(metadata))}`,
  );
}

export function checkContainerId(
  containerId: string,
  metadata: ContainerMetadata | undefined,
): void {
  if (containerId !== '') return;
  throw invalid(
    'CreateContainer',
    `ContainerId is not set for container ${quoteGo(containerMetadataText(metadata))}`,
  );
}

/** No status at all is fine. */
export function checkPodSandboxStatus(status: PodSandboxStatus | undefined): void {
  if (status === undefined) return;
  const fail = (problem: string) => invalid('PodSandboxStatus', problem);
  if (status.id === '') throw fail('status.Id is not set');
  if (status.metadata === undefined) throw fail('status.Metadata is not set');
  const { name, namespace, uid } = status.metadata;
  if (name === '' || namespace === '' || uid === '') {
    const metadata = quoteGo(sandboxMetadataText(status.metadata));
    throw fail(`metadata.Name, metadata.Namespace or metadata.Uid is not in metadata ${metadata}`);
  }
  if (status.createdAt === 0n) throw fail('status.CreatedAt is not set');
}

/** No status at all is fine. */
export function checkContainerStatus(status: ContainerStatus | undefined): void {
  if (status === undefined) return;
  const fail = (problem: string) => invalid('ContainerStatus', problem);
  if (status.id === '') throw fail('status.Id is not set');
  if (status.metadata === undefined) throw fail('status.Metadata is not set');
  if (status.metadata.name === '') {
    const metadata = quoteGo(containerMetadataText(status.metadata));
    throw fail(`metadata.Name is not in metadata ${metadata}`);
  }
  if (status.createdAt === 0n) throw fail('status.CreatedAt is not set');
  if (status.image === undefined || status.image.image === '')
    throw fail('status.Image is not set');
  if (status.imageRef === '') throw fail('status.ImageRef is not set');
}

/** No image at all is fine: it is absent. */
export function checkImageStatus(response: ImageStatusResponse, request: ImageStatusRequest): void {
  if (response.image === undefined) return;
  if (response.image.id === '' || response.image.size === 0n) {
    const image = quoteGo(request.image?.image ?? '');
    throw invalid('ImageStatus', `Id or size of image ${image} is not set`);
  }
}

export function checkImageRef(imageRef: string, image: string): void {
  if (imageRef === '') throw invalid('PullImage', `imageRef of image ${quoteGo(image)} is not set`);
}

/** For Exec, Attach and PortForward. */
export function checkUrl(method: string, url: string): void {
  if (url === '') throw invalid(method, 'URL is not set');
}

function invalid(method: string, problem: string): ResponseInvalidError {
  return new ResponseInvalidError(method, problem);
}

function sandboxMetadataText(metadata: PodSandboxMetadata | undefined): string {
  if (metadata === undefined) return 'nil';
  const { name, uid, namespace, attempt } = metadata;
  return `&PodSandboxMetadata{Name:${name},Uid:${uid},Namespace:${namespace},Attempt:${attempt},}`;
}

function containerMetadataText(metadata: ContainerMetadata | undefined): string {
  if (metadata === undefined) return 'nil';
  return `&ContainerMetadata{Name:${metadata.name},Attempt:${metadata.attempt},}`;
}
