import type { ImageServiceClient, RuntimeServiceClient } from '@stowage/cri-client';
import { toGrpcStatus } from '@stowage/errors';
import type { ContainerUse } from './image-use';
import type { ListedImage } from './records/apply-detection';
import type { Runtime } from './runtime';

/** Labels by which kubelet marks its containers. */
const labels = {
  containerName: 'io.kubernetes.container.name',
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
} as const;

/** The runtime over CRI. */
export class CriRuntime implements Runtime {
  constructor(
    private readonly runtime: Pick<
      RuntimeServiceClient,
      'listContainers' | 'containerStatus' | 'status'
    >,
    private readonly image: Pick<ImageServiceClient, 'listImages' | 'imageFsInfo' | 'removeImage'>,
  ) {}

  async listImages(options: { signal: AbortSignal }): Promise<ListedImage[]> {
    const { images } = await this.image.listImages({}, options);
    return images.map((image) => ({
      imageId: image.id,
      repoTags: image.repoTags,
      repoDigests: image.repoDigests,
      sizeBytes: Number(image.size),
      pinned: image.pinned,
      runtimeHandler: image.spec?.runtimeHandler ?? '',
    }));
  }

  async listContainers(options: { signal: AbortSignal }): Promise<ContainerUse[]> {
    const { containers } = await this.runtime.listContainers({}, options);
    return containers.map((container) => ({
      containerId: container.id,
      imageId: container.imageId,
      imageRef: container.imageRef,
      imageNames: [container.image?.image, container.image?.userSpecifiedImage].filter(
        (name) => name !== undefined && name !== '',
      ) as string[],
      imageVolumes: [],
      containerName: container.metadata?.name ?? container.labels[labels.containerName],
      podNamespace: container.labels[labels.podNamespace],
      podName: container.labels[labels.podName],
    }));
  }

  async imageVolumes(
    containerId: string,
    options: { signal: AbortSignal },
  ): Promise<readonly string[] | undefined> {
    try {
      const { status } = await this.runtime.containerStatus({ containerId }, options);
      return (status?.mounts ?? [])
        .map((mount) => mount.image?.image ?? '')
        .filter((reference) => reference !== '');
    } catch (error) {
      if (toGrpcStatus(error).name === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  async sandboxImage(options: { signal: AbortSignal }): Promise<string | undefined> {
    const { info } = await this.runtime.status({ verbose: true }, options);
    return sandboxImageOf(info.config);
  }

  async imageFileSystems(options: { signal: AbortSignal }): Promise<string[]> {
    const { imageFilesystems } = await this.image.imageFsInfo({}, options);
    return imageFilesystems
      .map(({ fsId }) => fsId?.mountpoint ?? '')
      .filter((mountpoint) => mountpoint !== '');
  }

  async removeImage(imageId: string, options: { signal: AbortSignal }): Promise<void> {
    await this.image.removeImage({ image: { image: imageId } }, options);
  }
}

/**
 * Reference of the sandbox image in the verbose status of a runtime: `sandboxImage` of containerd 1, `pinnedImages.sandbox` of
 * containerd 2. Others have no common place for it.
 */
export function sandboxImageOf(configJson: string | undefined): string | undefined {
  if (configJson === undefined) return undefined;
  let config: unknown;
  try {
    config = JSON.parse(configJson);
  } catch {
    return undefined;
  }
  const { sandboxImage, pinnedImages } = (config ?? {}) as {
    sandboxImage?: unknown;
    pinnedImages?: { sandbox?: unknown } | null;
  };
  const found = sandboxImage ?? pinnedImages?.sandbox;
  return typeof found === 'string' && found !== '' ? found : undefined;
}
