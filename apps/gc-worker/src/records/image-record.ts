import type { ListedImage } from '../runtime/runtime';

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

/** What is remembered of an image, over restarts. Times are milliseconds since the epoch. */
export interface ImageRecord extends ListedImage {
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
