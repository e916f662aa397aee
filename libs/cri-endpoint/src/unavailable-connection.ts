import type { Socket } from 'node:net';
import { grpcStatusCode } from '@stowage/errors';
import type { ConnectionReader, OpenCall } from './connection-reader';
import { FrameReader } from './wire/frame-reader';
import {
  goAwayFrame,
  pingAckFrame,
  rstStreamFrame,
  settingsAckFrame,
  settingsFrame,
  statusFrame,
  windowUpdateFrame,
} from './wire/raw-frames';

const lingerMs = 1_000;
const protocolError = 0x1;
const noError = 0x0;

/** What an {@link UnavailableConnection} needs from its endpoint. */
export interface RuntimeState {
  /** Whether the runtime accepts connections now. */
  answers(): Promise<boolean>;
  /** Text of UNAVAILABLE. */
  text(): string;
}

/**
 * A client's connection while there is no runtime to join it to. It speaks just enough HTTP/2 to
 * answer every call with UNAVAILABLE, in raw frames, so that clients whose `:authority` node:http2
 * refuses are served too. Each call checks for the runtime again; once it answers, the client is
 * sent to a new connection, and calls that were not answered here are retried there.
 */
export class UnavailableConnection {
  private readonly frames: FrameReader;
  private lastAnswered = 0;
  private answering = false;
  private ended = false;

  constructor(
    private readonly client: Socket,
    private readonly reader: ConnectionReader,
    private readonly runtime: RuntimeState,
    limits: { maxHeaderBlockBytes: number },
  ) {
    this.frames = new FrameReader(
      {
        onData: () => undefined,
        onDataEnd: (_streamId, _endStream, frameBytes) => {
          if (frameBytes > 0) this.write(windowUpdateFrame(0, frameBytes));
        },
        onHeaderBlock: () => undefined,
        onRstStream: () => undefined,
        onSettings: (ack) => {
          if (!ack) this.write(settingsAckFrame());
        },
        onPing: (ack, payload) => {
          if (!ack) this.write(pingAckFrame(payload.subarray(0, 8)));
        },
        onGoAway: () => undefined,
      },
      limits.maxHeaderBlockBytes,
      { preface: true },
    );
    client.once('close', () => {
      this.ended = true;
      reader.endAll('cancelled');
    });
    client.once('end', () => this.client.end());
    client.on('drain', () => client.resume());
    this.write(settingsFrame());
    client.on('data', (chunk: Buffer) => this.fromClient(chunk));
  }

  /** Sends the client to a new connection; calls that were not answered yet are retried there. */
  sendAway(): void {
    if (this.ended) return;
    for (const { streamId } of [...this.reader.openCalls()]) this.reader.endCall(streamId, 'reset');
    this.end(noError);
  }

  /** Ends now: open calls get UNAVAILABLE with `text`. */
  stop(text: string): void {
    if (this.ended) return;
    this.refuse(text);
    this.end(noError);
  }

  private fromClient(chunk: Buffer): void {
    if (this.ended) return;
    this.reader.request(chunk, 0);
    if (!this.reader.following) {
      this.end(protocolError);
      return;
    }
    // The reader took the same bytes, so this one does not throw.
    this.frames.push(chunk);
    if (this.reader.openCallCount > 0 && !this.answering) void this.answer();
  }

  private async answer(): Promise<void> {
    this.answering = true;
    const back = await this.runtime.answers();
    this.answering = false;
    if (this.isEnded()) return;
    if (back) this.sendAway();
    else this.refuse(this.runtime.text());
  }

  private isEnded(): boolean {
    return this.ended;
  }

  private refuse(text: string): void {
    const code = grpcStatusCode.UNAVAILABLE;
    const calls: OpenCall[] = [...this.reader.openCalls()];
    for (const { streamId, requestEnded } of calls) {
      this.write(statusFrame(streamId, code, text, { headersSent: false }));
      if (!requestEnded) this.write(rstStreamFrame(streamId, noError));
      this.lastAnswered = Math.max(this.lastAnswered, streamId);
      this.reader.endCall(streamId, 'unavailable', code, text);
    }
  }

  private write(frame: Buffer): void {
    if (!this.client.write(frame)) this.client.pause();
  }

  private end(code: number): void {
    this.ended = true;
    this.reader.endAll('cancelled');
    this.client.write(goAwayFrame(this.lastAnswered, code));
    this.client.end();
    this.client.resume();
    const timer = setTimeout(() => this.client.destroy(), lingerMs);
    this.client.once('close', () => clearTimeout(timer));
    this.client.once('end', () => this.client.destroySoon());
  }
}
