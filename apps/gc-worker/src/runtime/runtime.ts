/** An image as the runtime lists it. */
export interface ListedImage {
  /** The runtime's `Image.id`. */
  readonly imageId: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  /** Size the runtime reports; layers shared with other images count in full. */
  readonly sizeBytes: number;
  /** The runtime asks to keep it. */
  readonly pinned: boolean;
  /** Runtime handler, where the runtime keeps images per handler; else empty. */
  readonly runtimeHandler: string;
}

/** What an image consists of, as far as the runtime reports. */
export interface ImageContent {
  /** Digests of its unpacked layers, lowest first. */
  readonly layers?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

/** A container in any state, with every name that the runtime reports for its image. */
export interface ContainerUse {
  readonly containerId: string;
  /**
   * `Container.image_id`; empty where the runtime has no such field (CRI before Kubernetes 1.30).
   */
  readonly imageId: string;
  /** `Container.image_ref`: an id, or a digested reference. */
  readonly imageRef: string;
  /** `Container.image.image` and `user_specified_image`: what it was created with. */
  readonly imageNames: readonly string[];
  /** References of the images it mounts as volumes. */
  readonly imageVolumes: readonly string[];
  readonly containerName?: string;
  readonly podNamespace?: string;
  readonly podName?: string;
}

/** A pod sandbox as the runtime lists it. */
export interface ListedPod {
  readonly podNamespace?: string;
  readonly podName?: string;
  /** It runs, so some container of it should be there. */
  readonly isReady: boolean;
}

/**
 * What the runtime keeps on a file system: images (and perhaps containers too), or containers'
 * writable layers alone. Removing images frees nothing on the second.
 */
export type FileSystemRole = 'image' | 'container';

/** Mount points by what the runtime keeps there; '' for a file system without a mount point. */
export type Mountpoints = Readonly<Record<FileSystemRole, readonly string[]>>;

/** What the runtime reports to hold. */
export interface RuntimeUsage {
  /** Bytes at each of its mount points, those of images and of containers. */
  readonly byMountpoint: ReadonlyMap<string, number>;
  /**
   * When that was sampled, at its oldest; milliseconds since the epoch, Infinity where the runtime
   * does not report it.
   */
  readonly sampledAt: number;
}

/** The container runtime as the worker needs it. Every call throws what the runtime answered. */
export interface Runtime {
  listImages(options: { signal: AbortSignal }): Promise<ListedImage[]>;
  /** One image under the names that it has now; undefined when it is gone. */
  findImage(imageId: string, options: { signal: AbortSignal }): Promise<ListedImage | undefined>;
  /** Containers in every state; `imageVolumes` is empty, ask {@link Runtime.imageVolumes}. */
  listContainers(options: { signal: AbortSignal }): Promise<ContainerUse[]>;
  /** Pod sandboxes in every state. */
  listPods(options: { signal: AbortSignal }): Promise<ListedPod[]>;
  /** References of the images a container mounts; undefined when the container is gone. */
  imageVolumes(
    containerId: string,
    options: { signal: AbortSignal },
  ): Promise<readonly string[] | undefined>;
  /**
   * Layers and labels of an image, as far as the runtime reports them; undefined when it is gone.
   */
  imageContent(
    imageId: string,
    options: { signal: AbortSignal },
  ): Promise<ImageContent | undefined>;
  /** Reference of the image that pods are started with, where the runtime reports it. */
  sandboxImage(options: { signal: AbortSignal }): Promise<string | undefined>;
  /**
   * Mount points of the file systems that hold images and of those that hold containers, in the
   * runtime's order; may be the same.
   */
  mountpoints(options: { signal: AbortSignal }): Promise<Mountpoints>;
  /** What the runtime reports to hold itself; undefined where it does not report all of it. */
  usage(options: { signal: AbortSignal }): Promise<RuntimeUsage | undefined>;
  /**
   * What containers wrote on top of their images, in bytes by mount point; undefined where the
   * runtime does not report all of it.
   */
  writableLayers(options: {
    signal: AbortSignal;
  }): Promise<ReadonlyMap<string, number> | undefined>;
  /**
   * Removes an image with all its tags; success when it is gone already. That is the answer alone:
   * the list shows whether the image is gone.
   */
  removeImage(imageId: string, options: { signal: AbortSignal }): Promise<void>;
}
