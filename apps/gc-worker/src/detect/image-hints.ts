import { imageKeys, referenceKey } from '@stowage/image-ref';
import type { ListedImage } from '../runtime/runtime';
import type { Protection } from '../policy/keep-rules';
import type { PullFacts } from '../records/image-record';

interface PullInProgress {
  readonly reference: string;
  readonly since: number;
  /** Keys of image-ref, by which references are compared. */
  readonly keys: readonly string[];
}

interface ContainerCreation {
  /** References of the images that the container is to have. */
  readonly references: readonly string[];
  readonly since: number;
}

export interface ImageHintsOptions {
  /** A pull that has not ended after this long counts as lost. */
  readonly maxPullMs: number;
  /** A hold that ends later than this from now is refused. */
  readonly maxHoldMs: number;
  /** Entries of each kind that are remembered. */
  readonly maxEntries?: number;
  /**
   * Called for each hint that was not taken: of holds, pulls and creations those that are there
   * stay.
   */
  readonly refused?: (hint: RefusedHint) => void;
}

/** A hint that was not taken, and why. */
export interface RefusedHint {
  readonly kind: 'hold' | 'pull' | 'creation';
  readonly reason: 'too-long' | 'too-many';
}

/**
 * Time after which a container that was asked for is listed or not going to be: kubelet's time
 * limit of a call to the runtime.
 */
const maxCreationMs = 120_000;

/**
 * What other services published about images that the runtime does not know: pulls that run,
 * containers that are asked for, holds. Hints only: without them collection decides from the
 * runtime alone. Each takes constant time. Plain state; times are milliseconds since the epoch.
 */
export class ImageHints {
  readonly #pulls = new Map<string, PullInProgress>();
  /** Ids of the pulls that run, by the keys of what they pull. */
  readonly #pullsByKey = new Map<string, Set<string>>();
  /** Pulls that ended recently: their start may be delivered again, or after their end. */
  readonly #ended = new Map<string, true>();
  readonly #creations = new Map<string, ContainerCreation>();
  /** By the keys of image-ref. */
  readonly #holds = new Map<string, number>();
  readonly #uses = new Map<string, number>();
  readonly #facts = new Map<string, PullFacts>();
  /** When other services published that they removed an image, by its id. */
  readonly #removals = new Map<string, number>();
  readonly #maxEntries: number;

  constructor(private readonly options: ImageHintsOptions) {
    this.#maxEntries = options.maxEntries ?? 10_000;
  }

  /** A pull began; `now` bounds how many are believed to run. */
  pullStarted(pullId: string, names: readonly string[], since: number, now = since): void {
    if (this.#ended.has(pullId) || this.#pulls.has(pullId)) return;
    this.#dropOldest(this.#pulls, now - this.options.maxPullMs, (id) => {
      this.#endPull(id);
    });
    if (this.#pulls.size >= this.#maxEntries) {
      this.#refuse({ kind: 'pull', reason: 'too-many' });
      return;
    }
    const keys = names.map(referenceKey);
    this.#pulls.set(pullId, { reference: names[0] ?? pullId, since, keys });
    for (const key of keys) {
      const ids = this.#pullsByKey.get(key);
      if (ids === undefined) this.#pullsByKey.set(key, new Set([pullId]));
      else ids.add(pullId);
    }
  }

  pullEnded(pullId: string): void {
    this.#endPull(pullId);
    bounded(this.#ended, this.#maxEntries);
    this.#ended.set(pullId, true);
  }

  #endPull(pullId: string): void {
    for (const key of this.#pulls.get(pullId)?.keys ?? []) {
      const ids = this.#pullsByKey.get(key);
      ids?.delete(pullId);
      if (ids?.size === 0) this.#pullsByKey.delete(key);
    }
    this.#pulls.delete(pullId);
  }

  /** A container of these images was asked for at `since`; `key` identifies it. */
  creationStarted(key: string, references: readonly string[], since: number, now: number): void {
    if (now - since >= maxCreationMs) return;
    this.#dropOldest(this.#creations, now - maxCreationMs, (id) => this.#creations.delete(id));
    if (this.#creations.size >= this.#maxEntries) {
      this.#refuse({ kind: 'creation', reason: 'too-many' });
      return;
    }
    this.#creations.set(key, { references, since });
  }

  /** The container is there: the runtime lists it. */
  creationEnded(key: string): void {
    this.#creations.delete(key);
  }

  /** Containers that were asked for and may not be listed yet. */
  creationsAt(now: number): readonly ContainerCreation[] {
    if (this.#creations.size === 0) return [];
    return [...this.#creations.values()].filter(({ since }) => now - since < maxCreationMs);
  }

  /**
   * Keeps images of these names until then; a later hold of the same name replaces an earlier end
   * only upwards. Returns the keys of the names whose end is another now, to be remembered over a
   * restart.
   */
  hold(names: readonly string[], until: number, now: number): ReadonlyMap<string, number> {
    const taken = new Map<string, number>();
    if (until <= now) return taken;
    if (!(until - now <= this.options.maxHoldMs)) {
      this.#refuse({ kind: 'hold', reason: 'too-long' });
      return taken;
    }
    for (const key of names.map(referenceKey)) {
      const known = this.#holds.get(key);
      if (known !== undefined && until <= known) continue;
      if (known === undefined && this.#holds.size >= this.#maxEntries) {
        this.#refuse({ kind: 'hold', reason: 'too-many' });
        continue;
      }
      this.#holds.set(key, until);
      taken.set(key, until);
    }
    return taken;
  }

  /** Forgets holds that have passed; their keys. */
  dropPassedHolds(now: number): readonly string[] {
    const passed = [...this.#holds].filter(([, until]) => until <= now).map(([key]) => key);
    for (const key of passed) this.#holds.delete(key);
    return passed;
  }

  /** Remembers the use of an image that has no record yet. */
  usedBeforeDetection(imageId: string, at: number): void {
    const key = referenceKey(imageId);
    const known = this.#uses.get(key) ?? -Infinity;
    if (at <= known) return;
    bounded(this.#uses, this.#maxEntries);
    this.#uses.set(key, at);
  }

  /** The remembered use of an image that now has a record; returned once. */
  takeUse(imageId: string): number | undefined {
    const key = referenceKey(imageId);
    const at = this.#uses.get(key);
    this.#uses.delete(key);
    return at;
  }

  /** Remembers what the pull of an image took that has no record yet. */
  pulledBeforeDetection(imageId: string, pulled: PullFacts): void {
    bounded(this.#facts, this.#maxEntries);
    this.#facts.set(referenceKey(imageId), pulled);
  }

  /** The remembered pull of an image that now has a record; returned once. */
  takePull(imageId: string): PullFacts | undefined {
    const key = referenceKey(imageId);
    const pulled = this.#facts.get(key);
    this.#facts.delete(key);
    return pulled;
  }

  /**
   * Another service published that it removed the image then; only the list shows whether it is
   * gone.
   */
  removedByOther(imageId: string, at: number): void {
    bounded(this.#removals, this.#maxEntries);
    this.#removals.set(imageId, at);
  }

  /** When another service published that it removed the image, after `since`; returned once. */
  takeRemoval(imageId: string, since: number): number | undefined {
    const at = this.#removals.get(imageId);
    this.#removals.delete(imageId);
    return at !== undefined && at >= since ? at : undefined;
  }

  /**
   * The clock was set by so much. Ends of holds stay: they were given as times of day by others.
   */
  shiftTimes(byMs: number): void {
    for (const [id, pull] of this.#pulls)
      this.#pulls.set(id, { ...pull, since: pull.since + byMs });
    for (const [id, creation] of this.#creations) {
      this.#creations.set(id, { ...creation, since: creation.since + byMs });
    }
    for (const times of [this.#uses, this.#removals]) {
      for (const [id, at] of times) times.set(id, at + byMs);
    }
  }

  /** Reasons to keep an image now, those of containers that are asked for left out. */
  protections(
    image: Pick<ListedImage, 'imageId' | 'repoTags' | 'repoDigests'>,
    now: number,
  ): Protection[] {
    if (this.#pulls.size === 0 && this.#holds.size === 0) return [];
    const keys = [...imageKeys(image)];
    const found: Protection[] = [];
    const pullIds = new Set(keys.flatMap((key) => [...(this.#pullsByKey.get(key) ?? [])]));
    for (const pullId of pullIds) {
      const pull = this.#pulls.get(pullId);
      if (pull === undefined) continue;
      const { reference, since } = pull;
      if (now - since > this.options.maxPullMs) {
        this.#endPull(pullId);
        continue;
      }
      found.push({ rule: 'pull-in-progress', reference, since });
      break;
    }
    const until = this.#heldUntil(keys);
    if (until > now) found.push({ rule: 'held', until });
    return found;
  }

  /** Until when events hold an image; undefined when none does now. */
  heldUntil(
    image: Pick<ListedImage, 'imageId' | 'repoTags' | 'repoDigests'>,
    now: number,
  ): number | undefined {
    if (this.#holds.size === 0) return undefined;
    const until = this.#heldUntil([...imageKeys(image)]);
    return until > now ? until : undefined;
  }

  #heldUntil(keys: readonly string[]): number {
    return Math.max(...keys.map((key) => this.#holds.get(key) ?? -Infinity));
  }

  #refuse(hint: RefusedHint): void {
    this.options.refused?.(hint);
  }

  /**
   * Drops entries from the front that began before `until`: they came in about that order, and each
   * goes once.
   */
  #dropOldest(
    entries: ReadonlyMap<string, { since: number }>,
    until: number,
    drop: (key: string) => void,
  ): void {
    for (const [key, { since }] of entries) {
      if (since >= until) return;
      drop(key);
    }
  }
}

/**
 * Makes room for one more entry; the oldest goes. What is lost so costs a hint, and protects
 * nothing.
 */
function bounded(entries: Map<string, unknown>, maxEntries: number): void {
  if (entries.size < maxEntries) return;
  const [oldest] = entries.keys();
  if (oldest !== undefined) entries.delete(oldest);
}
