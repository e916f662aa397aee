import type { Pull, PullListener, PullProgress } from '../pull/pull';

/** A pull that the runtime is at. */
export interface PullInProgress {
  readonly pull: Pull;
  readonly startedAt: Date;
  /** As it was reported last; absent until then. */
  readonly progress?: PullProgress;
}

/** Remembers the pulls that have begun and not ended. */
export class PullsInProgress implements PullListener {
  readonly #pulls = new Map<string, PullInProgress>();

  constructor(private readonly now: () => Date = () => new Date()) {}

  /** In the order in which they began. */
  list(): PullInProgress[] {
    return [...this.#pulls.values()];
  }

  started(pull: Pull): void {
    this.#pulls.set(pull.id, { pull, startedAt: this.now() });
  }

  progressed({ id }: Pull, progress: PullProgress): void {
    const known = this.#pulls.get(id);
    if (known !== undefined) this.#pulls.set(id, { ...known, progress });
  }

  succeeded({ id }: Pull): void {
    this.#pulls.delete(id);
  }

  failed({ id }: Pull): void {
    this.#pulls.delete(id);
  }
}
