import type { Socket } from 'node:net';
import { frameHeaderBytes } from './frame-reader';

/** Memory in which small frames are put together. */
const slabBytes = 16 * 1024;
/** Up to this length bytes are copied; longer ones are sent from where they are. */
const copiedBytes = 2 * 1024;
/** Free slabs that are kept for the next writer. */
const maxFreeSlabs = 16;

const freeSlabs: Buffer[] = [];
const none = Buffer.alloc(0);

/**
 * Collects the frames for one socket and sends them with one write when it is flushed. Long
 * payloads are not copied: their memory must stay as it is until the socket has taken them (see
 * {@link hasLeft}).
 */
export class FrameWriter {
  /** Where {@link reserve} has room. */
  slab: Buffer = none;
  #from = 0;
  #at = 0;
  #parts: Buffer[] = [];
  // Bytes to be sent that follow each other in one piece of memory.
  #run: Buffer = none;
  #runStart = 0;
  #runEnd = 0;
  #onLeft: (() => void)[] = [];

  constructor(private readonly socket: Socket) {}

  /** Whether there is nothing to flush. */
  get isEmpty(): boolean {
    return this.#parts.length === 0 && this.#at === this.#from && this.#runEnd === this.#runStart;
  }

  /** Whether the socket has taken all that was flushed. */
  get hasLeft(): boolean {
    return this.socket.writableLength === 0;
  }

  /**
   * Room for `bytes` (at most 16 KiB) in {@link slab}; returns where. What is not used is given
   * back with {@link end}.
   */
  reserve(bytes: number): number {
    this.#endRun();
    if (this.#at + bytes > this.slab.length) {
      this.#endSlab();
      this.slab = freeSlabs.pop() ?? Buffer.allocUnsafeSlow(slabBytes);
      this.#from = 0;
      this.#at = 0;
    }
    const at = this.#at;
    this.#at += bytes;
    return at;
  }

  /** What was reserved last ends at `at`. */
  end(at: number): void {
    this.#at = at;
  }

  /** The header of a frame, whose payload follows. */
  header(type: number, flags: number, streamId: number, bytes: number): void {
    const at = this.reserve(frameHeaderBytes);
    putFrameHeader(this.slab, at, type, flags, streamId, bytes);
  }

  /** A frame of four bytes: RST_STREAM, WINDOW_UPDATE. */
  uint32(type: number, streamId: number, value: number): void {
    const at = this.reserve(frameHeaderBytes + 4);
    putFrameHeader(this.slab, at, type, 0, streamId, 4);
    this.slab.writeUInt32BE(value >>> 0, at + frameHeaderBytes);
  }

  /** Bytes as they are. */
  bytes(input: Buffer, start: number, end: number): void {
    if (this.#run === input && this.#runEnd === start) {
      this.#runEnd = end;
      return;
    }
    this.#endRun();
    this.#run = input;
    this.#runStart = start;
    this.#runEnd = end;
  }

  /** Called once what has been collected so far has left this process, or the socket is closed. */
  onLeft(callback: () => void): void {
    this.#onLeft.push(callback);
  }

  /** Hands everything to the socket. */
  flush(): void {
    // Copied only to be put together with something else.
    if (this.#parts.length === 0 && this.#at === this.#from) this.#sendRun();
    else this.#endRun();
    this.#endSlab();
    const parts = this.#parts;
    if (parts.length === 0) return;
    this.#parts = [];
    const { socket } = this;
    const left = this.#onLeft;
    const onLeft = left.length === 0 ? undefined : () => void left.map((callback) => callback());
    if (onLeft !== undefined) this.#onLeft = [];
    if (!socket.writable) {
      onLeft?.();
    } else if (parts.length === 1) {
      socket.write(parts[0] ?? none, onLeft);
    } else {
      const last = parts.length - 1;
      socket.cork();
      for (let i = 0; i < last; i++) socket.write(parts[i] ?? none);
      socket.write(parts[last] ?? none, onLeft);
      socket.uncork();
    }
    // The socket still needs the slab when it has not taken everything.
    if (this.slab.length > 0 && this.hasLeft && freeSlabs.length < maxFreeSlabs) {
      freeSlabs.push(this.slab);
    }
    this.slab = none;
    this.#from = 0;
    this.#at = 0;
  }

  #endRun(): void {
    const bytes = this.#runEnd - this.#runStart;
    if (bytes === 0) return;
    if (bytes > copiedBytes) {
      this.#endSlab();
      this.#sendRun();
      return;
    }
    const run = this.#run;
    const start = this.#runStart;
    this.#forgetRun();
    const at = this.reserve(bytes);
    run.copy(this.slab, at, start, start + bytes);
  }

  /** The run leaves from where it is. */
  #sendRun(): void {
    const run = this.#run;
    const start = this.#runStart;
    const end = this.#runEnd;
    if (start === end) return;
    this.#forgetRun();
    this.#parts.push(start === 0 && end === run.length ? run : run.subarray(start, end));
  }

  #forgetRun(): void {
    this.#run = none;
    this.#runStart = 0;
    this.#runEnd = 0;
  }

  #endSlab(): void {
    if (this.#at === this.#from) return;
    this.#parts.push(this.slab.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }
}

/** Writes the nine bytes before a payload. */
export function putFrameHeader(
  out: Buffer,
  at: number,
  type: number,
  flags: number,
  streamId: number,
  bytes: number,
): void {
  out[at] = bytes >>> 16;
  out[at + 1] = bytes >>> 8;
  out[at + 2] = bytes;
  out[at + 3] = type;
  out[at + 4] = flags;
  out.writeUInt32BE(streamId, at + 5);
}
