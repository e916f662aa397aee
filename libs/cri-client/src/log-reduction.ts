const identicalErrorDelayMs = 60_000;

/**
 * Keeps a log readable while the same thing fails again and again: for each object an error is
 * logged when it is new, differs from the last one, or was last logged a minute ago or longer.
 */
export class LogReduction {
  readonly #printed = new Map<string, { text: string; at: number }>();

  /**
   * Whether to log `text` for the object at `now` (milliseconds). Also forgets entries older than a
   * minute.
   */
  shouldLog(objectId: string, text: string, now: number): boolean {
    for (const [id, { at }] of this.#printed) {
      if (now - at >= identicalErrorDelayMs) this.#printed.delete(id);
    }
    if (this.#printed.get(objectId)?.text === text) return false;
    this.#printed.set(objectId, { text, at: now });
    return true;
  }

  /** Forgets an object: its next error is logged. */
  clear(objectId: string): void {
    this.#printed.delete(objectId);
  }

  /** Number of objects remembered. */
  get size(): number {
    return this.#printed.size;
  }
}
