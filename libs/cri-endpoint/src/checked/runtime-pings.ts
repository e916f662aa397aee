import { frameFlag, frameType } from '../wire/frame-reader';
import type { FrameWriter } from '../wire/frame-writer';

/**
 * When a PING is answered: with what is written next after the first time, by itself after the
 * second. Servers in Go send one with each call that comes while none of theirs is on its way, so
 * an answer at once would make it one a call.
 */
const pingDelayMs = 20;
const pingLimitMs = 50;
const maxPings = 16;

/** PINGs of the runtime, answered several together. */
export class RuntimePings {
  /** Payloads of those that were not answered yet. */
  readonly #payloads: Buffer[] = [];
  /** When the first of them came. */
  #cameAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly writer: FrameWriter) {}

  came(input: Buffer, start: number, end: number): void {
    if (this.#payloads.length === 0) this.#cameAt = performance.now();
    this.#payloads.push(Buffer.from(input.subarray(start, end)));
    if (this.#payloads.length >= maxPings) this.#answer();
    // One that is answered meanwhile leaves the timer as it is: there would be one for each call.
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#answer();
      this.writer.flush();
    }, pingLimitMs);
  }

  /** Something is flushed next: answers go along with it once they are due. */
  beforeFlush(): void {
    if (this.#payloads.length === 0 || performance.now() - this.#cameAt < pingDelayMs) return;
    this.#answer();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #answer(): void {
    for (const payload of this.#payloads.splice(0)) {
      this.writer.header(frameType.ping, frameFlag.ack, 0, payload.length);
      this.writer.bytes(payload, 0, payload.length);
    }
  }
}
