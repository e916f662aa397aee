import http2 from 'node:http2';
import net from 'node:net';
import { errorMessage } from '@stowage/errors';

/** Window of each stream in bytes: what the runtime may send ahead of a slow client. */
const streamWindowBytes = 1024 * 1024;
/** Window of a connection: many streams may fill theirs at once. */
const connectionWindowBytes = 64 * 1024 * 1024;
/** Streams a server allows before its SETTINGS say otherwise, as nghttp2 assumes. */
const streamsBeforeSettings = 100;
/** Stream ids end at 2^31 and each stream takes two: a session retires well before. */
const maxStreamsPerSession = 2 ** 29;
const connectTimeoutMs = 5_000;

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

/**
 * HTTP/2 connections to unix sockets, shared by all calls: one a socket, a further one only when the server
 * allows no more streams on those there are. A connection that got GOAWAY or failed takes no new calls.
 */
export class UpstreamSessions {
  private readonly byAddress = new Map<string, UpstreamSession[]>();

  /** A connection that takes another call, which the caller counts in `open` for as long as it lasts. */
  acquire(address: string): UpstreamSession {
    let sessions = this.byAddress.get(address);
    if (sessions === undefined) this.byAddress.set(address, (sessions = []));
    return sessions.find(takesCalls) ?? this.connect(address, sessions);
  }

  /** Ends every connection as soon as its calls have ended; `destroy` ends them at once. */
  close({ destroy }: { destroy: boolean }): void {
    for (const { session } of [...this.byAddress.values()].flat()) {
      if (destroy) session.destroy();
      else session.close();
    }
  }

  private connect(address: string, sessions: UpstreamSession[]): UpstreamSession {
    const socket = net.connect(address);
    const session = http2.connect('http://localhost', {
      createConnection: () => socket,
      settings: sessionSettings,
      ...sessionLimits,
    });
    const entry: UpstreamSession = { session, failure: undefined, started: 0, open: 0 };
    sessions.push(entry);
    const timer = setTimeout(() => {
      entry.failure ??= `no connection within ${connectTimeoutMs} ms`;
      session.destroy();
    }, connectTimeoutMs);
    session.once('connect', () => {
      clearTimeout(timer);
      widenWindow(session);
    });
    const fail = (error: Error): void => void (entry.failure ??= errorMessage(error));
    socket.prependListener('error', fail);
    socket.prependListener('close', () => (entry.failure ??= 'connection lost'));
    session.on('error', fail);
    session.once('close', () => {
      clearTimeout(timer);
      const index = sessions.indexOf(entry);
      if (index >= 0) sessions.splice(index, 1);
    });
    return entry;
  }
}

function takesCalls({ session, started, open }: UpstreamSession): boolean {
  if (session.closed || session.destroyed) return false;
  if (started >= maxStreamsPerSession) {
    session.close();
    return false;
  }
  const limit = session.connecting
    ? streamsBeforeSettings
    : (session.remoteSettings.maxConcurrentStreams ?? Infinity);
  return open < limit;
}
