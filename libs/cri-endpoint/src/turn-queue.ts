/**
 * Starts at most one piece of work in each turn of the event loop, in the order given; the first at
 * once. Sockets are written to between turns, so of calls that arrive together the first has left
 * for the runtime before the second is looked at.
 */
export class TurnQueue {
  readonly #waiting: (() => void)[] = [];
  #isTurnUsed = false;

  /** @param work must handle its own errors: an exception ends the process */
  begin(work: () => void): void {
    if (this.#isTurnUsed) {
      this.#waiting.push(work);
      return;
    }
    this.#isTurnUsed = true;
    setImmediate(() => this.#next());
    work();
  }

  #next(): void {
    this.#isTurnUsed = false;
    const work = this.#waiting.shift();
    if (work !== undefined) this.begin(work);
  }
}
