/** Runs one task at a time, in the order of the calls. A task that throws does not stop the next. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs the task when those before it have ended. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
