import { clientPreface, frameHeaderBytes } from './frame-reader';
import { errorCode, Http2Error } from './http2-error';

/** Largest payload of a frame: the default of SETTINGS_MAX_FRAME_SIZE, which is never raised. */
export const maxFrameBytes = 16_384;

/**
 * Called with each whole frame; the payload is `input[start, end)`, its header the nine bytes
 * before it. Slices of `input` are valid until the next chunk is pushed.
 */
export type OnFrame = (
  type: number,
  flags: number,
  streamId: number,
  input: Buffer,
  start: number,
  end: number,
) => void;

const empty = Buffer.alloc(0);
/** First memory for a frame that did not arrive whole; it grows with what arrives. */
const firstHeldBytes = 256;

/**
 * Cuts one direction of a connection into whole frames, however the bytes arrive. A frame that is
 * incomplete at the end of a chunk is kept, at most {@link maxFrameBytes} and its header. So
 * whoever sends frames on, sends whole ones, and frames of its own fit between any two.
 */
export class FrameSplitter {
  #prefaceLeft: number;
  #held = empty;
  #heldLength = 0;
  #isStopped = false;

  /** @param options whether the client preface comes first. */
  constructor(
    private readonly onFrame: OnFrame,
    options: { preface: boolean },
  ) {
    this.#prefaceLeft = options.preface ? clientPreface.length : 0;
  }

  /** Whether the preface has not arrived whole. */
  get awaitsPreface(): boolean {
    return this.#prefaceLeft > 0;
  }

  /** Type of the frame that has arrived in part; undefined when there is none, or too little. */
  get heldType(): number | undefined {
    return this.#heldLength > 3 ? this.#held[3] : undefined;
  }

  /** Bytes of memory that are kept. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** No further frame is reported, not even of the chunk that is being pushed. */
  stop(): void {
    this.#isStopped = true;
    this.#held = empty;
    this.#heldLength = 0;
  }

  /** @throws {Http2Error} */
  push(chunk: Buffer): void {
    const end = chunk.length;
    let at = this.#prefaceLeft > 0 ? this.#preface(chunk) : 0;
    if (this.#heldLength > 0) at = this.#complete(chunk, at);
    while (end - at >= frameHeaderBytes && !this.#isStopped) {
      const next = at + frameHeaderBytes + payloadBytes(chunk, at);
      if (next > end) break;
      const from = at;
      at = next;
      this.#report(chunk, from, next);
    }
    if (at < end && !this.#isStopped) this.#hold(chunk, at, end, frameHeaderBytes + maxFrameBytes);
  }

  #preface(chunk: Buffer): number {
    const length = Math.min(this.#prefaceLeft, chunk.length);
    const from = clientPreface.length - this.#prefaceLeft;
    if (clientPreface.compare(chunk, 0, length, from, from + length) !== 0) {
      throw new Http2Error(errorCode.protocolError, 'no client preface');
    }
    this.#prefaceLeft -= length;
    return length;
  }

  /** Takes what is missing of the frame that is held; returns where the chunk goes on. */
  #complete(chunk: Buffer, at: number): number {
    const headerLeft = frameHeaderBytes - this.#heldLength;
    if (headerLeft > 0) {
      const to = Math.min(chunk.length, at + headerLeft);
      this.#hold(chunk, at, to, frameHeaderBytes + maxFrameBytes);
      at = to;
      if (this.#heldLength < frameHeaderBytes) return at;
    }
    const bytes = frameHeaderBytes + payloadBytes(this.#held, 0);
    const to = Math.min(chunk.length, at + bytes - this.#heldLength);
    if (to > at) this.#hold(chunk, at, to, bytes);
    if (this.#heldLength < bytes) return to;
    const frame = this.#held;
    // Its memory goes with it: whoever gets the frame may keep slices of it.
    this.#held = empty;
    this.#heldLength = 0;
    this.#report(frame, 0, bytes);
    return to;
  }

  #report(input: Buffer, from: number, to: number): void {
    this.onFrame(
      input[from + 3] ?? 0,
      input[from + 4] ?? 0,
      input.readUInt32BE(from + 5) & 0x7fffffff,
      input,
      from + frameHeaderBytes,
      to,
    );
  }

  #hold(chunk: Buffer, from: number, to: number, mostBytes: number): void {
    const length = this.#heldLength + to - from;
    if (length > this.#held.length) {
      const wanted = Math.max(length, this.#held.length * 2, firstHeldBytes);
      const bigger = Buffer.allocUnsafeSlow(Math.max(length, Math.min(wanted, mostBytes)));
      this.#held.copy(bigger, 0, 0, this.#heldLength);
      this.#held = bigger;
    }
    chunk.copy(this.#held, this.#heldLength, from, to);
    this.#heldLength = length;
  }
}

function payloadBytes(input: Buffer, at: number): number {
  const bytes = ((input[at] ?? 0) << 16) | ((input[at + 1] ?? 0) << 8) | (input[at + 2] ?? 0);
  if (bytes > maxFrameBytes) {
    throw new Http2Error(errorCode.frameSizeError, `a frame of ${bytes} bytes`);
  }
  return bytes;
}
