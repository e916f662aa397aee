import { inTime } from '@stowage/async';
import { InvalidArgumentError, ResourceExhaustedError, ShuttingDownError } from '@stowage/errors';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import { isIPv6, type AddressInfo, type Socket } from 'node:net';
import { HandshakeError, refuseUpgrade } from './handshake';
import { Sessions, type Wanted } from './sessions';
import { TlsFromFiles, type TlsFiles } from './tls-files';
import { Tokens } from './tokens';
import type { ExecTarget, PortTarget, RequestedStreams, StreamingSessionListener } from './types';

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

/** How long sessions that are told to end at the end of the server have for it, milliseconds. */
const closeWithinMs = 3000;

/**
 * The server behind the URLs that Exec, Attach and PortForward of a CRI runtime answer: each URL is
 * good for one connection, which speaks SPDY/3.1 or WebSocket.
 */
export class StreamingServer {
  readonly #options: StreamingServerOptions;
  readonly #server: http.Server | https.Server;
  readonly #tls: TlsFromFiles | undefined;
  readonly #tokens: Tokens<Wanted>;
  readonly #sessions: Sessions;
  /** Connections that are being closed after a refusal. */
  readonly #refused = new Set<Socket>();
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
    const { idleTimeoutMs, createWithinMs = 30_000, probeIntervalMs = 30_000 } = options;
    const { listener } = options;
    this.#sessions = new Sessions({ idleTimeoutMs, createWithinMs, probeIntervalMs, listener });
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
    return this.#sessions.running.length;
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
    await inTime(this.#sessions.ended(), drainMs);
    for (const session of this.#sessions.running)
      session.stop(new ShuttingDownError('streaming server'));
    await inTime(this.#sessions.ended(), closeWithinMs);
    for (const session of this.#sessions.running) session.cut();
    await this.#sessions.ended();
    this.#server.closeAllConnections();
    for (const socket of this.#refused) socket.destroy();
    await closed;
  }

  async #url(wanted: Wanted): Promise<string> {
    if (this.#isClosing) throw new ShuttingDownError('streaming server');
    if (this.#tls !== undefined) {
      await this.#tls
        .refresh(this.#server as https.Server)
        .catch((error: unknown) => this.#options.onTlsProblem?.(error));
    }
    return `${this.#base}/${wanted.kind}/${this.#tokens.add(wanted)}`;
  }

  /** What is asked for; its token is used up then. */
  #wanted({ method, url = '' }: IncomingMessage): Wanted {
    const [, kind = '', token = ''] =
      /^\/cri\/(\w+)\/([\w-]+)$/.exec(url.split('?', 1).join()) ?? [];
    if (!this.#tokens.has(token)) throw new HandshakeError(404, 'not found');
    if (method !== 'GET' && method !== 'POST') {
      throw new HandshakeError(405, 'use GET or POST', { Allow: 'GET, POST' });
    }
    const { maxSessions } = this.#options;
    if (this.#isClosing) throw new HandshakeError(503, 'shutting down');
    if (this.#sessions.running.length >= maxSessions) {
      throw new HandshakeError(
        503,
        new ResourceExhaustedError('list of sessions', maxSessions).message,
      );
    }
    const wanted = this.#tokens.take(token);
    if (wanted?.kind !== kind) throw new HandshakeError(404, 'not found');
    return wanted;
  }

  /** A request that asks for no other protocol. */
  #refuse(request: IncomingMessage, response: ServerResponse): void {
    let error: HandshakeError;
    try {
      this.#wanted(request);
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
      this.#sessions.accept(this.#wanted(request), request, socket, head);
    } catch (reason) {
      this.#refused.add(socket);
      socket.once('close', () => this.#refused.delete(socket));
      refuseUpgrade(socket, asHandshakeError(reason));
    }
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

const asHandshakeError = (reason: unknown): HandshakeError =>
  reason instanceof HandshakeError ? reason : new HandshakeError(400, 'bad request');

/** Where to connect: the configured host, or loopback where it stands for all addresses. */
function hostInUrl(host: string, address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  if (address === '::') return '[::1]';
  return isIPv6(host) ? `[${host}]` : host;
}
