import type { Socket } from 'node:net';
import { grpcStatusCode } from '@stowage/errors';
import type { ConnectionReader } from './connection-reader';
import { isEndlessStream } from './endless-streams';
import type { ReadBuffer } from './read-buffer';
import type { RequestRewriter } from './request-rewriter';
import {
  goAwayFrame,
  maxStreamId,
  rstStreamFrame,
  settingsFrame,
  statusFrame,
} from './wire/raw-frames';

/** How long a client that was sent away may take to close its side. */
const lingerMs = 1_000;

/** Error codes of HTTP/2. */
const noError = 0x0;
const cancel = 0x8;

/**
 * A client's connection joined to one of the runtime's. Bytes are copied both ways as they arrive,
 * under back-pressure; the reader gets each chunk after it was sent on. Our own frames are written
 * to the client only at a frame boundary of the runtime's, and only when the runtime is lost or the
 * endpoint closes.
 */
export class PipedConnection {
  private state: 'piped' | 'announcing' | 'announced' | 'ending' = 'piped';
  private drainText = '';
  /** Streams that were ended here and not yet reset on the runtime. */
  private toCancel: number[] = [];

  constructor(
    private readonly client: Socket,
    private readonly upstream: Socket,
    replies: ReadBuffer,
    private readonly reader: ConnectionReader,
    /** Text of UNAVAILABLE for calls in flight when the runtime is lost. */
    private readonly lostText: () => string,
    /** Changes paths on their way to the runtime. */
    private readonly rewriter?: RequestRewriter,
  ) {
    client.on('data', (chunk: Buffer) => this.fromClient(chunk));
    replies.onChunk = (chunk) => {
      this.fromUpstream(chunk);
      return client.writableLength === 0;
    };
    client.on('drain', () => upstream.resume());
    upstream.on('drain', () => client.resume());
    client.once('end', () => upstream.end());
    upstream.once('end', () => this.upstreamLost());
    upstream.once('close', () => this.upstreamLost());
    client.once('close', () => {
      this.state = 'ending';
      upstream.destroy();
      reader.endAll('cancelled');
    });
  }

  /**
   * Sends the client elsewhere: announces with a GOAWAY that no further streams are accepted, lets
   * open calls end, then closes. Streams that cross the announcement are still served; later ones
   * are reported as not processed, so that the client retries them on another connection. Streams
   * without an end get UNAVAILABLE with `text` at once.
   */
  drain(text: string): void {
    if (this.state !== 'piped') return;
    if (!this.reader.following) {
      // No frame can be written to this client; it is left alone until stop().
      return;
    }
    this.state = 'announcing';
    this.drainText = text;
    if (this.reader.serverSpoke && this.reader.responsesAtBoundary) this.announce();
    this.goOnEnding();
  }

  /** Reports observed calls in flight as unobserved; their summaries still come. */
  stopObserving(): void {
    this.reader.stopObserving();
  }

  /** Ends now: open calls get UNAVAILABLE with `text`. */
  stop(text: string): void {
    if (this.state === 'ending') return;
    this.endCalls(text);
  }

  private fromClient(chunk: Buffer): void {
    if (this.state === 'ending') return;
    const began = performance.now();
    if (!this.toUpstream(chunk)) this.client.pause();
    this.reader.request(chunk, performance.now() - began);
    if (this.rewriter?.broken === true) this.endCalls('a header block cannot be read');
    this.goOnEnding();
  }

  private toUpstream(chunk: Buffer): boolean {
    const { upstream, rewriter } = this;
    if (rewriter === undefined) return upstream.write(chunk);
    const parts = rewriter.push(chunk);
    if (parts.length === 1 && parts[0] === chunk) return upstream.write(chunk);
    upstream.cork();
    for (const part of parts) upstream.write(part);
    upstream.uncork();
    return !upstream.writableNeedDrain;
  }

  private fromUpstream(chunk: Buffer): void {
    if (this.state === 'ending') return;
    if (this.state === 'announcing') {
      this.announceWithin(chunk);
      return;
    }
    const began = performance.now();
    if (!this.client.write(chunk)) this.upstream.pause();
    this.reader.response(chunk, performance.now() - began);
    this.goOnEnding();
  }

  /** Reads first, to find the place in the chunk where the announcement may stand. */
  private announceWithin(chunk: Buffer): void {
    this.reader.response(chunk, 0);
    const boundary = this.reader.lastResponseBoundary;
    if (boundary < 0) {
      if (!this.client.write(chunk)) this.upstream.pause();
      return;
    }
    this.client.write(chunk.subarray(0, boundary));
    this.announce();
    if (boundary < chunk.length) this.client.write(chunk.subarray(boundary));
    if (this.client.writableNeedDrain) this.upstream.pause();
    this.goOnEnding();
  }

  private announce(): void {
    this.state = 'announced';
    // The runtime has sent a GOAWAY already, and ours must not name a higher stream.
    if (this.reader.serverGoAway === undefined) this.client.write(goAwayFrame(maxStreamId));
  }

  /** After the announcement: ends the endless streams, and the connection once nothing is open. */
  private goOnEnding(): void {
    if (this.state !== 'announced') return;
    if (this.reader.responsesAtBoundary) this.endEndless();
    this.cancelEnded();
    if (this.reader.openCallCount > 0 || !this.reader.responsesAtBoundary) return;
    this.client.write(this.finalGoAway());
    this.end();
  }

  /**
   * The runtime continues the other calls of the connection. Frames that it has already sent for an
   * ended stream arrive after the end; HTTP/2 clients drop such late frames of a closed stream.
   */
  private endEndless(): void {
    const code = grpcStatusCode.UNAVAILABLE;
    const text = this.drainText;
    for (const { streamId, method, headersSent, requestEnded } of [...this.reader.openCalls()]) {
      if (!isEndlessStream(method)) continue;
      this.client.write(statusFrame(streamId, code, text, { headersSent, othersGoOn: true }));
      if (!requestEnded) this.client.write(rstStreamFrame(streamId, noError));
      this.reader.endCall(streamId, 'unavailable', code, text);
      this.toCancel.push(streamId);
    }
  }

  private cancelEnded(): void {
    if (this.toCancel.length === 0 || !this.reader.requestsAtBoundary) return;
    for (const streamId of this.toCancel.splice(0)) {
      this.upstream.write(rstStreamFrame(streamId, cancel));
    }
  }

  private upstreamLost(): void {
    if (this.state === 'ending') return;
    if (this.client.readableEnded) {
      // The client left first, and the runtime closed because of it.
      this.reader.endAll('cancelled');
      this.end();
      return;
    }
    this.endCalls(this.lostText());
  }

  /**
   * Answers every open call and sends the client away, or only closes where no frame may be
   * written.
   */
  private endCalls(text: string): void {
    const { client, reader } = this;
    const code = grpcStatusCode.UNAVAILABLE;
    if (reader.responsesAtBoundary) {
      if (!reader.serverSpoke) client.write(settingsFrame());
      for (const { streamId, headersSent } of reader.openCalls()) {
        client.write(statusFrame(streamId, code, text, { headersSent }));
      }
      client.write(this.finalGoAway());
    }
    reader.endAll('unavailable', code, text);
    this.end();
  }

  private finalGoAway(): Buffer {
    const { lastStreamId, serverGoAway } = this.reader;
    return goAwayFrame(Math.min(lastStreamId, serverGoAway ?? lastStreamId));
  }

  /** Closes both sides once what was written has left. Further bytes of the client are dropped. */
  private end(): void {
    this.state = 'ending';
    this.upstream.destroy();
    this.client.end();
    this.client.resume();
    const timer = setTimeout(() => this.client.destroy(), lingerMs);
    this.client.once('close', () => clearTimeout(timer));
    this.client.once('end', () => this.client.destroySoon());
  }
}
