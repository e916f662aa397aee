/** Who uses an image: a container in any state, or a container that mounts it as an image volume. */
export interface ImageUser {
  readonly as: 'container' | 'image-volume';
  readonly containerId: string;
  readonly containerName?: string;
  readonly podNamespace?: string;
  readonly podName?: string;
  /** The runtime does not list the container any more, but its removal was not seen: it may come back. */
  readonly isMissing?: true;
}

/** What a pull by image-service took. */
export interface PullFacts {
  /** Time in the runtime. */
  readonly durationMs: number;
  /** Size the runtime reported then; null when it did not. */
  readonly sizeBytes: number | null;
}

/**
 * What the runtime keeps on a file system: images (and perhaps containers too), or containers' writable layers alone. Removing
 * images frees nothing on the second.
 */
export type FileSystemRole = 'image' | 'container';

/** A mark that is exceeded, and since when (ms since the epoch). */
export interface ExceededMark {
  readonly mountpoint: string;
  readonly role: FileSystemRole;
  readonly resource: 'bytes' | 'inodes';
  readonly level: 'warning' | 'high' | 'critical';
  readonly since: number;
}

/** Which mark of which file system. */
export type MarkKey = Pick<ExceededMark, 'mountpoint' | 'resource' | 'level'>;

/** What is remembered of an image, over restarts. Times are milliseconds since the epoch. */
export interface ImageRecord {
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
  /** Time of the detection that found it first; null = longer than anybody remembers (kubelet's zero time). */
  readonly firstDetected: number | null;
  /** Time of the last detection or event that saw it in use; null = never. */
  readonly lastUsed: number | null;
  /** Who used it at the last detection; empty = nobody. */
  readonly usedBy: readonly ImageUser[];
  /** Namespaces of the pods that use it or have used it since it is known; absent = none. */
  readonly namespaces?: readonly string[];
  /** What its last pull by image-service took; absent when others pulled it. */
  readonly pulled?: PullFacts;
}

/** A reason to keep an image that is neither in use nor pinned by the runtime. */
export type Protection =
  | { readonly rule: 'sandbox-image'; readonly reference: string }
  | { readonly rule: 'exempt'; readonly pattern: string }
  | { readonly rule: 'pull-in-progress'; readonly reference: string; readonly since: number }
  | { readonly rule: 'container-creating'; readonly reference: string; readonly since: number }
  | { readonly rule: 'held'; readonly until: number }
  /** Who uses it cannot be known now. */
  | { readonly rule: 'use-unknown'; readonly reason: string };

/** An image as the planner looks at it. */
export interface PlanImage extends ImageRecord {
  readonly protections?: readonly Protection[];
  /** Digests of its unpacked layers, lowest first; absent where the runtime does not tell. */
  readonly layers?: readonly string[];
}
