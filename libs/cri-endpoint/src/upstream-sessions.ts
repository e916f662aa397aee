import http2 from 'node:http2';
import type net from 'node:net';
import { errorMessage } from '@stowage/errors';
import { connectUnix, type Connecting } from './connect-unix';

/** Window of each stream in bytes: what the runtime may send ahead of a slow client. */
const streamWindowBytes = 1024 * 1024;
/** Window of a connection: many streams may fill theirs at once. */
const connectionWindowBytes = 64 * 1024 * 1024;
/** Streams a server allows before its SETTINGS say otherwise, as nghttp2 assumes. */
const streamsBeforeSettings = 100;
/** Stream ids end at 2^31 and each stream takes two: a session retires well before. */
const maxStreamsPerSession = 2 ** 29;

/** Limits of node:http2 that must not cut a long-lived connection between well-known peers. */
export const sessionLimits = {
  maxSessionMemory: 1024,
  maxHeaderListPairs: 4096,
  maxSendHeaderBlockLength: 16 * 1024 * 1024,
  maxSessionInvalidFrames: 2 ** 31,
  maxSessionRejectedStreams: 2 ** 31,
} as const;

/** What both sides of a forwarded connection tell their peer. */
export const sessionSettings: http2.Settings = {
  enablePush: false,
  initialWindowSize: streamWindowBytes,
  maxHeaderListSize: 16 * 1024 * 1024,
};

/** Opens the connection window as wide as {@link sessionSettings} assumes. */
export function widenWindow(session: http2.Http2Session): void {
  session.setLocalWindowSize(connectionWindowBytes);
}

/** A connection to the runtime. */
export interface UpstreamSession {
  readonly session: http2.ClientHttp2Session;
  /** Why the connection failed, once it has. */
  failure: string | undefined;
  started: number;
  open: number;
}

/** Nobody takes connections. */
export interface NoUpstream {
  readonly session: undefined;
  readonly failure: string;
}

type Use = (found: UpstreamSession | NoUpstream) => void;

/** The connections to one socket. */
interface Pool {
  readonly address: string;
  readonly sessions: UpstreamSession[];
  /** Calls for which a connection is being made, first come first served. */
  readonly waiting: Set<{ readonly use: Use }>;
  connecting: Connecting | undefined;
}

/**
 * HTTP/2 connections to unix sockets, shared by all calls: one a socket, a further one only when the server
 * allows no more streams on those there are. A connection that got GOAWAY or failed takes no new calls.
 */
export class UpstreamSessions {
  private readonly pools = new Map<string, Pool>();

  /**
   * Calls `use` with a connection that takes another call, in this call where there is one, else when one is made or has
   * failed. The caller counts the call in `open` for as long as it lasts. Returns what gives up the waiting.
   */
  acquire(address: string, use: Use): () => void {
    const pool = this.poolOf(address);
    const free = pool.sessions.find(takesCalls);
    if (free !== undefined) {
      use(free);
      return () => undefined;
    }
    const waiting = { use };
    pool.waiting.add(waiting);
    this.connect(pool);
    return () => void pool.waiting.delete(waiting);
  }

  /** Ends every connection at once, and the making of others. Calls that wait for one are dropped. */
  close(): void {
    for (const { sessions, waiting, connecting } of this.pools.values()) {
      waiting.clear();
      connecting?.cancel();
      for (const { session } of [...sessions]) session.destroy();
    }
  }

  private poolOf(address: string): Pool {
    let pool = this.pools.get(address);
    if (pool === undefined) {
      pool = { address, sessions: [], waiting: new Set(), connecting: undefined };
      this.pools.set(address, pool);
    }
    return pool;
  }

  private connect(pool: Pool): void {
    pool.connecting ??= connectUnix(pool.address, {
      connected: (socket) => {
        pool.connecting = undefined;
        const connection = join(socket, pool.sessions);
        for (const waiting of pool.waiting) {
          if (!takesCalls(connection)) break;
          pool.waiting.delete(waiting);
          waiting.use(connection);
        }
        if (pool.waiting.size > 0) this.connect(pool);
      },
      failed: (error) => {
        pool.connecting = undefined;
        const waiting = [...pool.waiting];
        pool.waiting.clear();
        for (const { use } of waiting) use({ session: undefined, failure: errorMessage(error) });
      },
    });
  }
}

/** Speaks HTTP/2 on a connection, which is one of `sessions` until it ends. */
function join(socket: net.Socket, sessions: UpstreamSession[]): UpstreamSession {
  const session = http2.connect('http://localhost', {
    createConnection: () => socket,
    settings: sessionSettings,
    ...sessionLimits,
  });
  const connection: UpstreamSession = { session, failure: undefined, started: 0, open: 0 };
  sessions.push(connection);
  session.once('connect', () => widenWindow(session));
  const fail = (error: Error): void => void (connection.failure ??= errorMessage(error));
  socket.prependListener('error', fail);
  socket.prependListener('close', () => (connection.failure ??= 'connection lost'));
  session.on('error', fail);
  session.once('close', () => {
    const index = sessions.indexOf(connection);
    if (index >= 0) sessions.splice(index, 1);
  });
  return connection;
}

function takesCalls({ session, started, open }: UpstreamSession): boolean {
  if (session.closed || session.destroyed) return false;
  if (started >= maxStreamsPerSession) {
    session.close();
    return false;
  }
  return open < (session.remoteSettings.maxConcurrentStreams ?? streamsBeforeSettings);
}
