import { errorMessage } from '@stowage/errors';
import type { Runtime, ListedImage } from '../runtime/runtime';

export interface ImageListParts {
  readonly runtime: Pick<Runtime, 'listImages'>;
  readonly metrics: { imagesListed(count: number, at: number): void };
  readonly log: { warn(fields: object, message: string): void };
  readonly now: () => number;
}

/** An image as kubelet puts it into the node's status. */
export interface NodeImage {
  readonly names: readonly string[];
  readonly sizeBytes: number;
}

/** Names of one image in the node's status at most, as kubelet has it. */
const maxNames = 5;

/**
 * The runtime's images, asked for every 30 s as kubelet does for the node's status: largest first, ids downwards between equals. When the
 * runtime does not answer the old list stays.
 */
export class ImageList {
  private images: readonly ListedImage[] = [];
  private listedAt: number | undefined;
  private problem: string | undefined;

  constructor(private readonly parts: ImageListParts) {}

  /** Asks again. True when images came or went since the last answer. Never throws. */
  async refresh({ signal }: { signal: AbortSignal }): Promise<boolean> {
    const { runtime, metrics, log, now } = this.parts;
    try {
      const listed = [...(await runtime.listImages({ signal }))].sort(
        (a, b) => b.sizeBytes - a.sizeBytes || (a.imageId < b.imageId ? 1 : -1),
      );
      const before = new Set(this.images.map(({ imageId }) => imageId));
      const isFirst = this.listedAt === undefined;
      const isSame =
        before.size === listed.length && listed.every(({ imageId }) => before.has(imageId));
      this.images = listed;
      this.listedAt = now();
      this.problem = undefined;
      metrics.imagesListed(listed.length, this.listedAt);
      return !isFirst && !isSame;
    } catch (error) {
      const reason = errorMessage(error);
      if (!signal.aborted && reason !== this.problem)
        log.warn({ reason }, 'image list not renewed');
      this.problem = reason;
      return false;
    }
  }

  /** When the list was true; undefined before the first answer. */
  at(): number | undefined {
    return this.listedAt;
  }

  /** The largest images with up to five names each, digests before tags; `maxImages` -1 = all. */
  nodeImages(maxImages: number): NodeImage[] {
    const images = maxImages < 0 ? this.images : this.images.slice(0, maxImages);
    return images.map(({ repoDigests, repoTags, sizeBytes }) => ({
      names: [...repoDigests, ...repoTags].slice(0, maxNames),
      sizeBytes,
    }));
  }
}
