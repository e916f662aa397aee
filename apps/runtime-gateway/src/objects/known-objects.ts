import type { KnownContainer, KnownSandbox } from './types';

export type ObjectKind = 'sandbox' | 'container';

/** Keeps what is known beyond the process; {@link ObjectsFile} does. Must not throw. */
export interface ObjectStore {
  put(kind: ObjectKind, object: KnownSandbox | KnownContainer): void;
  drop(kind: ObjectKind, ids: readonly string[]): void;
}

interface Entry<T> {
  readonly object: T;
  /** Value of the counter when the object became known. */
  readonly knownSince: number;
  /** Value of the counter at the last change. */
  readonly changed: number;
  /** Removed, and a listing that began later did not show it any more. */
  readonly isGone?: true;
}

/**
 * The sandboxes and containers of the runtime in their last known phase, bounded. Removed ones stay
 * until a listing that began later no longer shows them, and some minutes at least, so that neither
 * an older listing nor events that the runtime kept for its next reader can bring them back. When
 * it is full, new ones take the place of removed ones, and are not remembered where there is none:
 * what is known stays right.
 */
export class KnownObjects {
  readonly #sandboxes = new Map<string, Entry<KnownSandbox>>();
  readonly #containers = new Map<string, Entry<KnownContainer>>();
  #counter = 0;
  #turnedAway = 0;

  constructor(
    private readonly options: {
      /** Most containers, and most sandboxes. */
      readonly max: number;
      readonly store?: ObjectStore;
      /** What is known from an earlier run. */
      readonly sandboxes?: Iterable<KnownSandbox>;
      readonly containers?: Iterable<KnownContainer>;
    },
  ) {
    for (const object of options.sandboxes ?? []) this.#remember('sandbox', object);
    for (const object of options.containers ?? []) this.#remember('container', object);
  }

  /** Rises with every change: what changes from now on has a higher one. */
  get revision(): number {
    return this.#counter;
  }

  /** How many were not remembered for want of room. */
  get turnedAway(): number {
    return this.#turnedAway;
  }

  /** How many there are, without those that are gone. */
  get counts(): Readonly<Record<ObjectKind, number>> {
    const there = (entries: ReadonlyMap<string, Entry<unknown>>) =>
      [...entries.values()].filter(({ isGone }) => isGone !== true).length;
    return { sandbox: there(this.#sandboxes), container: there(this.#containers) };
  }

  sandbox(id: string): KnownSandbox | undefined {
    return this.#sandboxes.get(id)?.object;
  }

  container(id: string): KnownContainer | undefined {
    return this.#containers.get(id)?.object;
  }

  sandboxes(): KnownSandbox[] {
    return [...this.#sandboxes.values()].map(({ object }) => object);
  }

  containers(): KnownContainer[] {
    return [...this.#containers.values()].map(({ object }) => object);
  }

  containersOf(podSandboxId: string): KnownContainer[] {
    return this.containers().filter((container) => container.podSandboxId === podSandboxId);
  }

  /**
   * The full id for an id or, as runtimes take it too, the beginning of one; the text itself when
   * none fits.
   */
  fullSandboxId(idOrPrefix: string): string {
    return fullId(this.#sandboxes, idOrPrefix);
  }

  /** {@link fullSandboxId} for containers. */
  fullContainerId(idOrPrefix: string): string {
    return fullId(this.#containers, idOrPrefix);
  }

  /** Whether an object is known, or there is room to remember it. */
  takes(kind: ObjectKind, id: string): boolean {
    return this.#of(kind).has(id) || this.#hasRoom(kind);
  }

  putSandbox(object: KnownSandbox): void {
    if (this.#remember('sandbox', object)) this.options.store?.put('sandbox', object);
  }

  putContainer(object: KnownContainer): void {
    if (this.#remember('container', object)) this.options.store?.put('container', object);
  }

  /** Whether the object was known when the counter stood at `revision`. */
  wasKnownAt(kind: ObjectKind, id: string, revision: number): boolean {
    const entry = this.#of(kind).get(id);
    return entry !== undefined && entry.knownSince < revision;
  }

  /**
   * Forgets objects that were removed before `beforeMs` (milliseconds since the epoch) and that a
   * listing, begun at `revision`, does not show any more.
   */
  forgetRemoved(
    kind: ObjectKind,
    listed: ReadonlySet<string>,
    revision: number,
    beforeMs: number,
  ): void {
    const entries: Map<string, Entry<KnownSandbox | KnownContainer>> = this.#of(kind);
    const forgotten: string[] = [];
    for (const [id, entry] of entries) {
      const { object, changed } = entry;
      if (object.phase !== 'removed' || changed >= revision || listed.has(id)) continue;
      if ((object.phaseAtMs ?? 0) < beforeMs) forgotten.push(id);
      else entries.set(id, { ...entry, isGone: true });
    }
    this.#forget(kind, forgotten);
  }

  #forget(kind: ObjectKind, ids: readonly string[]): void {
    const entries = this.#of(kind);
    for (const id of ids) entries.delete(id);
    if (ids.length > 0) this.options.store?.drop(kind, ids);
  }

  #of(kind: ObjectKind): Map<string, Entry<KnownSandbox | KnownContainer>> {
    return kind === 'sandbox' ? this.#sandboxes : this.#containers;
  }

  /** Makes room for one more, where there is none, by forgetting one that is gone. */
  #hasRoom(kind: ObjectKind): boolean {
    const entries = this.#of(kind);
    if (entries.size < this.options.max) return true;
    for (const [id, { isGone }] of entries) {
      if (isGone !== true) continue;
      this.#forget(kind, [id]);
      return true;
    }
    return false;
  }

  #remember(kind: ObjectKind, object: KnownSandbox | KnownContainer): boolean {
    const entries = this.#of(kind);
    const known = entries.get(object.id);
    if (known === undefined && !this.#hasRoom(kind)) {
      this.#turnedAway++;
      return false;
    }
    const changed = this.#counter++;
    entries.set(object.id, { object, changed, knownSince: known?.knownSince ?? changed });
    return true;
  }
}

function fullId(entries: ReadonlyMap<string, unknown>, idOrPrefix: string): string {
  if (idOrPrefix === '' || entries.has(idOrPrefix)) return idOrPrefix;
  let found: string | undefined;
  for (const id of entries.keys()) {
    if (!id.startsWith(idOrPrefix)) continue;
    if (found !== undefined) return idOrPrefix;
    found = id;
  }
  return found ?? idOrPrefix;
}
