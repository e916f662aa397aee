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

  /**
   * Runs the task as soon as none runs; those that come then wait for its end. While it waits
   * itself it keeps nobody.
   */
  async alone<T>(task: () => Promise<T>): Promise<T> {
    while (this.#alone !== undefined || this.#running.size > 0) {
      await Promise.allSettled([this.#alone, ...this.#running]);
    }
    let end: () => void = () => undefined;
    this.#alone = new Promise((resolve) => (end = resolve));
    try {
      return await task();
    } finally {
      this.#alone = undefined;
      end();
    }
  }
}
