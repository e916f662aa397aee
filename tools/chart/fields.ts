/**
 * Reads the fields of an object by name and knows which ones nobody has read, so that a field that
 * a translation does not know is an error and not a difference that nobody sees.
 */
export class Fields<T extends object> {
  readonly #read = new Set<string>();

  constructor(
    /** Where the object is, for messages. */
    private readonly path: string,
    private readonly object: T,
  ) {}

  /** The value of a field, which counts as read. */
  get<K extends keyof T & string>(name: K): T[K] {
    this.#read.add(name);
    return this.object[name];
  }

  /**
   * Counts fields as read that have nothing to do with the translation, each with its reason where
   * it is called.
   */
  ignore(...names: (keyof T & string)[]): void {
    for (const name of names) this.#read.add(name);
  }

  /** @throws Error when the field has another value. */
  expect<K extends keyof T & string>(name: K, ...allowed: readonly T[K][]): void {
    const value = this.get(name);
    if (allowed.includes(value)) return;
    throw new Error(`${this.path}.${name} is ${JSON.stringify(value)}, which is not translated`);
  }

  /** @throws Error that names the fields that were not read. */
  done(): void {
    const left = Object.entries(this.object)
      .filter(([name, value]) => value !== undefined && !this.#read.has(name))
      .map(([name]) => name);
    if (left.length === 0) return;
    throw new Error(`${this.path} has fields that are not translated: ${left.join(', ')}`);
  }
}
