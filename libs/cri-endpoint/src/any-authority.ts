import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { maxCallsPerConnection } from './client-share';
import { RequestRewriter, type RewriterLimits } from './request-rewriter';
import { settingsFrame } from './wire/raw-frames';

/**
 * What nghttp2, and so node:http2, accepts as an authority. The path of a unix socket is not one.
 */
const acceptable = /^[A-Za-z0-9!$&'()*+,;=:@[\]._~%-]+$/;

/**
 * How long a client may be silent before it is passed to node:http2, which then answers its
 * SETTINGS and PING.
 */
const silenceMs = 1_000;
/** How many bytes of a client are kept while its first request is awaited. */
const maxWaitingBytes = 256 * 1024;
/** How long the acknowledgement of SETTINGS may take once there is a request. */
const ackMs = 50;
/** How long the preface of a client, or a header block that it has begun, may take. */
const unfinishedMs = 10_000;

/** A client whose first request is awaited. */
export interface AwaitedClient {
  /** Passes the client on as it is. */
  release(): void;
}

/**
 * Makes clients with any `:authority` acceptable to node:http2, which resets calls that name a
 * socket path (Go clients before Kubernetes 1.31 do) before any code of ours sees them. Reads along
 * until the first request has arrived. A client whose authority is valid is passed on as its plain
 * socket, and costs nothing from then on. Otherwise `localhost` replaces the authority in every
 * request of the connection, whose bytes then pass through this process. Go clients wait for
 * SETTINGS before they send a request, so they are sent some; their acknowledgement, which
 * node:http2 would not expect, is dropped.
 *
 * @param ready gets the connection once, for `server.emit('connection', …)`; never when the client
 * leaves before.
 */
export function awaitAuthority(
  socket: Socket,
  limits: RewriterLimits,
  ready: (connection: Duplex) => void,
): AwaitedClient {
  const rewriter = new RequestRewriter(
    { authority: (authority) => (acceptable.test(authority) ? authority : 'localhost') },
    limits,
  );
  const waiting: Buffer[] = [];
  let waitingBytes = 0;
  let settingsSent = false;
  let over = false;

  const detach = (): boolean => {
    if (over) return false;
    over = true;
    clearTimeout(timer);
    socket.off('data', read).off('end', ended).off('close', detach);
    return true;
  };
  /** As the socket itself. */
  const pass = (): void => {
    if (!detach()) return;
    socket.pause();
    socket.unshift(Buffer.concat([...waiting, ...rewriter.release()]));
    ready(socket);
  };
  /** With the rewriter in between. */
  const release = (): void => {
    if (detach()) ready(new RewrittenConnection(socket, rewriter, waiting));
  };
  const read = (chunk: Buffer): void => {
    waiting.push(...rewriter.push(chunk));
    waitingBytes += chunk.length;
    if (rewriter.changed || rewriter.broken || rewriter.passing || waitingBytes > maxWaitingBytes) {
      release();
    } else if (rewriter.sawRequest && !rewriter.settingsAckDue) {
      pass();
    } else if (!settingsSent) {
      settingsSent = true;
      rewriter.dropSettingsAck();
      socket.write(settingsFrame({ maxConcurrentStreams: maxCallsPerConnection }));
    } else if (rewriter.sawRequest) {
      clearTimeout(timer);
      timer = setTimeout(release, ackMs);
    }
  };
  const ended = (): void => {
    if (waiting.length > 0) release();
    else socket.end();
  };
  let timer = setTimeout(release, silenceMs);
  socket.on('data', read).once('end', ended).once('close', detach);
  return { release };
}

/** A socket whose incoming bytes go through a rewriter. */
class RewrittenConnection extends Duplex {
  private unfinished: NodeJS.Timeout | undefined;

  constructor(
    private readonly socket: Socket,
    private readonly rewriter: RequestRewriter,
    first: readonly Buffer[],
  ) {
    super({ allowHalfOpen: false });
    for (const part of first) this.push(part);
    if (socket.readableEnded) this.push(null);
    else socket.once('end', () => this.push(null));
    socket.on('data', (chunk: Buffer) => this.fromClient(chunk));
    socket.once('close', () => this.destroy());
    if (rewriter.broken || socket.destroyed) this.destroy();
    else this.limitUnfinished();
  }

  override _read(): void {
    this.socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    if (this.socket.write(chunk)) {
      done();
      return;
    }
    const settle = (): void => {
      this.socket.off('drain', settle).off('close', settle);
      done();
    };
    this.socket.once('drain', settle).once('close', settle);
  }

  override _final(done: (error?: Error) => void): void {
    this.socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.unfinished);
    // What was written before still leaves.
    this.socket.destroySoon();
    done(error);
  }

  private fromClient(chunk: Buffer): void {
    let wanted = true;
    for (const part of this.rewriter.push(chunk)) wanted = this.push(part);
    if (this.rewriter.broken) this.destroy();
    else if (!wanted) this.socket.pause();
    this.limitUnfinished();
  }

  private limitUnfinished(): void {
    if (!this.rewriter.unfinished || this.destroyed) {
      clearTimeout(this.unfinished);
      this.unfinished = undefined;
    } else {
      this.unfinished ??= setTimeout(() => this.socket.destroy(), unfinishedMs);
    }
  }
}
