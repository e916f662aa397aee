/** Tasks that may run at the same time, and tasks that run while no other does. */
export class SharedOrAlone {
  readonly #running = new Set<Promise<unknown>>();
  #alone: Promise<void> | undefined;

  /** Runs the task as soon as none runs alone. */
  async shared<T>(task: () => Promise<T>): Promise<T> {
    while (this.#alone !== undefined) await this.#alone;
    const running = task();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Runs the task when all others have ended; those that come wait for its end. */
  async alone<T>(task: () => Promise<T>): Promise<T> {
    while (this.#alone !== undefined) await this.#alone;
    let end: () => void = () => undefined;
    this.#alone = new Promise((resolve) => (end = resolve));
    try {
      await Promise.allSettled(this.#running);
      return await task();
    } finally {
      this.#alone = undefined;
      end();
    }
  }
}
