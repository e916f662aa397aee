import { sizeText } from '../disk/assess-disk';
import type { CollectionPolicy } from '../policy/policy';

/** Counts what one collection removes against the policy's limits. */
export class Budget {
  #images = 0;
  #bytes = 0;

  constructor(
    private readonly limits: Pick<CollectionPolicy, 'maxImagesPerRun' | 'maxBytesPerRun'>,
  ) {}

  /**
   * Why one more image of this size is too many; undefined when it may go. The first image always
   * may.
   */
  refuses(sizeBytes: number): string | undefined {
    const { maxImagesPerRun: maxImages, maxBytesPerRun: maxBytes } = this.limits;
    if (this.#images === 0) return undefined;
    if (maxImages > 0 && this.#images >= maxImages) {
      return `one collection removes at most ${maxImages} ${maxImages === 1 ? 'image' : 'images'}`;
    }
    if (maxBytes > 0 && this.#bytes + sizeBytes > maxBytes) {
      return `one collection removes at most ${sizeText(maxBytes)}, ${sizeText(this.#bytes)} are taken`;
    }
    return undefined;
  }

  spend(sizeBytes: number): void {
    this.#images += 1;
    this.#bytes += sizeBytes;
  }

  /** The image stays after all. */
  giveBack(sizeBytes: number): void {
    this.#images -= 1;
    this.#bytes -= sizeBytes;
  }
}
