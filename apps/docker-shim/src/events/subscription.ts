/**
 * The events that wait for one reader. Iterates until it is closed; what waits then is dropped,
 * since the call is over.
 */
export class Subscription<T> implements AsyncIterableIterator<T> {
  readonly #waiting: T[] = [];
  #wanted: ((result: IteratorResult<T>) => void)[] = [];
  #isClosed = false;

  /** @param limit how many may wait. */
  constructor(private readonly limit: number) {}

  /** Returns false, and takes nothing, when the reader is too far behind. */
  push(item: T): boolean {
    const wanted = this.#wanted.shift();
    if (wanted !== undefined) wanted({ value: item, done: false });
    else if (this.#waiting.length >= this.limit) return false;
    else this.#waiting.push(item);
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting.length = 0;
    for (const wanted of this.#wanted) wanted({ value: undefined, done: true });
    this.#wanted = [];
  }

  next(): Promise<IteratorResult<T>> {
    const item = this.#waiting.shift();
    if (item !== undefined) return Promise.resolve({ value: item, done: false });
    if (this.#isClosed) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#wanted.push(resolve));
  }

  return(): Promise<IteratorResult<T>> {
    this.close();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
