import { inTime, pause } from '@stowage/async';
import type { Duplex } from 'node:stream';
import { endOutput } from '../end-output';
import {
  controlFrame,
  dataHead,
  flagFin,
  FrameParser,
  frameType,
  goAwayStatus,
  numbersFrame,
  SpdyProtocolError,
  streamStatus,
  type ControlFrame,
  type SpdyFrame,
} from './frames';
import { HeaderDeflater, HeaderInflater } from './header-block';
import { SpdyStream, type StreamCarrier } from './spdy-stream';

/** Streams at once; more are refused. */
const maxStreams = 2048;
/**
 * How long the client has to close the connection after it got everything, before this side closes
 * its direction, milliseconds. Proxies that notice the end of one side close the other with what is
 * under way in it, so that it is better when the end comes from the client.
 */
const lingerMs = 1000;
/** How long the client may then take to close the connection, milliseconds. */
const closeWithinMs = 10_000;

export interface SpdyConnectionOptions {
  /** A stream that the client has opened; false refuses it. */
  readonly onStream: (stream: SpdyStream) => boolean;
  /** Content came or went. */
  readonly onActivity?: () => void;
}

/** The server's side of a SPDY/3.1 connection, on any two-way stream of bytes. */
export class SpdyConnection implements StreamCarrier {
  /**
   * Resolves when the client has ended the connection or it broke; never rejects. What was sent
   * before has been given to the streams.
   */
  readonly gone: Promise<void>;
  readonly #transport: Duplex;
  readonly #options: SpdyConnectionOptions;
  readonly #inflater = new HeaderInflater();
  readonly #deflater = new HeaderDeflater();
  readonly #parser = new FrameParser();
  readonly #streams = new Map<number, SpdyStream>();
  #waiting: ((error?: Error) => void)[] = [];
  #lastStreamId = 0;
  #pings = 0;
  #isFinishing = false;
  #isReading = true;

  constructor(transport: Duplex, options: SpdyConnectionOptions) {
    this.#transport = transport;
    this.#options = options;
    transport.on('error', () => undefined);
    transport.on('drain', () => this.#release());
    const closed = new Promise<void>((resolve) => {
      transport.once('close', () => {
        this.#release(new Error('the connection is closed'));
        resolve();
      });
    });
    this.gone = Promise.race([this.#read(), closed]).then(() => {
      this.#isReading = false;
      this.#inflater.close();
      for (const stream of this.#streams.values()) stream.receiveEnd();
    });
  }

  /** Streams that are open. */
  get streams(): readonly SpdyStream[] {
    return [...this.#streams.values()];
  }

  /**
   * Sends something that the client answers by itself: while nothing is read, because a stream is
   * full, this shows whether there is a client at all.
   */
  probe(): void {
    this.#pings += 2;
    this.#send(numbersFrame(frameType.ping, this.#pings));
  }

  /**
   * Ends all streams, waits until everything is sent, and closes the connection without losing what
   * is under way: this side is closed first, and the client's is read on for at most ten seconds.
   */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    // A client that has closed its direction need not read all.
    const sent = new AbortController();
    const late = this.gone.then(() => pause(closeWithinMs, { signal: sent.signal }));
    await Promise.race([this.#sendRest(), late]);
    sent.abort();
    await inTime(this.gone, closeWithinMs);
    this.#transport.destroy();
  }

  /** Sends what there is, and closes this side. */
  async #sendRest(): Promise<void> {
    await Promise.all(this.streams.map(endStream));
    await this.#sent();
    await inTime(this.gone, lingerMs);
    this.#goAway(goAwayStatus.ok);
    await endOutput(this.#transport);
  }

  /** Ends it at once; what is under way is lost. */
  destroy(): void {
    this.#transport.destroy();
  }

  sendData(
    streamId: number,
    payload: Buffer,
    isLast: boolean,
    done: (error?: Error) => void,
  ): void {
    this.#options.onActivity?.();
    this.#send(dataHead(streamId, payload.length, isLast), payload);
    if (!this.#transport.writable) done(new Error('the connection is closed'));
    else if (this.#transport.writableNeedDrain) this.#waiting.push(done);
    else done();
  }

  sendReset(streamId: number): void {
    this.#send(numbersFrame(frameType.rstStream, streamId, streamStatus.cancel));
  }

  closed(stream: SpdyStream): void {
    this.#streams.delete(stream.streamId);
  }

  #send(...parts: readonly Buffer[]): void {
    if (!this.#transport.writable) return;
    this.#transport.cork();
    for (const part of parts) {
      if (part.length > 0) this.#transport.write(part);
    }
    this.#transport.uncork();
  }

  #goAway(status: number): void {
    this.#send(numbersFrame(frameType.goAway, this.#lastStreamId, status));
  }

  #release(error?: Error): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done(error);
  }

  /** Resolves when everything has left this process, or the connection is closed. */
  #sent(): Promise<void> {
    if (!this.#transport.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(() => resolve()));
  }

  async #read(): Promise<void> {
    try {
      // The loop must not destroy the transport at its end: something may be under way to the
      // client.
      const chunks = this.#transport.iterator({
        destroyOnReturn: false,
      }) as AsyncIterable<Buffer>;
      for await (const chunk of chunks) {
        for (const frame of this.#parser.parse(chunk)) {
          const isDone = this.#receive(frame);
          if (isDone !== undefined) await isDone;
        }
      }
    } catch (error) {
      if (!(error instanceof SpdyProtocolError)) return;
      this.#goAway(goAwayStatus.protocolError);
      this.#transport.end();
      await pause(lingerMs);
      this.#transport.destroy();
    }
  }

  #receive(frame: SpdyFrame): Promise<void> | undefined {
    if (frame.kind === 'control') return this.#receiveControl(frame);
    this.#options.onActivity?.();
    const stream = this.#streams.get(frame.streamId);
    if (stream !== undefined) {
      if (this.#isFinishing) stream.discard();
      return stream.receive(frame.payload, frame.isLast);
    }
    if (frame.streamId > this.#lastStreamId) {
      throw new SpdyProtocolError(`data for stream ${frame.streamId}, which was never opened`);
    }
    // The rest of a stream that is closed here already.
    return undefined;
  }

  #receiveControl({ type, flags, payload }: ControlFrame): Promise<void> | undefined {
    switch (type) {
      case frameType.synStream:
        return this.#open(flags, payload);
      case frameType.rstStream:
        this.#streams.get(streamIdOf(payload))?.receiveReset();
        return undefined;
      case frameType.ping:
        // Those of the client have odd numbers; the others are answers.
        if (payload.length === 4 && payload.readUInt32BE() % 2 === 1) {
          this.#send(controlFrame(frameType.ping, payload));
        }
        return undefined;
      case frameType.headers:
      case frameType.synReply:
        return this.#readHeaders(flags, payload);
      default:
        // Windows and settings are for senders that hold something back; what is unknown is
        // ignored.
        return undefined;
    }
  }

  /** They mean nothing here, but belong to the one compressed stream of all headers. */
  async #readHeaders(flags: number, payload: Buffer): Promise<void> {
    const streamId = streamIdOf(payload);
    await this.#inflater.inflate(payload.subarray(4));
    if ((flags & flagFin) !== 0) this.#streams.get(streamId)?.receiveEnd();
  }

  async #open(flags: number, payload: Buffer): Promise<void> {
    if (payload.length < 10) throw new SpdyProtocolError('SYN_STREAM is too short');
    const streamId = streamIdOf(payload);
    const headers = await this.#inflater.inflate(payload.subarray(10));
    if (streamId % 2 === 0 || streamId <= this.#lastStreamId) {
      throw new SpdyProtocolError(`stream ${streamId} cannot be opened`);
    }
    this.#lastStreamId = streamId;
    if (this.#isFinishing || this.#streams.size >= maxStreams || !this.#isReading) {
      this.#send(numbersFrame(frameType.rstStream, streamId, streamStatus.refusedStream));
      return;
    }
    this.#options.onActivity?.();
    const stream = new SpdyStream(streamId, headers, this);
    this.#streams.set(streamId, stream);
    if ((flags & flagFin) !== 0) stream.receiveEnd();
    if (!this.#options.onStream(stream)) {
      stream.destroy();
      return;
    }
    // The client waits for the reply before it writes to the stream.
    const reply = Buffer.concat([streamIdBytes(streamId), this.#deflater.deflate()]);
    this.#send(controlFrame(frameType.synReply, reply));
  }
}

function streamIdOf(payload: Buffer): number {
  if (payload.length < 4) throw new SpdyProtocolError('control frame is too short');
  return payload.readUInt32BE() & 0x7fffffff;
}

function streamIdBytes(streamId: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(streamId);
  return bytes;
}

/** Ends this side of a stream, and drops what the client sends. */
function endStream(stream: SpdyStream): Promise<void> {
  stream.discard();
  return endOutput(stream);
}
