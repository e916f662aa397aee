import { imageKeys, referenceKey } from '@stowage/image-ref';
import type { ListedImage } from './records/apply-detection';
import type { Protection, PullFacts } from './types';

interface PullInProgress {
  readonly reference: string;
  readonly since: number;
  /** Keys of image-ref, by which references are compared. */
  readonly keys: readonly string[];
}

/**
 * What other services said about images that the runtime cannot say: pulls that run and holds. Hints only: without
 * them collection decides from the runtime alone. Plain state; times are milliseconds since the epoch.
 */
export class ImageHints {
  private readonly pulls = new Map<string, PullInProgress>();
  /** Pulls that ended of late: their start may be told once more, or after their end. */
  private readonly ended = new Map<string, true>();
  /** By the keys of image-ref. */
  private readonly holds = new Map<string, number>();
  private readonly uses = new Map<string, number>();
  private readonly facts = new Map<string, PullFacts>();

  /** `maxPullMs`: a pull that has not ended after this long counts as lost. `maxEntries` bounds memory. */
  constructor(
    private readonly maxPullMs: number,
    private readonly maxEntries = 10_000,
  ) {}

  pullStarted(pullId: string, names: readonly string[], since: number): void {
    if (this.ended.has(pullId)) return;
    bounded(this.pulls, this.maxEntries);
    const keys = names.map(referenceKey);
    this.pulls.set(pullId, { reference: names[0] ?? pullId, since, keys });
  }

  pullEnded(pullId: string): void {
    this.pulls.delete(pullId);
    bounded(this.ended, this.maxEntries);
    this.ended.set(pullId, true);
  }

  /** Keeps images of these names until then; a later hold of the same name replaces an earlier end only upwards. */
  hold(names: readonly string[], until: number): void {
    for (const key of names.map(referenceKey)) {
      const known = this.holds.get(key) ?? -Infinity;
      if (until <= known) continue;
      bounded(this.holds, this.maxEntries);
      this.holds.set(key, until);
    }
  }

  /** Remembers the use of an image that has no record yet. */
  usedBeforeDetection(imageId: string, at: number): void {
    const key = referenceKey(imageId);
    const known = this.uses.get(key) ?? -Infinity;
    if (at <= known) return;
    bounded(this.uses, this.maxEntries);
    this.uses.set(key, at);
  }

  /** The remembered use of an image that now has a record; it is told once. */
  takeUse(imageId: string): number | undefined {
    const key = referenceKey(imageId);
    const at = this.uses.get(key);
    this.uses.delete(key);
    return at;
  }

  /** Remembers what the pull of an image took that has no record yet. */
  pulledBeforeDetection(imageId: string, pulled: PullFacts): void {
    bounded(this.facts, this.maxEntries);
    this.facts.set(referenceKey(imageId), pulled);
  }

  /** The remembered pull of an image that now has a record; it is told once. */
  takePull(imageId: string): PullFacts | undefined {
    const key = referenceKey(imageId);
    const pulled = this.facts.get(key);
    this.facts.delete(key);
    return pulled;
  }

  /** Holds that have not passed, to be remembered over a restart. */
  heldNames(now: number): ReadonlyMap<string, number> {
    for (const [name, until] of this.holds) if (until <= now) this.holds.delete(name);
    return this.holds;
  }

  /** The clock was set by so much. Ends of holds stay: they were given as times of day by others. */
  shiftTimes(byMs: number): void {
    for (const [id, pull] of this.pulls) this.pulls.set(id, { ...pull, since: pull.since + byMs });
    for (const [id, at] of this.uses) this.uses.set(id, at + byMs);
  }

  /** Reasons to keep an image now. */
  protections(
    image: Pick<ListedImage, 'imageId' | 'repoTags' | 'repoDigests'>,
    now: number,
  ): Protection[] {
    if (this.pulls.size === 0 && this.holds.size === 0) return [];
    const keys = imageKeys(image);
    const found: Protection[] = [];
    for (const [pullId, pull] of this.pulls) {
      if (now - pull.since > this.maxPullMs) {
        this.pulls.delete(pullId);
      } else if (pull.keys.some((key) => keys.has(key))) {
        found.push({ rule: 'pull-in-progress', reference: pull.reference, since: pull.since });
      }
    }
    const until = Math.max(...[...keys].map((key) => this.holds.get(key) ?? -Infinity));
    if (until > now) found.push({ rule: 'held', until });
    return found;
  }
}

/** Makes room for one more entry; the oldest goes. */
function bounded(entries: Map<string, unknown>, maxEntries: number): void {
  if (entries.size < maxEntries) return;
  const [oldest] = entries.keys();
  if (oldest !== undefined) entries.delete(oldest);
}
