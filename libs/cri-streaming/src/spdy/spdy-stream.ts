import { Duplex } from 'node:stream';
import { maxFrameBytes } from './frames';
import type { SpdyHeaders } from './header-block';

/** How much of a stream waits to be read before the whole connection waits, bytes. */
const readAhead = 256 * 1024;
/** What a stream has under way to the client before its writer waits, bytes. */
const writeAhead = 64 * 1024;

/** What a stream needs of its connection. */
export interface StreamCarrier {
  sendData(streamId: number, payload: Buffer, isLast: boolean, done: (error?: Error) => void): void;
  sendReset(streamId: number): void;
  /** Nothing comes or goes for this stream any more. */
  closed(stream: SpdyStream): void;
}

/**
 * One stream of a connection. Its two directions end apart; destroying it before both have ended
 * resets it. SPDY's windows are not used: the peers that there are neither send nor observe them.
 */
export class SpdyStream extends Duplex {
  #wakeReader: (() => void) | undefined;
  #isDiscarding = false;
  #hasPeerEnded = false;
  #isReset = false;

  constructor(
    readonly streamId: number,
    readonly headers: SpdyHeaders,
    private readonly carrier: StreamCarrier,
  ) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: readAhead,
      writableHighWaterMark: writeAhead,
    });
    // Whoever uses the stream learns of its end by reading and writing.
    this.on('error', () => undefined);
  }

  /** Whether the client has ended its direction. */
  get hasPeerEnded(): boolean {
    return this.#hasPeerEnded;
  }

  /** Drops what has not been read, and what will come. */
  discard(): void {
    this.#isDiscarding = true;
    this.#wake();
    if (!this.destroyed) this.resume();
  }

  /** Takes what came from the client; resolves when more can be taken. For the connection. */
  receive(payload: Buffer, isLast: boolean): Promise<void> | undefined {
    if (this.#hasPeerEnded || this.destroyed) return undefined;
    const isFull = payload.length > 0 && !this.#isDiscarding && !this.push(payload) && !isLast;
    if (isLast) this.receiveEnd();
    if (!isFull) return undefined;
    return new Promise((resolve) => (this.#wakeReader = resolve));
  }

  /** Nothing more comes from the client. For the connection. */
  receiveEnd(): void {
    if (this.#hasPeerEnded) return;
    this.#hasPeerEnded = true;
    this.push(null);
  }

  /** The client has given the stream up. For the connection. */
  receiveReset(): void {
    this.#isReset = true;
    this.destroy(new Error('the client has reset the stream'));
  }

  override _read(): void {
    this.#wake();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    if (chunk.length <= maxFrameBytes) {
      this.carrier.sendData(this.streamId, chunk, false, done);
      return;
    }
    this.carrier.sendData(this.streamId, chunk.subarray(0, maxFrameBytes), false, (error) => {
      if (error !== undefined) done(error);
      else this._write(chunk.subarray(maxFrameBytes), _encoding, done);
    });
  }

  override _final(done: (error?: Error) => void): void {
    this.carrier.sendData(this.streamId, Buffer.alloc(0), true, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#wake();
    const hasEnded = this.writableFinished && this.#hasPeerEnded;
    if (!hasEnded && !this.#isReset) this.carrier.sendReset(this.streamId);
    this.carrier.closed(this);
    done(error);
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }
}
