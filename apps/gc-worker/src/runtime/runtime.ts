import type { ImageContent } from '../detect/image-contents';
import type { ContainerUse } from '../detect/image-use';
import type { ListedPod } from '../detect/known-containers';
import type { ListedImage } from '../records/apply-detection';
import type { FileSystemRole } from '../types';

/** Mount points by what the runtime keeps there; empty where it names a file system and not where it is. */
export type Mountpoints = Readonly<Record<FileSystemRole, readonly string[]>>;

/** What the runtime says it holds. */
export interface StoredBytes {
  /** Bytes at each of its mount points, those of images and of containers. */
  readonly byMountpoint: ReadonlyMap<string, number>;
  /** When it looked, the oldest of its looks; milliseconds since the epoch, Infinity where it says nothing of that. */
  readonly takenAt: number;
}

/** The container runtime as the worker needs it. Every call throws what the runtime answered. */
export interface Runtime {
  listImages(options: { signal: AbortSignal }): Promise<ListedImage[]>;
  /** Containers in every state; `imageVolumes` is empty, ask {@link Runtime.imageVolumes}. */
  listContainers(options: { signal: AbortSignal }): Promise<ContainerUse[]>;
  /** Pod sandboxes in every state. */
  listPods(options: { signal: AbortSignal }): Promise<ListedPod[]>;
  /** References of the images a container mounts; undefined when the container is gone. */
  imageVolumes(
    containerId: string,
    options: { signal: AbortSignal },
  ): Promise<readonly string[] | undefined>;
  /** Layers and labels of an image, as far as the runtime tells them; undefined when the image is gone. */
  imageContent(
    imageId: string,
    options: { signal: AbortSignal },
  ): Promise<ImageContent | undefined>;
  /** Reference of the image pods are started with, where the runtime tells it. */
  sandboxImage(options: { signal: AbortSignal }): Promise<string | undefined>;
  /** Mount points of the file systems that hold images and of those that hold containers, in the runtime's order; may be the same. */
  mountpoints(options: { signal: AbortSignal }): Promise<Mountpoints>;
  /** What the runtime says it holds itself; undefined where it does not tell all of that. */
  storedBytes(options: { signal: AbortSignal }): Promise<StoredBytes | undefined>;
  /** What containers wrote on top of their images, in bytes by mount point; undefined where the runtime does not tell all of that. */
  writableLayers(options: {
    signal: AbortSignal;
  }): Promise<ReadonlyMap<string, number> | undefined>;
  /** Removes an image with all its tags; success when it is gone already. The answer alone: the list says whether it went. */
  removeImage(imageId: string, options: { signal: AbortSignal }): Promise<void>;
}
