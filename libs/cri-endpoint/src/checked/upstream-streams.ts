import type { PipeCall } from './pipe-call';
import { broken } from './runtime-frames';

/** Stream ids end at 2^31 and each call takes two: a connection retires well before. */
const maxStreamIdUsed = 2 ** 30;

/** The calls that have a stream on a connection to the runtime. */
export class UpstreamStreams {
  readonly #calls = new Map<number, PipeCall>();
  #nextId = 1;

  get count(): number {
    return this.#calls.size;
  }

  /** Whether no more calls are to begin on this connection. */
  get areUsedUp(): boolean {
    return this.#nextId > maxStreamIdUsed;
  }

  /** Gives the call a stream. */
  begin(call: PipeCall): void {
    call.upstreamId = this.#nextId;
    this.#nextId += 2;
    this.#calls.set(call.upstreamId, call);
  }

  /** The call of a stream, unless it is over; of a stream that was not begun an Http2Error. */
  find(streamId: number): PipeCall | undefined {
    if (streamId % 2 === 0 || streamId >= this.#nextId) broken('a frame of no call');
    return this.#calls.get(streamId);
  }

  calls(): Iterable<PipeCall> {
    return this.#calls.values();
  }

  forget(call: PipeCall): void {
    this.#calls.delete(call.upstreamId);
  }

  clear(): void {
    this.#calls.clear();
  }
}
