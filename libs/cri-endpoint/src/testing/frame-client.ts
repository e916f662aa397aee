// A client of raw frames, which sends exactly what the test asks for, valid or not.
import net from 'node:net';
import { buildFrame, dataFrame, headerFrames } from './build-frames';
import { HpackEncoder } from './encode-hpack';
import { until } from './grpc-peers';
import { clientPreface, frameType } from '../wire/frame-reader';
import { settingsFrame } from '../wire/raw-frames';

/** A frame that came. */
export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

const endStream = 0x1;

/** A message without a byte in it, with its prefix. */
export const emptyMessage = Buffer.from([0, 0, 0, 0, 0]);

/** One connection that is written to frame by frame. */
export class FrameClient {
  /** What every client begins with. */
  static readonly start = Buffer.concat([clientPreface, settingsFrame()]);

  readonly frames: ReceivedFrame[] = [];
  closed = false;
  readonly socket: net.Socket;
  private rest = Buffer.alloc(0);
  private calls = 0;

  constructor(
    socketPath: string,
    private readonly authority = 'localhost',
  ) {
    this.socket = net.connect(socketPath);
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => (this.closed = true));
    this.socket.on('data', (chunk: Buffer) => this.read(chunk));
  }

  /** The HEADERS frame of the next call. */
  headers(method: string): Buffer {
    return headerFrames(this.nextStreamId(), this.block(method));
  }

  /** Stream of the next call. */
  nextStreamId(): number {
    return 2 * this.calls++ + 1;
  }

  /** Request headers, the same for each call: nothing of them is indexed. */
  block(method: string): Buffer {
    const encoder = new HpackEncoder();
    const fields = Object.entries({
      ':method': 'POST',
      ':scheme': 'http',
      ':path': method,
      ':authority': this.authority,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    return Buffer.concat(
      fields.map(([name, value]) =>
        encoder.field({ name, value, form: 'plain', huffman: false, nameIndex: true }),
      ),
    );
  }

  /** A whole call without content; returns its stream. */
  call(method: string): number {
    const streamId = this.nextStreamId();
    this.write(
      headerFrames(streamId, this.block(method)),
      dataFrame(streamId, emptyMessage, { endStream: true }),
    );
    return streamId;
  }

  write(...parts: Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** Begins, and waits until it was answered in HTTP/2. */
  async begin(): Promise<void> {
    this.write(FrameClient.start);
    await until('SETTINGS', () => this.frames.some(({ type }) => type === frameType.settings));
  }

  /** Writes DATA of `bytes` zeros as the default window allows, in frames of at most 16 KiB. */
  sendZeros(streamId: number, bytes: number): void {
    for (let left = bytes; left > 0; left -= 16_384) {
      this.write(dataFrame(streamId, Buffer.alloc(Math.min(left, 16_384))));
    }
  }

  reset(streamId: number): Buffer {
    return buildFrame(frameType.rstStream, 0, streamId, Buffer.from([0, 0, 0, 8]));
  }

  /** Frames of one kind, of one stream if it is named. */
  received(type: number, streamId?: number): ReceivedFrame[] {
    return this.frames.filter(
      (frame) => frame.type === type && (streamId ?? frame.streamId) === frame.streamId,
    );
  }

  /** Whether a call was answered to its end. */
  isAnswered(streamId: number): boolean {
    return this.frames.some(
      (frame) => frame.streamId === streamId && (frame.flags & endStream) !== 0,
    );
  }

  leave(): void {
    this.socket.destroy();
  }

  private read(chunk: Buffer): void {
    this.rest = Buffer.concat([this.rest, chunk]);
    while (this.rest.length >= 9) {
      const end = 9 + this.rest.readUIntBE(0, 3);
      if (this.rest.length < end) return;
      this.frames.push({
        type: this.rest[3] ?? 0,
        flags: this.rest[4] ?? 0,
        streamId: this.rest.readUInt32BE(5) & 0x7fffffff,
        payload: Buffer.from(this.rest.subarray(9, end)),
      });
      this.rest = this.rest.subarray(end);
    }
  }
}
