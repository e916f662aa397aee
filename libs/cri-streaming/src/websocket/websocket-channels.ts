import { inTime } from '@stowage/async';
import { Readable, Writable } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { endOutput } from '../end-output';

/** How much of a channel waits to be read before the whole connection waits, bytes. */
const readAhead = 256 * 1024;
/** In the place of a channel: the channel whose number follows ends here. */
const closeSignal = 255;
/** How long a client may take to answer the end of the connection, milliseconds. */
export const closeWithinMs = 10_000;
/** Status of a WebSocket that ends as it should. */
const normalClosure = 1000;

export interface WebSocketChannelsOptions {
  /** Channels, from 0 on. */
  readonly count: number;
  /** Whether content is text: the digit of the channel, then base64. */
  readonly isBase64: boolean;
  /** Whether the client can end a channel alone, as it can from `v5.channel.k8s.io` on. */
  readonly canEndChannels: boolean;
  /** Content came or went. */
  readonly onActivity?: () => void;
}

/** Several streams in one WebSocket: each message begins with the number of its stream. */
export class WebSocketChannels {
  /** Resolves when the client has closed the connection or it broke; never rejects. */
  readonly gone: Promise<void>;
  readonly #readables = new Map<number, ReadableChannel>();
  readonly #writables: Writable[] = [];
  readonly #full = new Set<number>();
  #isFinishing = false;

  constructor(
    private readonly socket: WebSocket,
    private readonly options: WebSocketChannelsOptions,
  ) {
    socket.binaryType = 'nodebuffer';
    socket.on('error', () => undefined);
    socket.on('message', (data) => this.#receive(data));
    this.gone = new Promise((resolve) => {
      socket.once('close', () => {
        for (const channel of this.#readables.values()) channel.end();
        resolve();
      });
    });
  }

  /** What the client writes to a channel. What comes for channels that nobody reads is dropped. */
  readable(channel: number): Readable {
    const readable = new ReadableChannel(() => {
      if (this.#full.delete(channel) && this.#full.size === 0) this.socket.resume();
    });
    this.#readables.set(channel, readable);
    return readable;
  }

  /** What is written to a channel for the client. */
  writable(channel: number): Writable {
    const writable = new Writable({
      write: (chunk: Buffer, _encoding, done) => this.send(channel, chunk, done),
    });
    writable.on('error', () => undefined);
    this.#writables.push(writable);
    return writable;
  }

  /** One message on a channel, which may be empty. */
  send(
    channel: number,
    content: Buffer,
    done: (error?: Error | null) => void = () => undefined,
  ): void {
    this.options.onActivity?.();
    const message = this.options.isBase64
      ? `${channel}${content.toString('base64')}`
      : Buffer.concat([Buffer.from([channel]), content]);
    this.socket.send(message, { binary: !this.options.isBase64 }, done);
  }

  /** Sends something that the client answers by itself: whether there is one. */
  probe(): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.ping();
  }

  /** Ends all channels, and the connection when everything is sent. */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    await Promise.all(this.#writables.map(endOutput));
    this.#full.clear();
    for (const channel of this.#readables.values()) channel.resume();
    this.socket.resume();
    this.socket.close(normalClosure);
    await inTime(this.gone, closeWithinMs);
    this.socket.terminate();
  }

  /** Ends it at once; what is under way is lost. */
  destroy(): void {
    this.socket.terminate();
  }

  #receive(data: RawData): void {
    const message = data as Buffer;
    const [first] = message;
    if (first === undefined || this.#isFinishing) return;
    if (this.options.canEndChannels && first === closeSignal) {
      const channel = message[1];
      if (message.length !== 2 || channel === undefined || channel >= this.options.count) {
        this.socket.close(1002, 'a channel must follow the signal that ends it');
        return;
      }
      this.#readables.get(channel)?.end();
      return;
    }
    this.options.onActivity?.();
    const channel = this.options.isBase64 ? first - 0x30 : first;
    const content = this.options.isBase64
      ? Buffer.from(message.toString('latin1', 1), 'base64')
      : message.subarray(1);
    const readable = this.#readables.get(channel);
    if (readable === undefined || content.length === 0 || readable.accept(content)) return;
    this.#full.add(channel);
    this.socket.pause();
  }
}

class ReadableChannel extends Readable {
  #hasEnded = false;

  constructor(private readonly onWanted: () => void) {
    super({ highWaterMark: readAhead });
    this.on('error', () => undefined);
  }

  /** False when nothing more should come for now. */
  accept(content: Buffer): boolean {
    return this.#hasEnded || this.destroyed || this.push(content);
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.push(null);
  }

  override _read(): void {
    this.onWanted();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.onWanted();
    done(error);
  }
}
