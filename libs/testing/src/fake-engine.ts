import { existsSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { Socket } from 'node:net';

/** A request as the fake got it. */
export interface FakeEngineRequest {
  readonly method: string;
  /** Without the version of the API and the query. */
  readonly path: string;
  /** Version of the API in the path; empty where there is none. */
  readonly api: string;
  readonly query: URLSearchParams;
  readonly headers: http.IncomingHttpHeaders;
  /** Reads the body, once. */
  readonly text: () => Promise<string>;
}

/** Answers a request, or returns false to leave it to the fake. */
export type FakeEngineAnswer = (
  request: FakeEngineRequest,
  response: http.ServerResponse,
) => boolean | undefined;

/**
 * What speaks as a Docker Engine for faults that a real one cannot be brought to: versions, answers
 * that lack fields, streams that stop. What works is tested on a real engine.
 */
export class FakeEngine {
  /** What it says of itself; may be changed while it runs. */
  version = { engine: '20.10.24', api: '1.41', lowestApi: '1.12' };
  info: Record<string, unknown> = { ID: 'FAKE', CgroupDriver: 'cgroupfs', Runtimes: { runc: {} } };
  /**
   * How long a connection may go without its first request, milliseconds; engines from 23.0 on end
   * such a one after five minutes.
   */
  silentMs = Infinity;
  /** Asked before its own answers. */
  answer: FakeEngineAnswer = () => false;
  /** All requests so far. */
  readonly requests: FakeEngineRequest[] = [];
  /** With what ends those that stay silent. */
  readonly #connections = new Map<Socket, NodeJS.Timeout | undefined>();
  #server: http.Server | undefined;

  constructor(readonly socketPath: string) {}

  async start(): Promise<void> {
    const server = http.createServer((request, response) => this.#serve(request, response));
    // An engine keeps connections that are idle between two requests.
    server.keepAliveTimeout = 0;
    server.on('connection', (socket) => {
      const { silentMs } = this;
      const isPatient = silentMs === Infinity;
      const silent = isPatient ? undefined : setTimeout(() => socket.destroy(), silentMs);
      this.#connections.set(socket, silent);
      socket.once('close', () => {
        clearTimeout(silent);
        this.#connections.delete(socket);
      });
    });
    if (existsSync(this.socketPath)) rmSync(this.socketPath);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.socketPath, resolve);
    });
    this.#server = server;
  }

  /** Ends it with all connections, as a crash would. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const connection of this.#connections.keys()) connection.destroy();
    await closed;
  }

  #serve(incoming: http.IncomingMessage, response: http.ServerResponse): void {
    clearTimeout(this.#connections.get(incoming.socket));
    const url = new URL(incoming.url ?? '/', 'http://docker');
    const [, api = '', path = ''] = /^(?:\/v([\d.]+))?(\/.*)$/.exec(url.pathname) ?? [];
    const request: FakeEngineRequest = {
      method: incoming.method ?? '',
      path: decodeURIComponent(path),
      api,
      query: url.searchParams,
      headers: incoming.headers,
      text: () => readAll(incoming),
    };
    this.requests.push(request);
    response.setHeader('api-version', this.version.api);
    if (this.answer(request, response) === true) return;
    const { engine, api: ApiVersion, lowestApi: MinAPIVersion } = this.version;
    switch (request.path) {
      case '/_ping':
        response.end('OK');
        break;
      case '/version':
        answerJson(response, 200, { Version: engine, ApiVersion, MinAPIVersion });
        break;
      case '/info':
        answerJson(response, 200, this.info);
        break;
      default:
        answerJson(response, 404, { message: `page not found: ${request.path}` });
    }
  }
}

async function readAll(incoming: http.IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of incoming.setEncoding('utf8')) text += String(chunk);
  return text;
}

/** Answers with JSON. */
export function answerJson(response: http.ServerResponse, status: number, body: unknown): true {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
  return true;
}
