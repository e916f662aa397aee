import { errorMessage } from '@stowage/errors';

/** A part of a running service, and what it does at the end. */
export interface Part {
  readonly name: string;
  readonly drain?: (options: { drainMs: number }) => void | Promise<void>;
  readonly handOver?: () => void | Promise<void>;
  readonly close?: () => void | Promise<void>;
}

/** Where it is logged that a part could not end. */
interface StopLog {
  error(fields: object, message: string): void;
}

/** What ends with a service, in the order in which it was made. An error of one part is logged and keeps no other from ending. */
export class StopList {
  readonly #parts: Part[] = [];
  readonly #undrained = new Set<Part>();
  readonly #ending = new Set<Part>();

  constructor(private readonly log: StopLog) {}

  add(part: Part): void {
    this.#parts.push(part);
  }

  /** Names of the parts whose end is waited for. */
  get ending(): string[] {
    return [...this.#ending].map(({ name }) => name);
  }

  /** Lets the calls in flight end, within `drainMs` milliseconds: all parts at once. May be called again. */
  async drain(options: { drainMs: number }): Promise<void> {
    await Promise.all(
      this.#parts.map(async (part) => {
        try {
          await this.#end(part, () => part.drain?.(options));
        } catch (error) {
          // The same again at the next call.
          if (this.#undrained.has(part)) return;
          this.#undrained.add(part);
          this.#failed('ending its calls failed', part, error);
        }
      }),
    );
  }

  /** Gives up what an instance that takes over waits for, what was made last first. */
  async handOver(): Promise<void> {
    for (const part of this.#parts.toReversed()) {
      try {
        await this.#end(part, () => part.handOver?.());
      } catch (error) {
        this.#failed('handing over failed', part, error);
      }
    }
  }

  /** Ends all parts, what was made last first, each once. False where one of them could not end. */
  async close(): Promise<boolean> {
    let isClosed = this.#undrained.size === 0;
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      const { close } = part;
      try {
        await this.#end(part, () => close?.());
      } catch (error) {
        isClosed = false;
        this.#failed('stop failed', part, error);
      }
    }
    return isClosed;
  }

  async #end(part: Part, step: () => void | Promise<void>): Promise<void> {
    this.#ending.add(part);
    try {
      await step();
    } finally {
      this.#ending.delete(part);
    }
  }

  #failed(what: string, { name }: Part, error: unknown): void {
    this.log.error({ part: name, err: error }, `${what}: ${errorMessage(error)}`);
  }
}
