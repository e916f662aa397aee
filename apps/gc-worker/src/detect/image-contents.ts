import type { Runtime, ListedImage, ImageContent } from '../runtime/runtime';

/** Calls to the runtime at once. */
const callsAtOnce = 8;

/**
 * Layers and labels of images. An image id stands for its content, so each image is asked for once; what could not be asked is
 * asked again next time. Equal layer digests are kept as one text.
 */
export class ImageContents {
  private readonly known = new Map<string, ImageContent>();
  private readonly texts = new Map<string, string>();

  constructor(private readonly runtime: Pick<Runtime, 'imageContent'>) {}

  /** What is known of an image; undefined before it could be asked. */
  of(imageId: string): ImageContent | undefined {
    return this.known.get(imageId);
  }

  /** Asks for images not known yet, at most so many, and forgets those that are gone. Returns the number of failed calls. */
  async learn(
    images: readonly Pick<ListedImage, 'imageId'>[],
    { atMost, signal }: { atMost: number; signal: AbortSignal },
  ): Promise<number> {
    this.forgetAllBut(images);
    const queue = images
      .filter(({ imageId }) => !this.known.has(imageId))
      .slice(0, atMost)
      .reverse();
    let failures = 0;
    const ask = async () => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        if (!(await this.ask(next.imageId, signal))) failures += 1;
      }
    };
    await Promise.all(Array.from({ length: Math.min(callsAtOnce, queue.length) }, ask));
    return failures;
  }

  private async ask(imageId: string, signal: AbortSignal): Promise<boolean> {
    try {
      const content = await this.runtime.imageContent(imageId, { signal });
      // Gone in between: there is nothing to know.
      if (content === undefined) return true;
      const { layers, labels } = content;
      this.known.set(imageId, {
        ...(layers === undefined ? {} : { layers: layers.map((layer) => this.shared(layer)) }),
        ...(labels === undefined ? {} : { labels }),
      });
      return true;
    } catch {
      return false;
    }
  }

  private shared(text: string): string {
    const known = this.texts.get(text);
    if (known !== undefined) return known;
    this.texts.set(text, text);
    return text;
  }

  private forgetAllBut(images: readonly Pick<ListedImage, 'imageId'>[]): void {
    // Nothing can have gone for good while no more are known than there are.
    if (this.known.size <= images.length) return;
    const ids = new Set(images.map(({ imageId }) => imageId));
    let isForgotten = false;
    for (const imageId of this.known.keys()) {
      if (ids.has(imageId)) continue;
      this.known.delete(imageId);
      isForgotten = true;
    }
    if (!isForgotten) return;
    this.texts.clear();
    for (const { layers = [] } of this.known.values()) {
      for (const layer of layers) this.texts.set(layer, layer);
    }
  }
}
