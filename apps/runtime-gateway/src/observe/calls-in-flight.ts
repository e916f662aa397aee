/** Counts calls between their start and the end of what the observer makes of them. */
export class CallsInFlight<Verb extends string> {
  readonly #counts = new Map<Verb, number>();
  readonly #waiting = new Set<() => void>();
  #isOver = false;

  started(verb: Verb): void {
    this.#counts.set(verb, (this.#counts.get(verb) ?? 0) + 1);
  }

  ended(verb: Verb): void {
    this.#counts.set(verb, Math.max(0, (this.#counts.get(verb) ?? 0) - 1));
    for (const look of [...this.#waiting]) look();
  }

  /**
   * Resolves with true when no call of these verbs is in flight, so that what such a call did is
   * published as its effect; with false after `limitMs`, or at {@link giveUp}.
   */
  settled(verbs: readonly Verb[], limitMs: number): Promise<boolean> {
    const areSettled = () => verbs.every((verb) => (this.#counts.get(verb) ?? 0) === 0);
    if (areSettled() || this.#isOver) return Promise.resolve(areSettled());
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(areSettled());
      };
      const look = () => {
        if (areSettled() || this.#isOver) end();
      };
      const timer = setTimeout(end, limitMs);
      this.#waiting.add(look);
    });
  }

  /** Ends all waiting, now and from now on. */
  giveUp(): void {
    this.#isOver = true;
    for (const look of [...this.#waiting]) look();
  }
}
