import type net from 'node:net';
import { ClientCalls, type CallsConnection } from './client-calls';
import { ClientFrames, type ClientSettings } from './client-frames';
import { ClientReplies } from './client-replies';
import type { PipeHost } from './pipe-host';
import { Standstill } from './standstill';
import type { ReadBuffer } from '../read-buffer';
import { waitingWrites } from '../waiting-writes';
import { FrameWriter } from '../wire/frame-writer';
import { Http2Error } from '../wire/http2-error';
import { maxStreamId } from '../wire/raw-frames';

/** What waits for a client that reads nothing before nothing more of it is read. */
const maxUnreadBytes = 512 * 1024;
/** How long a client that was sent away may take to close its side. */
const lingerMs = 1_000;
/** How long calls are accepted that a client began before it had read the GOAWAY. */
const sentAwayMs = 1_000;
/** Calls that a client may cancel beyond its limit before its new ones are not begun any more. */
const maxResetsBeyond = 500;
/** Looks after which a connection is closed that takes nothing, or that does not begin. */
const maxStalledLooks = 120;
const maxUnfinishedLooks = 20;

/**
 * A client's connection to a checked endpoint. Its frames end here: {@link ClientCalls} gives each
 * call a verdict, and what goes to the runtime is written anew. This is the life of the connection:
 * what is read and written, how it is sent away and how it ends.
 */
export class PipeClient implements CallsConnection {
  readonly #writer: FrameWriter;
  readonly #replies: ClientReplies;
  readonly #calls: ClientCalls;
  readonly #frames: ClientFrames;
  readonly #standstill = new Standstill();
  #unfinishedLooks = 0;
  /** `leaving`: told that no new calls are taken, those on the way are; `closing`: they are not. */
  #state: 'open' | 'leaving' | 'closing' | 'ended' = 'open';
  #resetsBeyond = 0;

  constructor(
    private readonly socket: net.Socket,
    /** What the socket reads into. */
    received: ReadBuffer,
    private readonly host: PipeHost,
  ) {
    const writer = new FrameWriter(socket);
    this.#writer = writer;
    this.#replies = new ClientReplies(writer);
    this.#calls = new ClientCalls(this, writer, this.#replies, host);
    this.#frames = new ClientFrames(this.#calls);
    received.onChunk = (chunk) => {
      this.#read(chunk);
      return this.#calls.upstreams.haveLeft;
    };
    socket.on('drain', () => this.#drained());
    socket.once('end', () => this.#gone());
    socket.once('close', () => this.#gone());
  }

  get callCount(): number {
    return this.#calls.count;
  }

  get settings(): ClientSettings {
    return this.#frames.settings;
  }

  get isClosing(): boolean {
    return this.#state === 'closing';
  }

  get isFull(): boolean {
    return this.socket.writableLength >= this.socket.writableHighWaterMark;
  }

  get hasUnread(): boolean {
    return waitingWrites(this.socket) > 0;
  }

  /**
   * Sends the client elsewhere: calls in flight may end, and those that cross the GOAWAY are still
   * served. Streams without an end get UNAVAILABLE at once.
   */
  drain(): void {
    if (this.#state === 'ended') return;
    if (!this.#frames.hasBegun) {
      this.#replies.greet();
      this.#close();
    } else if (this.#state === 'open') {
      this.#state = 'leaving';
      this.#replies.goAway(maxStreamId);
    }
    this.#calls.stopEndless();
    this.settle();
    this.flush();
  }

  /** Ends now: open calls get UNAVAILABLE. */
  stop(): void {
    if (this.#state === 'ended') return;
    this.#replies.greet();
    this.#calls.stop();
    this.#close();
    this.flush();
    this.#end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Reports observed calls in flight as unobserved; they themselves go on. */
  stopObserving(): void {
    this.#calls.stopObserving();
  }

  /** Called twice a second: ends what stands still. */
  look(): void {
    if (this.#standstill.looks(this.socket) >= maxStalledLooks) {
      this.host.detached('stalled');
      this.destroy();
      return;
    }
    if (this.#state === 'ended') return;
    this.#unfinishedLooks = this.#frames.isUnfinished ? this.#unfinishedLooks + 1 : 0;
    if (this.#unfinishedLooks >= maxUnfinishedLooks) {
      this.destroy();
      return;
    }
    this.#calls.look();
    this.flush();
  }

  /** Hands everything that was written to the sockets; what has ended is reported after that. */
  flush(): void {
    if (!this.socket.destroyed) {
      const { upstreams } = this.#calls;
      this.#writer.flush();
      upstreams.flush();
      const isFull = this.socket.writableLength > maxUnreadBytes || upstreams.isFull;
      if (isFull && this.#state !== 'ended') this.socket.pause();
    }
    this.#calls.reports.send();
  }

  #read(chunk: Buffer): void {
    if (this.#state === 'ended') return;
    try {
      this.#frames.push(chunk);
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      this.#broken(error);
      return;
    }
    if (this.#frames.hasBegun) this.#replies.greet();
    this.flush();
  }

  /** The client broke HTTP/2 or went beyond a limit. */
  #broken({ code }: Http2Error): void {
    this.host.detached('protocol');
    this.#replies.greet();
    this.#replies.goAway(this.#calls.lastStreamId, code);
    this.#end();
  }

  resume(): void {
    if (!this.socket.isPaused() || this.socket.writableLength > maxUnreadBytes) return;
    if (!this.#calls.upstreams.isFull) this.socket.resume();
  }

  #drained(): void {
    this.#calls.drained();
    this.flush();
    this.resume();
  }

  /** A client that is leaving has no calls left. */
  settle(): void {
    if (this.#calls.count > 0) return;
    if (this.#state === 'leaving') this.#close();
    if (this.#state === 'closing') this.#end();
  }

  cancelsTooMuch(): void {
    if (this.#state === 'open') {
      this.#state = 'leaving';
      this.#replies.goAway(maxStreamId);
      setTimeout(() => {
        if (this.#state !== 'leaving') return;
        this.#close();
        this.settle();
        this.flush();
      }, sentAwayMs).unref();
    } else if (this.#state === 'leaving' && ++this.#resetsBeyond > maxResetsBeyond) {
      this.#close();
    }
  }

  /** From now on no call is begun. */
  #close(): void {
    if (this.#state === 'closing' || this.#state === 'ended') return;
    this.#state = 'closing';
    this.#replies.goAway(this.#calls.lastStreamId);
  }

  /** Closes once what was written has left. Further bytes of the client are dropped. */
  #end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#frames.stop();
    this.#calls.end();
    this.#writer.flush();
    this.socket.end();
    this.socket.resume();
    const timer = setTimeout(() => this.socket.destroy(), lingerMs);
    this.socket.once('close', () => clearTimeout(timer));
  }

  /** The client has left. */
  #gone(): void {
    if (this.#state !== 'ended') {
      this.#state = 'ended';
      this.#frames.stop();
      this.#calls.end();
    }
    if (this.socket.destroyed) this.host.gone(this);
    else this.socket.destroySoon();
  }
}
