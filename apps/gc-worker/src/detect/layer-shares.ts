import type { PlanImage } from '../policy/keep-rules';

type Sized = Pick<PlanImage, 'imageId' | 'sizeBytes' | 'layers'>;

/** What the removal of one image frees. */
export interface Share {
  readonly bytes: number;
  /** True where the runtime does not tell enough to count shared layers exactly. */
  readonly isEstimate: boolean;
}

/** The layers of some images up to a certain one: what a chain of layers that begins at the bottom has in common. */
interface Chain {
  readonly parent: Chain | undefined;
  readonly above: Map<string, Chain>;
  /** Images that remain and have this chain at their bottom. */
  users: number;
  /** Size of an image that consists of exactly this chain; undefined where there never was one. */
  sizeBytes: number | undefined;
}

const newChain = (parent: Chain | undefined): Chain => ({
  parent,
  above: new Map(),
  users: 0,
  sizeBytes: undefined,
});

/**
 * Counts layers that images share once. The runtime tells which layers an image has, not how large each is: the size of a shared
 * chain is known where an image consists of just that chain (a base image that is still there), else it is an estimate that is too high.
 */
export class LayerShares {
  private readonly root = newChain(undefined);
  private readonly tops = new Map<string, Chain>();

  constructor(images: readonly Sized[]) {
    for (const { imageId, sizeBytes, layers } of images) {
      if (layers === undefined) continue;
      let chain = this.root;
      for (const layer of layers) {
        let next = chain.above.get(layer);
        if (next === undefined) {
          next = newChain(chain);
          chain.above.set(layer, next);
        }
        next.users += 1;
        chain = next;
      }
      chain.sizeBytes = Math.max(chain.sizeBytes ?? 0, sizeBytes);
      this.tops.set(imageId, chain);
    }
  }

  /** What removal of the image frees while the others that are not removed yet remain. */
  share({ imageId, sizeBytes }: Sized): Share {
    const top = this.tops.get(imageId);
    if (top === undefined) return { bytes: sizeBytes, isEstimate: true };
    let shared: Chain | undefined = top;
    while (shared !== undefined && shared !== this.root && shared.users <= 1) {
      shared = shared.parent;
    }
    if (shared === undefined || shared === this.root)
      return { bytes: sizeBytes, isEstimate: false };
    let known: Chain | undefined = shared;
    while (known !== undefined && known.sizeBytes === undefined) known = known.parent;
    return {
      bytes: Math.max(0, sizeBytes - (known?.sizeBytes ?? 0)),
      isEstimate: known !== shared,
    };
  }

  /** The image goes: what only it shared with one other is now that one's alone. */
  remove({ imageId }: Sized): void {
    for (let chain = this.tops.get(imageId); chain !== undefined; chain = chain.parent) {
      chain.users -= 1;
    }
    this.tops.delete(imageId);
  }
}

/** Bytes that all these images hold together, shared layers counted once as far as they are known. */
export function togetherBytes(images: readonly Sized[]): number {
  const shares = new LayerShares(images);
  let sum = 0;
  for (const image of images) {
    sum += shares.share(image).bytes;
    shares.remove(image);
  }
  return sum;
}
