import { setTimeout as pause } from 'node:timers/promises';

/**
 * Containers that the kernel killed a process of for want of memory, as the engine's events say: an
 * inspection lacks it when that event comes after the one of the end.
 */
export class OomKills {
  readonly #seen = new Set<string>();

  add(id: string): void {
    this.#seen.add(id);
  }

  /** The container is gone. */
  remove(id: string): void {
    this.#seen.delete(id);
  }

  /**
   * Whether there was such an event; waits for it.
   *
   * @param withinMs milliseconds.
   */
  async has(id: string, withinMs: number): Promise<boolean> {
    const end = performance.now() + withinMs;
    while (!this.#seen.has(id) && performance.now() < end) await pause(20);
    return this.#seen.has(id);
  }
}
