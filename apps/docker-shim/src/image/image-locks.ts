interface Turn {
  readonly shared: boolean;
  readonly before: Promise<unknown>;
  over: Promise<unknown>;
}

/**
 * Keeps the removal of an image apart from the creation of containers of it: the engine would
 * remove what a container is about to use. Creations do not wait for each other.
 */
export class ImageLocks {
  readonly #last = new Map<string, Turn>();

  /** Runs work that uses images, while none of them is removed. */
  use<T>(imageIds: readonly string[], work: () => Promise<T>): Promise<T> {
    const ids = [...new Set(imageIds)];
    // Removals have one image each, so nobody who waits here is waited for in a circle.
    return ids.reduce((inner, id) => () => this.#run(id, true, inner), work)();
  }

  /** Runs the removal of an image, while nothing else is done with it. */
  remove<T>(imageId: string, work: () => Promise<T>): Promise<T> {
    return this.#run(imageId, false, work);
  }

  #run<T>(id: string, shared: boolean, work: () => Promise<T>): Promise<T> {
    const last = this.#last.get(id);
    const turn =
      last?.shared === true && shared
        ? last
        : { shared, before: last?.over ?? Promise.resolve(), over: Promise.resolve() };
    this.#last.set(id, turn);
    const done = turn.before.then(work);
    const over = Promise.all([turn.over, done.catch(() => undefined)]);
    turn.over = over;
    void over.then(() => {
      if (this.#last.get(id) === turn && turn.over === over) this.#last.delete(id);
    });
    return done;
  }
}
