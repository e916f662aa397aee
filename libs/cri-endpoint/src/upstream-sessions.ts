import http2 from 'node:http2';
import type net from 'node:net';
import { errorMessage } from '@stowage/errors';
import { maxCallsPerConnection } from './client-share';
import { connectUnix, type Connecting } from './connect-unix';
import { frameHeaderBytes } from './wire/frame-reader';
import type { SessionWatch, StandstillReason } from './session-watch';

/**
 * Window of each stream to the runtime in bytes: what it may send ahead of a slow client, and so
 * what is held here.
 */
const streamWindowBytes = 256 * 1024;
/** Window of each stream of a client: requests are small. */
const clientStreamWindowBytes = 64 * 1024;
/** Window of a connection: many streams may fill theirs at once. */
const connectionWindowBytes = 64 * 1024 * 1024;
/** Streams a server allows before its SETTINGS say otherwise, as nghttp2 assumes. */
const streamsBeforeSettings = 100;
/** Stream ids end at 2^31 and each stream takes two: a session retires well before. */
const maxStreamsPerSession = 2 ** 29;

/**
 * How long a connection to the runtime may neither take nor deliver anything while something waits
 * to be sent.
 */
const maxStalledMs = 5_000;

/**
 * Limits of node:http2 that must not cut a long-lived connection between well-known peers. The last
 * two exist from Node.js 22 on; see {@link ClientShare.callReset} for those before.
 */
export const sessionLimits = {
  maxSessionMemory: 1024,
  maxHeaderListPairs: 4096,
  maxSendHeaderBlockLength: 16 * 1024 * 1024,
  maxSessionInvalidFrames: 2 ** 31,
  maxSessionRejectedStreams: 2 ** 31,
  maxOutstandingSettings: 100,
  streamResetBurst: 2 ** 31,
  streamResetRate: 2 ** 31,
} as const;

/** SETTINGS that both sides of a forwarded connection send their peer. */
export const sessionSettings: http2.Settings = {
  enablePush: false,
  initialWindowSize: streamWindowBytes,
  maxHeaderListSize: 16 * 1024 * 1024,
};

/** SETTINGS that clients are sent. */
export const clientSettings: http2.Settings = {
  ...sessionSettings,
  initialWindowSize: clientStreamWindowBytes,
  maxConcurrentStreams: maxCallsPerConnection,
};

/** Opens the connection window as wide as {@link sessionSettings} assumes. */
export function widenWindow(session: http2.Http2Session): void {
  session.setLocalWindowSize(connectionWindowBytes);
}

/** A connection to the runtime. */
export interface UpstreamSession {
  readonly session: http2.ClientHttp2Session;
  readonly socket: net.Socket;
  /** Whether the server has said how many streams it allows. */
  hasSettings: boolean;
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

/** What {@link UpstreamSessions} needs of its endpoint. */
export interface UpstreamOptions {
  readonly watch: SessionWatch;
  /** A connection to `address` was stuck and given up; its calls get UNAVAILABLE. */
  onGivenUp(address: string, reason: string): void;
}

/**
 * HTTP/2 connections to unix sockets for the calls of one client: one for each socket, another one
 * only when the server allows no more streams on the existing ones. A connection that got GOAWAY or
 * failed takes no new calls. Clients share none, so that nothing one client does to its connection
 * affects the others.
 */
export class UpstreamSessions {
  private readonly pools = new Map<string, Pool>();

  constructor(private readonly options: UpstreamOptions) {}

  /**
   * Calls `use` with a connection that can take another call: at once where there is one, else when
   * one is made or has failed. The caller counts the call in `open` for as long as it lasts.
   * Returns a function that stops waiting.
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
    this.serve(pool);
    return () => void pool.waiting.delete(waiting);
  }

  /** Ends every connection at once, including attempts. Calls that wait for one are dropped. */
  close(): void {
    for (const { sessions, waiting, connecting } of this.pools.values()) {
      waiting.clear();
      connecting?.cancel();
      for (const { session, socket } of [...sessions]) {
        session.destroy();
        // The session alone would first wait until everything is written.
        socket.destroy();
      }
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
        this.join(socket, pool);
        this.serve(pool);
      },
      failed: (error) => {
        pool.connecting = undefined;
        const waiting = [...pool.waiting];
        pool.waiting.clear();
        for (const { use } of waiting) use({ session: undefined, failure: errorMessage(error) });
      },
    });
  }

  /**
   * Gives connections to waiting calls; opens another one once it is known that the existing ones
   * are not enough.
   */
  private serve(pool: Pool): void {
    for (const waiting of pool.waiting) {
      const free = pool.sessions.find(takesCalls);
      if (free === undefined) {
        if (pool.sessions.every((connection) => connection.hasSettings)) this.connect(pool);
        return;
      }
      pool.waiting.delete(waiting);
      waiting.use(free);
    }
  }

  /** Starts HTTP/2 on a connection, which is in the pool until it ends. */
  private join(socket: net.Socket, pool: Pool): void {
    const { address, sessions } = pool;
    const session = http2.connect('http://localhost', {
      createConnection: () => socket,
      settings: sessionSettings,
      ...sessionLimits,
    });
    const connection: UpstreamSession = {
      session,
      socket,
      hasSettings: false,
      failure: undefined,
      started: 0,
      open: 0,
    };
    sessions.push(connection);
    session.once('connect', () => widenWindow(session));
    const fail = (error: Error): void => void (connection.failure ??= errorMessage(error));
    socket.prependListener('error', fail);
    socket.prependListener('close', () => (connection.failure ??= 'connection lost'));
    session.on('error', fail);
    session.once('close', () => {
      const index = sessions.indexOf(connection);
      if (index >= 0) sessions.splice(index, 1);
      this.serve(pool);
    });
    session.once('remoteSettings', () => {
      connection.hasSettings = true;
      this.serve(pool);
    });
    this.options.watch.add({
      session,
      socket,
      maxStalledMs,
      // Not a PING: gRPC servers in Go close a connection on which these come more often than every
      // five minutes.
      probe: (acknowledged) => session.settings({}, (error) => error ?? acknowledged()),
      acknowledgementBytes: frameHeaderBytes,
      onStandstill: (reason) => {
        if (reason === 'closed') return;
        connection.failure ??= standstillText[reason];
        this.options.onGivenUp(address, standstillText[reason]);
      },
    });
  }
}

const standstillText: Readonly<Record<Exclude<StandstillReason, 'closed'>, string>> = {
  stalled: `the connection to it took nothing for ${maxStalledMs / 1_000} s and was given up`,
  ended: 'it broke HTTP/2',
};

function takesCalls({ session, failure, started, open }: UpstreamSession): boolean {
  if (session.closed || session.destroyed || failure !== undefined) return false;
  if (started >= maxStreamsPerSession) {
    session.close();
    return false;
  }
  return open < (session.remoteSettings.maxConcurrentStreams ?? streamsBeforeSettings);
}
