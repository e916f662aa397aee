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
}

/**
 * The sandboxes and containers of the runtime in their last known phase, bounded. Removed ones stay until a listing
 * that began later no longer shows them, so that an older listing cannot bring them back. When it is full, new ones
 * are not remembered: what is known stays right.
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
    for (const object of options.sandboxes ?? []) this.#remember(this.#sandboxes, object);
    for (const object of options.containers ?? []) this.#remember(this.#containers, object);
  }

  /** Rises with every change: what changes from now on has a higher one. */
  get revision(): number {
    return this.#counter;
  }

  /** How many were not remembered for want of room. */
  get turnedAway(): number {
    return this.#turnedAway;
  }

  get counts(): Readonly<Record<ObjectKind, number>> {
    return { sandbox: this.#sandboxes.size, container: this.#containers.size };
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

  /** The full id for an id or, as runtimes take it too, the beginning of one; the text itself when none fits. */
  fullSandboxId(idOrPrefix: string): string {
    return fullId(this.#sandboxes, idOrPrefix);
  }

  /** {@link fullSandboxId} for containers. */
  fullContainerId(idOrPrefix: string): string {
    return fullId(this.#containers, idOrPrefix);
  }

  putSandbox(object: KnownSandbox): void {
    if (this.#remember(this.#sandboxes, object)) this.options.store?.put('sandbox', object);
  }

  putContainer(object: KnownContainer): void {
    if (this.#remember(this.#containers, object)) this.options.store?.put('container', object);
  }

  /** Whether the object was known when the counter stood at `revision`. */
  wasKnownAt(kind: ObjectKind, id: string, revision: number): boolean {
    const entry = (kind === 'sandbox' ? this.#sandboxes : this.#containers).get(id);
    return entry !== undefined && entry.knownSince < revision;
  }

  /** Forgets removed objects that a listing, begun at `revision`, does not show any more. */
  forgetRemoved(kind: ObjectKind, listed: ReadonlySet<string>, revision: number): void {
    const entries: Map<string, Entry<KnownSandbox | KnownContainer>> = kind === 'sandbox'
      ? this.#sandboxes
      : this.#containers;
    const gone: string[] = [];
    for (const [id, { object, changed }] of entries) {
      if (object.phase === 'removed' && changed < revision && !listed.has(id)) gone.push(id);
    }
    for (const id of gone) entries.delete(id);
    if (gone.length > 0) this.options.store?.drop(kind, gone);
  }

  #remember<T extends { readonly id: string }>(entries: Map<string, Entry<T>>, object: T): boolean {
    const known = entries.get(object.id);
    if (known === undefined && entries.size >= this.options.max) {
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
