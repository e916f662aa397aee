import { AsyncResource } from 'node:async_hooks';

export interface PendingRemovalsParts<T> {
  /** Ids of the images that the runtime lists now. */
  readonly listedIds: () => Promise<ReadonlySet<string>>;
  /** These images are gone, in the order of their removals. Must not throw. */
  readonly gone: (removals: readonly T[]) => void;
  /** Why it could not be seen whether removals took effect; their answers then count. */
  readonly failed: (error: unknown) => void;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsedMs: () => number;
}

/** Removals are looked at together, this long after the first of them. */
const withinMs = 200;

/** A look takes this share of the time at most, so that a long list does not slow a collection. */
const largestShare = 0.1;

/**
 * Removals that the runtime answered with success. An image counts as removed when the runtime does not list it any more: runtimes answer
 * so for images that stay, too. One list serves all removals since the one before. One by one the list, the writes and the event
 * would take as long as the removal. Where the list cannot be had the answer counts.
 */
export class PendingRemovals<T> {
  private readonly pending = new Map<string, T>();
  private readonly stayed = new Set<string>();
  /** The look that is to come, in the trace of the first removal that it is for. */
  private next: { readonly timer: NodeJS.Timeout; readonly look: () => void } | undefined;
  /** Looks run one after the other. */
  private looking: Promise<void> = Promise.resolve();
  private lookMs = 0;

  constructor(private readonly parts: PendingRemovalsParts<T>) {}

  add(imageId: string, removal: T): void {
    this.pending.set(imageId, removal);
    if (this.next !== undefined) return;
    const look = AsyncResource.bind(() => {
      this.next = undefined;
      this.looking = this.looking.then(AsyncResource.bind(() => this.look()));
    });
    const inMs = Math.max(withinMs, this.lookMs / largestShare);
    this.next = { look, timer: setTimeout(look, inMs) };
  }

  /** Looks at what is pending now. Resolves with the ids of all images found to have stayed since it was last asked. */
  async settle(): Promise<ReadonlySet<string>> {
    clearTimeout(this.next?.timer);
    this.next?.look();
    await this.looking;
    const stayed = new Set(this.stayed);
    this.stayed.clear();
    return stayed;
  }

  /** Somebody saw the image come back: what is pending of it did take effect. */
  cameBack(imageId: string): void {
    const removal = this.pending.get(imageId);
    if (removal === undefined) return;
    this.pending.delete(imageId);
    this.parts.gone([removal]);
  }

  /** Never throws. */
  private async look(): Promise<void> {
    const { listedIds, gone, failed, elapsedMs } = this.parts;
    const ids = [...this.pending.keys()];
    if (ids.length === 0) return;
    let listed: ReadonlySet<string> = new Set();
    const begunAt = elapsedMs();
    try {
      listed = await listedIds();
      this.lookMs = elapsedMs() - begunAt;
    } catch (error) {
      failed(error);
    }
    const removals: T[] = [];
    for (const id of ids) {
      const removal = this.pending.get(id);
      if (removal === undefined) continue;
      this.pending.delete(id);
      if (listed.has(id)) this.stayed.add(id);
      else removals.push(removal);
    }
    if (removals.length > 0) gone(removals);
  }
}
