import { setMaxListeners } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { execChannels, execStreamsIn, webSocketExecProtocols } from './exec-over-websocket';
import { ExecStreamsOverSpdy, spdyExecProtocols } from './exec-over-spdy';
import { runExecSession } from './exec-session';
import { acceptSpdy, HandshakeError, negotiateSpdy, negotiateWebSocket } from './handshake';
import {
  forwardPortsInChannels,
  portChannels,
  tunnelledSpdyProtocol,
  webSocketPortForwardProtocols,
} from './port-forward-over-websocket';
import { PortForwardOverSpdy, spdyPortForwardProtocol } from './port-forward-over-spdy';
import { Session } from './session';
import { SpdyConnection } from './spdy/spdy-connection';
import type {
  ExecTarget,
  PortTarget,
  RequestedStreams,
  SessionProtocol,
  StreamingSessionListener,
} from './types';
import { WebSocketTransport } from './websocket/websocket-transport';

/** What a URL was given for. */
export type Wanted =
  | {
      readonly kind: 'exec' | 'attach';
      readonly streams: RequestedStreams;
      readonly target: ExecTarget;
    }
  | {
      readonly kind: 'portforward';
      readonly ports: readonly number[];
      readonly target: PortTarget;
    };

export interface SessionsOptions {
  readonly idleTimeoutMs: number;
  /** How long a client has to create its streams, milliseconds. */
  readonly createWithinMs: number;
  /** How often it is asked whether a client is there, milliseconds. */
  readonly probeIntervalMs: number;
  readonly listener: StreamingSessionListener | undefined;
}

/** Longest message of a WebSocket, bytes. */
const maxMessageBytes = 16 * 1024 * 1024;
/** How long a session that was told to end has for it, milliseconds. */
const endWithinMs = 12_000;

/** The sessions of a server, from their handshakes on. */
export class Sessions {
  readonly #running = new Set<Session>();
  readonly #webSockets: WebSocketServer;
  /** Protocols that were chosen in handshakes. */
  readonly #chosen = new WeakMap<IncomingMessage, string>();

  constructor(private readonly options: SessionsOptions) {
    this.#webSockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: maxMessageBytes,
    });
    this.#webSockets.on('headers', (headers: string[], request: IncomingMessage) => {
      const chosen = this.#chosen.get(request) ?? '';
      if (chosen !== '') headers.push(`Sec-WebSocket-Protocol: ${chosen}`);
    });
  }

  get running(): readonly Session[] {
    return [...this.#running];
  }

  /** Resolves when all that run now have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.running.map(({ ended }) => ended));
  }

  /**
   * Begins a session on the connection of a request to upgrade.
   *
   * @throws {HandshakeError} when there is no protocol for it.
   */
  accept(wanted: Wanted, request: IncomingMessage, socket: Socket, head: Buffer): void {
    const protocol = request.headers.upgrade?.toLowerCase();
    if (protocol === 'spdy/3.1') this.#acceptSpdy(wanted, request, socket, head);
    else if (protocol === 'websocket') this.#acceptWebSocket(wanted, request, socket, head);
    else throw new HandshakeError(400, 'unable to upgrade: SPDY/3.1 and websocket are known');
  }

  #acceptSpdy(wanted: Wanted, request: IncomingMessage, socket: Socket, head: Buffer): void {
    const known =
      wanted.kind === 'portforward'
        ? [spdyPortForwardProtocol, '']
        : [...Object.keys(spdyExecProtocols), ''];
    const protocol = negotiateSpdy(request, known);
    acceptSpdy(socket, protocol);
    if (head.length > 0) socket.unshift(head);
    socket.setTimeout(0);
    socket.setKeepAlive(true, 30_000);
    // The end of the client's direction is no reason to cut what is under way to it.
    socket.allowHalfOpen = true;
    const session = this.#session(wanted, 'spdy');
    if (wanted.kind === 'portforward') {
      session.run(() => this.#forwardOverSpdy(session, wanted.target, socket));
      return;
    }
    const version = spdyExecProtocols[protocol] ?? 1;
    session.run(async () => {
      const streams = new ExecStreamsOverSpdy(wanted.streams, version);
      const connection = new SpdyConnection(socket, {
        onStream: (stream) => streams.add(stream),
        onActivity: session.active,
      });
      session.carriedBy(connection);
      const opened = await streams.open(connection, this.options.createWithinMs);
      if (opened !== undefined) await runExecSession(opened, wanted.target, session.signal);
    });
  }

  async #forwardOverSpdy(
    session: Session,
    target: PortTarget,
    transport: Socket | WebSocketTransport,
  ): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([session.signal, ended.signal]);
    // Every connection of the session listens to it.
    setMaxListeners(0, signal);
    const pairs = new PortForwardOverSpdy({
      target,
      createWithinMs: this.options.createWithinMs,
      signal,
    });
    const connection = new SpdyConnection(transport, {
      onStream: (stream) => pairs.add(stream),
      onActivity: session.active,
    });
    session.carriedBy(connection);
    await Promise.race([connection.gone, session.stopped]);
    pairs.close();
    await connection.finish();
    ended.abort();
  }

  #acceptWebSocket(wanted: Wanted, request: IncomingMessage, socket: Socket, head: Buffer): void {
    const known =
      wanted.kind === 'portforward'
        ? [tunnelledSpdyProtocol, ...Object.keys(webSocketPortForwardProtocols)]
        : Object.keys(webSocketExecProtocols);
    const chosen = negotiateWebSocket(request, known);
    const ports = wanted.kind === 'portforward' ? portsOf(wanted.ports, request) : [];
    if (wanted.kind === 'portforward' && chosen !== tunnelledSpdyProtocol && ports.length === 0) {
      throw new HandshakeError(400, 'query parameter "port" is required');
    }
    this.#chosen.set(request, chosen);
    // The library refuses names with a slash, though Kubernetes has one; it need not know.
    delete request.headers['sec-websocket-protocol'];
    socket.setKeepAlive(true, 30_000);
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
      if (wanted.kind !== 'portforward') {
        this.#execOverWebSocket(wanted, webSocket, chosen);
        return;
      }
      const { target } = wanted;
      if (chosen === tunnelledSpdyProtocol) {
        const session = this.#session(wanted, 'spdy-in-websocket');
        session.run(() =>
          this.#forwardOverSpdy(session, target, new WebSocketTransport(webSocket)),
        );
        return;
      }
      const session = this.#session(wanted, 'websocket');
      const { isBase64 = false } = webSocketPortForwardProtocols[chosen] ?? {};
      const channels = portChannels(webSocket, ports, isBase64, session.active);
      session.carriedBy(channels);
      session.run(() => forwardPortsInChannels(channels, ports, target, session.signal));
    });
  }

  #execOverWebSocket(
    wanted: Extract<Wanted, { streams: RequestedStreams }>,
    webSocket: WebSocket,
    chosen: string,
  ): void {
    const protocol = webSocketExecProtocols[chosen] ?? { version: 1, isBase64: false };
    const session = this.#session(wanted, 'websocket');
    const channels = execChannels(webSocket, protocol, session.active);
    session.carriedBy(channels);
    const streams = execStreamsIn(channels, wanted.streams, protocol);
    session.run(() => runExecSession(streams, wanted.target, session.signal));
  }

  #session({ kind }: Wanted, protocol: SessionProtocol): Session {
    const { idleTimeoutMs, probeIntervalMs, listener } = this.options;
    const session = new Session(
      { kind, protocol },
      { idleTimeoutMs, probeIntervalMs, endWithinMs, listener },
    );
    this.#running.add(session);
    void session.ended.then(() => this.#running.delete(session));
    return session;
  }
}

/** The ports of the CRI call, else those of the query, each a number or several with commas. */
function portsOf(given: readonly number[], { url = '' }: IncomingMessage): readonly number[] {
  if (given.length > 0) return given;
  const named = new URL(url, 'http://localhost').searchParams
    .getAll('port')
    .flatMap((text) => text.split(','));
  return named.map((text) => {
    const port = Number(text);
    if (Number.isInteger(port) && port > 0 && port <= 0xffff) return port;
    throw new HandshakeError(400, 'query parameter "port" is not a port');
  });
}
