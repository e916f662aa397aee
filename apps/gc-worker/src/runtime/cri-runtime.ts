import type { ImageServiceClient, RuntimeServiceClient } from '@stowage/cri-client';
import { PodSandboxState, type FilesystemUsage, type Image } from '@stowage/cri-proto';
import { toGrpcStatus } from '@stowage/errors';
import type {
  Mountpoints,
  Runtime,
  RuntimeUsage,
  ImageContent,
  ContainerUse,
  ListedPod,
  ListedImage,
} from './runtime';

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
      'listContainers' | 'listContainerStats' | 'listPodSandbox' | 'containerStatus' | 'status'
    >,
    private readonly image: Pick<
      ImageServiceClient,
      'listImages' | 'imageFsInfo' | 'removeImage' | 'imageStatus'
    >,
  ) {}

  async listImages(options: { signal: AbortSignal }): Promise<ListedImage[]> {
    const { images } = await this.image.listImages({}, options);
    // Without an id it can be neither identified nor removed.
    const named = images.filter(({ id }) => id !== '');
    return named.map(listedImage);
  }

  async findImage(
    imageId: string,
    options: { signal: AbortSignal },
  ): Promise<ListedImage | undefined> {
    const { image } = await this.image.imageStatus({ image: { image: imageId } }, options);
    return image && listedImage(image);
  }

  async listContainers(options: { signal: AbortSignal }): Promise<ContainerUse[]> {
    const { containers } = await this.runtime.listContainers({}, options);
    // kubelet labels its containers; for others only the sandbox names the pod.
    const isUnlabelled = containers.some((container) => !(labels.podNamespace in container.labels));
    const { items } = isUnlabelled ? await this.runtime.listPodSandbox({}, options) : { items: [] };
    const pods = new Map(items.map(({ id, metadata }) => [id, metadata]));
    return containers.map((container) => ({
      containerId: container.id,
      imageId: container.imageId,
      imageRef: container.imageRef,
      imageNames: [container.image?.image, container.image?.userSpecifiedImage].filter(
        (name) => name !== undefined && name !== '',
      ) as string[],
      imageVolumes: [],
      containerName: container.metadata?.name ?? container.labels[labels.containerName],
      podNamespace:
        container.labels[labels.podNamespace] ?? pods.get(container.podSandboxId)?.namespace,
      podName: container.labels[labels.podName] ?? pods.get(container.podSandboxId)?.name,
    }));
  }

  async listPods(options: { signal: AbortSignal }): Promise<ListedPod[]> {
    const { items } = await this.runtime.listPodSandbox({}, options);
    return items.map(({ metadata, state }) => ({
      podNamespace: metadata?.namespace,
      podName: metadata?.name,
      isReady: state === PodSandboxState.SANDBOX_READY,
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

  async imageContent(
    imageId: string,
    options: { signal: AbortSignal },
  ): Promise<ImageContent | undefined> {
    const { image, info } = await this.image.imageStatus(
      { image: { image: imageId }, verbose: true },
      options,
    );
    return image === undefined ? undefined : contentOf(info.info);
  }

  async sandboxImage(options: { signal: AbortSignal }): Promise<string | undefined> {
    const { info } = await this.runtime.status({ verbose: true }, options);
    return sandboxImageOf(info.config);
  }

  async mountpoints(options: { signal: AbortSignal }): Promise<Mountpoints> {
    const { imageFilesystems, containerFilesystems } = await this.image.imageFsInfo({}, options);
    return {
      image: mountpointsOf(imageFilesystems),
      container: mountpointsOf(containerFilesystems),
    };
  }

  async usage(options: { signal: AbortSignal }): Promise<RuntimeUsage | undefined> {
    const { imageFilesystems, containerFilesystems } = await this.image.imageFsInfo({}, options);
    const byMountpoint = new Map<string, number>();
    let sampledAt = Infinity;
    for (const { fsId, usedBytes, timestamp } of [...imageFilesystems, ...containerFilesystems]) {
      const mountpoint = fsId?.mountpoint ?? '';
      if (usedBytes === undefined || mountpoint === '') return undefined;
      // One store that is named for images and for containers counts once.
      const known = byMountpoint.get(mountpoint) ?? 0;
      byMountpoint.set(mountpoint, Math.max(known, sizeOf(usedBytes.value)));
      if (timestamp > 0n) sampledAt = Math.min(sampledAt, Number(timestamp / 1_000_000n));
    }
    return byMountpoint.size === 0 ? undefined : { byMountpoint, sampledAt };
  }

  async writableLayers(options: {
    signal: AbortSignal;
  }): Promise<ReadonlyMap<string, number> | undefined> {
    const { stats } = await this.runtime.listContainerStats({}, options);
    const byMountpoint = new Map<string, number>();
    for (const { writableLayer } of stats) {
      const mountpoint = writableLayer?.fsId?.mountpoint ?? '';
      if (writableLayer?.usedBytes === undefined || mountpoint === '') return undefined;
      const known = byMountpoint.get(mountpoint) ?? 0;
      byMountpoint.set(mountpoint, known + sizeOf(writableLayer.usedBytes.value));
    }
    return byMountpoint;
  }

  async removeImage(imageId: string, options: { signal: AbortSignal }): Promise<void> {
    try {
      await this.image.removeImage({ image: { image: imageId } }, options);
    } catch (error) {
      if (toGrpcStatus(error).name !== 'NOT_FOUND') throw error;
    }
  }
}

const listedImage = (image: Image): ListedImage => ({
  imageId: image.id,
  repoTags: image.repoTags,
  repoDigests: image.repoDigests,
  sizeBytes: sizeOf(image.size),
  pinned: image.pinned,
  runtimeHandler: image.spec?.runtimeHandler ?? '',
});

/**
 * More than a pebibyte is no size of an image or a store, but a number that overflowed or is
 * negative (all are unsigned in CRI).
 */
const maxSizeBytes = 2n ** 50n;

/**
 * Bytes that the runtime reports; 0 for what cannot be a size. So sums stay whole numbers, and
 * records and events can hold them.
 */
const sizeOf = (bytes: bigint): number => (bytes < 0n || bytes > maxSizeBytes ? 0 : Number(bytes));

const mountpointsOf = (filesystems: readonly FilesystemUsage[]): string[] =>
  filesystems.map(({ fsId }) => fsId?.mountpoint ?? '');

/**
 * Reference of the sandbox image in the verbose status of a runtime: `sandboxImage` of containerd
 * 1, `pinnedImages.sandbox` of containerd 2. Others have no common place for it.
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

/**
 * Layers and labels in the verbose status of an image (`info.imageSpec` of containerd and CRI-O, an
 * OCI image configuration). Takes nothing else from it: environment variables stand there too.
 */
export function contentOf(infoJson: string | undefined): ImageContent {
  const spec = objectIn(parsedObject(infoJson), 'imageSpec');
  const layers = objectIn(spec, 'rootfs')?.diff_ids;
  const labels = objectIn(objectIn(spec, 'config'), 'Labels');
  const isTexts = Array.isArray(layers) && layers.every((layer) => typeof layer === 'string');
  return {
    ...(isTexts && layers.length > 0 ? { layers: layers } : {}),
    labels:
      spec === undefined
        ? undefined
        : (Object.fromEntries(
            Object.entries(labels ?? {}).filter(([, value]) => typeof value === 'string'),
          ) as Record<string, string>),
  };
}

function parsedObject(json: string | undefined): Record<string, unknown> | undefined {
  if (json === undefined) return undefined;
  try {
    return asObject(JSON.parse(json));
  } catch {
    return undefined;
  }
}

const asObject = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value != null ? (value as Record<string, unknown>) : undefined;

const objectIn = (
  parent: Record<string, unknown> | undefined,
  key: string,
): Record<string, unknown> | undefined => asObject(parent?.[key]);
