import { ResourceExhaustedError } from '@stowage/errors';
import { randomBytes } from 'node:crypto';

export interface TokensOptions {
  /** How long a token can be used, milliseconds. */
  readonly ttlMs: number;
  /** Tokens that wait to be used, at most. */
  readonly max: number;
  /** Milliseconds, of any clock that does not jump. */
  readonly now: () => number;
}

/** Things that are asked for once, by a token of 128 random bits. */
export class Tokens<T> {
  /** In the order in which they expire. */
  readonly #waiting = new Map<string, { readonly thing: T; readonly until: number }>();

  constructor(private readonly options: TokensOptions) {}

  /** Tokens that wait to be used. */
  get size(): number {
    this.#dropOld();
    return this.#waiting.size;
  }

  /** @throws {ResourceExhaustedError} when too many wait. */
  add(thing: T): string {
    const { max, ttlMs, now } = this.options;
    if (this.size >= max) {
      throw new ResourceExhaustedError('list of streaming URLs that wait to be used', max);
    }
    const token = randomBytes(16).toString('base64url');
    this.#waiting.set(token, { thing, until: now() + ttlMs });
    return token;
  }

  has(token: string): boolean {
    this.#dropOld();
    return this.#waiting.has(token);
  }

  /** The thing, once; undefined for what is unknown, used or too old. */
  take(token: string): T | undefined {
    this.#dropOld();
    const found = this.#waiting.get(token);
    this.#waiting.delete(token);
    return found?.thing;
  }

  clear(): void {
    this.#waiting.clear();
  }

  #dropOld(): void {
    const now = this.options.now();
    for (const [token, { until }] of this.#waiting) {
      if (until > now) return;
      this.#waiting.delete(token);
    }
  }
}
