/** Runs tasks of the same key one after the other, in the order they came; tasks of different keys at the same time. */
export class KeyedQueue {
  readonly #last = new Map<string, Promise<unknown>>();
  #pending = 0;

  /** Tasks that have not ended. */
  get pending(): number {
    return this.#pending;
  }

  /** Starts the task at once, in this call, when no other of its key is waiting or running. */
  run<T>(key: string, task: () => Promise<T> | T): Promise<T> {
    this.#pending++;
    const before = this.#last.get(key);
    const ran = before === undefined ? startNow(task) : before.then(task);
    const settled = ran.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(key, settled);
    void settled.then(() => {
      this.#pending--;
      if (this.#last.get(key) === settled) this.#last.delete(key);
    });
    return ran;
  }
}

async function startNow<T>(task: () => Promise<T> | T): Promise<T> {
  return task();
}
