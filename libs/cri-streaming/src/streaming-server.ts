import { inTime } from '@stowage/async';
import { InvalidArgumentError, ResourceExhaustedError, ShuttingDownError } from '@stowage/errors';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import { isIPv6, type AddressInfo, type Socket } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { execChannels, execStreamsIn, webSocketExecProtocols } from './exec-over-websocket';
import { ExecStreamsOverSpdy, spdyExecProtocols } from './exec-over-spdy';
import { runExecSession } from './exec-session';
import {
  acceptSpdy,
  HandshakeError,
  negotiateSpdy,
  negotiateWebSocket,
  refuseUpgrade,
} from './handshake';
import {
  forwardPortsInChannels,
  portChannels,
  tunnelledSpdyProtocol,
  webSocketPortForwardProtocols,
} from './port-forward-over-websocket';
import { PortForwardOverSpdy, spdyPortForwardProtocol } from './port-forward-over-spdy';
import { Session } from './session';
import { SpdyConnection } from './spdy/spdy-connection';
import { TlsFromFiles, type TlsFiles } from './tls-files';
import { Tokens } from './tokens';
import type {
  ExecTarget,
  PortTarget,
  RequestedStreams,
  SessionProtocol,
  StreamingSessionListener,
} from './types';
import { WebSocketTransport } from './websocket/websocket-transport';

export interface StreamingServerOptions {
  /** Host and port to listen on; port 0 lets the system choose. */
  readonly host: string;
  readonly port: number;
  /** Absent: no TLS. */
  readonly tls?: TlsFiles | undefined;
  /** A session in which nothing comes or goes for so long is ended, milliseconds. */
  readonly idleTimeoutMs: number;
  /** Sessions at once. */
  readonly maxSessions: number;
  /** How long a URL can be used, milliseconds. Default a minute. */
  readonly tokenTtlMs?: number;
  /** URLs that wait to be used, at most. Default 1000. */
  readonly maxTokens?: number;
  /** How long a client has to create its streams, milliseconds. Default 30 s. */
  readonly createWithinMs?: number;
  /** How often it is asked whether a client is there, milliseconds. Default 30 s. */
  readonly probeIntervalMs?: number;
  readonly listener?: StreamingSessionListener;
  /** Certificate and key could not be read again; the old ones stay in use. */
  readonly onTlsProblem?: (error: unknown) => void;
}

type Awaited =
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

/** Longest message of a WebSocket, bytes. */
const maxMessageBytes = 16 * 1024 * 1024;
/** How long a session that was told to end has for it, milliseconds. */
const endWithinMs = 12_000;
/** The same at the end of the server, milliseconds. */
const closeWithinMs = 3000;

/**
 * The server behind the URLs that Exec, Attach and PortForward of a CRI runtime answer: each URL is
 * good for one connection, which speaks SPDY/3.1 or WebSocket.
 */
export class StreamingServer {
  readonly #options: StreamingServerOptions;
  readonly #server: http.Server | https.Server;
  readonly #tls: TlsFromFiles | undefined;
  readonly #tokens: Tokens<Awaited>;
  readonly #sessions = new Set<Session>();
  /** Connections that are being closed after a refusal. */
  readonly #refused = new Set<Socket>();
  readonly #webSockets: WebSocketServer;
  readonly #chosen = new WeakMap<IncomingMessage, string>();
  #base = '';
  #isClosing = false;

  private constructor(
    options: StreamingServerOptions,
    server: http.Server | https.Server,
    tls: TlsFromFiles | undefined,
  ) {
    this.#options = options;
    this.#server = server;
    this.#tls = tls;
    this.#tokens = new Tokens({
      ttlMs: options.tokenTtlMs ?? 60_000,
      max: options.maxTokens ?? 1000,
      now: () => performance.now(),
    });
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
    server.on('request', (request: IncomingMessage, response: ServerResponse) =>
      this.#refuse(request, response),
    );
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#upgrade(request, socket, head),
    );
  }

  static async listen(options: StreamingServerOptions): Promise<StreamingServer> {
    const tls = options.tls === undefined ? undefined : new TlsFromFiles(options.tls);
    const server = tls === undefined ? http.createServer() : https.createServer(await tls.read());
    const streaming = new StreamingServer(options, server, tls);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port, options.host, () => {
        server.off('error', reject);
        resolve();
      });
    });
    const { address, port } = server.address() as AddressInfo;
    const scheme = tls === undefined ? 'http' : 'https';
    streaming.#base = `${scheme}://${hostInUrl(options.host, address)}:${port}/cri`;
    return streaming;
  }

  /** Address that it listens on. */
  get address(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  /** Sessions that run. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** URLs that wait to be used. */
  get waiting(): number {
    return this.#tokens.size;
  }

  /**
   * The URL for one exec session.
   *
   * @throws {InvalidArgumentError} for streams that no session can have.
   * @throws {ResourceExhaustedError} when too many URLs wait to be used.
   */
  exec(streams: RequestedStreams, target: ExecTarget): Promise<string> {
    checkStreams(streams);
    return this.#url({ kind: 'exec', streams, target });
  }

  /** The same for a session with the streams of a container. */
  attach(streams: RequestedStreams, target: ExecTarget): Promise<string> {
    checkStreams(streams);
    return this.#url({ kind: 'attach', streams, target });
  }

  /**
   * The URL for one session that forwards ports.
   *
   * @param ports those of a client that cannot name them itself; others may name any.
   */
  portForward(ports: readonly number[], target: PortTarget): Promise<string> {
    return this.#url({ kind: 'portforward', ports, target });
  }

  /**
   * Takes no more sessions, and ends those that run when they have not ended by themselves in
   * `drainMs` milliseconds.
   */
  async close({ drainMs = 0 }: { readonly drainMs?: number } = {}): Promise<void> {
    this.#isClosing = true;
    this.#tokens.clear();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    await inTime(this.#ended(), drainMs);
    for (const session of this.#sessions) session.stop(new ShuttingDownError('streaming server'));
    await inTime(this.#ended(), closeWithinMs);
    for (const session of this.#sessions) session.cut();
    await this.#ended();
    this.#server.closeAllConnections();
    for (const socket of this.#refused) socket.destroy();
    await closed;
  }

  async #ended(): Promise<void> {
    await Promise.all([...this.#sessions].map(({ ended }) => ended));
  }

  async #url(awaited: Awaited): Promise<string> {
    if (this.#isClosing) throw new ShuttingDownError('streaming server');
    if (this.#tls !== undefined) {
      await this.#tls
        .refresh(this.#server as https.Server)
        .catch((error: unknown) => this.#options.onTlsProblem?.(error));
    }
    return `${this.#base}/${awaited.kind}/${this.#tokens.add(awaited)}`;
  }

  /** What is asked for; its token is used up then. */
  #awaited({ method, url = '' }: IncomingMessage): Awaited {
    const [, kind = '', token = ''] =
      /^\/cri\/(\w+)\/([\w-]+)$/.exec(url.split('?', 1).join()) ?? [];
    if (!this.#tokens.has(token)) throw new HandshakeError(404, 'not found');
    if (method !== 'GET' && method !== 'POST') {
      throw new HandshakeError(405, 'use GET or POST', { Allow: 'GET, POST' });
    }
    const { maxSessions } = this.#options;
    if (this.#isClosing) throw new HandshakeError(503, 'shutting down');
    if (this.#sessions.size >= maxSessions) {
      throw new HandshakeError(
        503,
        new ResourceExhaustedError('list of sessions', maxSessions).message,
      );
    }
    const awaited = this.#tokens.take(token);
    if (awaited?.kind !== kind) throw new HandshakeError(404, 'not found');
    return awaited;
  }

  /** A request that asks for no other protocol. */
  #refuse(request: IncomingMessage, response: ServerResponse): void {
    let error: HandshakeError;
    try {
      this.#awaited(request);
      error = new HandshakeError(400, 'unable to upgrade: missing upgrade headers in request');
    } catch (reason) {
      error = asHandshakeError(reason);
    }
    response.writeHead(error.status, {
      ...error.headers,
      'content-type': 'text/plain; charset=utf-8',
    });
    response.end(`${error.message}\n`);
    request.resume();
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => undefined);
    try {
      const awaited = this.#awaited(request);
      const protocol = request.headers.upgrade?.toLowerCase();
      if (protocol === 'spdy/3.1') this.#acceptSpdy(awaited, request, socket, head);
      else if (protocol === 'websocket') this.#acceptWebSocket(awaited, request, socket, head);
      else throw new HandshakeError(400, 'unable to upgrade: SPDY/3.1 and websocket are known');
    } catch (reason) {
      this.#refused.add(socket);
      socket.once('close', () => this.#refused.delete(socket));
      refuseUpgrade(socket, asHandshakeError(reason));
    }
  }

  #acceptSpdy(awaited: Awaited, request: IncomingMessage, socket: Socket, head: Buffer): void {
    const known =
      awaited.kind === 'portforward'
        ? [spdyPortForwardProtocol, '']
        : [...Object.keys(spdyExecProtocols), ''];
    const protocol = negotiateSpdy(request, known);
    acceptSpdy(socket, protocol);
    if (head.length > 0) socket.unshift(head);
    socket.setTimeout(0);
    socket.setKeepAlive(true, 30_000);
    // The end of the client's direction is no reason to cut what is under way to it.
    socket.allowHalfOpen = true;
    const session = this.#session(awaited, 'spdy');
    if (awaited.kind === 'portforward') {
      session.run(() => this.#forwardOverSpdy(session, awaited.target, socket));
      return;
    }
    const version = spdyExecProtocols[protocol] ?? 1;
    session.run(async () => {
      const streams = new ExecStreamsOverSpdy(awaited.streams, version);
      const connection = new SpdyConnection(socket, {
        onStream: (stream) => streams.add(stream),
        onActivity: session.active,
      });
      session.carriedBy(connection);
      const opened = await streams.open(connection, this.#createWithinMs);
      if (opened !== undefined) await runExecSession(opened, awaited.target, session.signal);
    });
  }

  async #forwardOverSpdy(
    session: Session,
    target: PortTarget,
    transport: Socket | WebSocketTransport,
  ): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([session.signal, ended.signal]);
    const pairs = new PortForwardOverSpdy({ target, createWithinMs: this.#createWithinMs, signal });
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

  #acceptWebSocket(awaited: Awaited, request: IncomingMessage, socket: Socket, head: Buffer): void {
    const known =
      awaited.kind === 'portforward'
        ? [tunnelledSpdyProtocol, ...Object.keys(webSocketPortForwardProtocols)]
        : Object.keys(webSocketExecProtocols);
    const chosen = negotiateWebSocket(request, known);
    const ports = awaited.kind === 'portforward' ? portsOf(awaited.ports, request) : [];
    if (awaited.kind === 'portforward' && chosen !== tunnelledSpdyProtocol && ports.length === 0) {
      throw new HandshakeError(400, 'query parameter "port" is required');
    }
    this.#chosen.set(request, chosen);
    // The library refuses names with a slash, though Kubernetes has one; it need not know.
    delete request.headers['sec-websocket-protocol'];
    socket.setKeepAlive(true, 30_000);
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
      if (awaited.kind !== 'portforward') {
        this.#execOverWebSocket(awaited, webSocket, chosen);
        return;
      }
      const { target } = awaited;
      if (chosen === tunnelledSpdyProtocol) {
        const session = this.#session(awaited, 'spdy-in-websocket');
        session.run(() =>
          this.#forwardOverSpdy(session, target, new WebSocketTransport(webSocket)),
        );
        return;
      }
      const session = this.#session(awaited, 'websocket');
      const { isBase64 = false } = webSocketPortForwardProtocols[chosen] ?? {};
      const channels = portChannels(webSocket, ports, isBase64, session.active);
      session.carriedBy(channels);
      session.run(() => forwardPortsInChannels(channels, ports, target, session.signal));
    });
  }

  #execOverWebSocket(
    awaited: Extract<Awaited, { streams: RequestedStreams }>,
    webSocket: WebSocket,
    chosen: string,
  ): void {
    const protocol = webSocketExecProtocols[chosen] ?? { version: 1, isBase64: false };
    const session = this.#session(awaited, 'websocket');
    const channels = execChannels(webSocket, protocol, session.active);
    session.carriedBy(channels);
    const streams = execStreamsIn(channels, awaited.streams, protocol);
    session.run(() => runExecSession(streams, awaited.target, session.signal));
  }

  get #createWithinMs(): number {
    return this.#options.createWithinMs ?? 30_000;
  }

  #session({ kind }: Awaited, protocol: SessionProtocol): Session {
    const { idleTimeoutMs, probeIntervalMs = 30_000, listener } = this.#options;
    const session = new Session(
      { kind, protocol },
      { idleTimeoutMs, probeIntervalMs, endWithinMs, listener },
    );
    this.#sessions.add(session);
    void session.ended.then(() => this.#sessions.delete(session));
    return session;
  }
}

function checkStreams({ stdin, stdout, stderr, tty }: RequestedStreams): void {
  if (!stdin && !stdout && !stderr) {
    throw new InvalidArgumentError('stdin, stdout, stderr', false, 'at least one of them');
  }
  if (tty && stderr) {
    throw new InvalidArgumentError('stderr', true, 'false with tty, which has one output');
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

const asHandshakeError = (reason: unknown): HandshakeError =>
  reason instanceof HandshakeError ? reason : new HandshakeError(400, 'bad request');

/** Where to connect: the configured host, or loopback where it stands for all addresses. */
function hostInUrl(host: string, address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  if (address === '::') return '[::1]';
  return isIPv6(host) ? `[${host}]` : host;
}
