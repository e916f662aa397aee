import type http2 from 'node:http2';
import type net from 'node:net';
import { waitingWrites } from './waiting-writes';

/** How often the watched connections are checked. */
const lookMs = 500;

/** Why a {@link SessionWatch} gave a session up. */
export type StandstillReason =
  /** The peer broke HTTP/2: what it sends is not read any more. */
  | 'ended'
  /** Nothing written left and nothing arrived for the time allowed. */
  | 'stalled'
  /** It was closed, but its socket is still open. */
  | 'closed';

/** A session and the connection below it. */
export interface Watched {
  readonly session: http2.Http2Session;
  readonly socket: net.Socket;
  /** How long written data may wait for the peer while nothing moves in either direction. */
  readonly maxStalledMs: number;
  /** Sends the peer a frame that it acknowledges; called at most once a second. */
  probe(acknowledged: () => void): void;
  /** Length of that acknowledgement on the wire. */
  readonly acknowledgementBytes: number;
  /** The session is stuck. It and its socket are destroyed right after this call. */
  onStandstill(reason: StandstillReason): void;
}

interface Entry extends Watched {
  read: number;
  queued: number;
  /**
   * Consecutive checks at which a write was waiting and nothing had moved. A clock would also count
   * the time of a suspended machine.
   */
  stalledLooks: number;
  /** Bytes that had been read when the session was last known to go on reading. */
  proven: number;
  probed: { readonly read: number; readonly written: number } | undefined;
  destroyedLooks: number;
}

/**
 * Detects stuck sessions of `node:http2`, which it does not report itself:
 *
 * - It does not read while a write waits, and a gRPC server in Go does not read while its own
 *   answers wait. When the buffers of both directions are full, both wait for each other forever.
 * - After a broken frame nghttp2 sends GOAWAY and stops reading. Before Node.js 24 no event reports
 *   this, and since nothing is read, the end of the peer is not seen either. It only shows in a
 *   frame that is not sent.
 */
export class SessionWatch {
  readonly #entries = new Set<Entry>();
  #timer: NodeJS.Timeout | undefined;

  /** Watches until the socket is closed, with which the session ends too. */
  add(watched: Watched): void {
    const entry: Entry = {
      ...watched,
      read: 0,
      queued: 0,
      stalledLooks: 0,
      proven: 0,
      probed: undefined,
      destroyedLooks: 0,
    };
    this.#entries.add(entry);
    watched.socket.once('close', () => {
      this.#remove(entry);
      // In some versions of Node.js (20.19, 22.14) it would wait for its calls, which never end.
      setImmediate(() => watched.session.destroy());
    });
    if (watched.socket.destroyed) this.#remove(entry);
    else this.#timer ??= setInterval(() => this.#look(), lookMs).unref();
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry);
    if (this.#entries.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    for (const entry of [...this.#entries]) {
      const reason = standstillOf(entry);
      if (reason === undefined) continue;
      this.#remove(entry);
      entry.onStandstill(reason);
      // Destroying only one can leave the other open.
      entry.session.destroy();
      entry.socket.destroy();
    }
  }
}

function standstillOf(entry: Entry): StandstillReason | undefined {
  const { session, socket } = entry;
  const read = socket.bytesRead;
  const queued = waitingWrites(socket);
  const isStill = read === entry.read && queued === entry.queued;
  entry.read = read;
  entry.queued = queued;
  if (queued > 0) {
    entry.stalledLooks = isStill ? entry.stalledLooks + 1 : 0;
    return entry.stalledLooks * lookMs >= entry.maxStalledMs ? 'stalled' : undefined;
  }
  entry.stalledLooks = 0;
  // One that was destroyed has its socket closed within a turn or two once all is written.
  if (session.destroyed) return ++entry.destroyedLooks > 1 ? 'closed' : undefined;
  if (session.connecting || !isStill) return undefined;
  return goesOnReading(entry) ? undefined : 'ended';
}

/**
 * Whether nghttp2 still works, which a sent frame shows; checked again only when something was read
 * since.
 */
function goesOnReading(entry: Entry): boolean {
  const { session, socket, probed } = entry;
  const read = socket.bytesRead;
  if (probed !== undefined) {
    entry.probed = undefined;
    const isUnsent =
      socket.bytesWritten === probed.written && (session.state.outboundQueueSize ?? 0) > 0;
    if (isUnsent) return false;
    entry.proven = Math.max(entry.proven, probed.read);
  }
  if (read === entry.proven) return true;
  entry.probed = { read, written: socket.bytesWritten };
  entry.probe(() => {
    // The acknowledgement itself is no reason for another probe. What came with it is.
    const proven = read + entry.acknowledgementBytes;
    if (socket.bytesRead === proven) entry.proven = proven;
  });
  return true;
}
