import { rmSync, statSync } from 'node:fs';
import {
  createServer,
  get,
  type IncomingMessage,
  type RequestOptions,
  type ServerResponse,
} from 'node:http';
import net from 'node:net';
import { errorMessage } from '@stowage/errors';
import type { ListenAddress } from './config/listen-address';

/** An answer of one of the pages. */
export interface Page {
  status: number;
  contentType: string;
  /** More headers, with names in lower case. */
  headers?: Readonly<Record<string, string>>;
  body: string;
}

/** Pages by their paths; each gets the query of the request. */
export type Pages = Readonly<Record<string, (query: URLSearchParams) => Page | Promise<Page>>>;

/** A running HTTP server. */
export interface HttpServer {
  /** Where it listens, with the port that the system chose: `127.0.0.1:9471` or `unix:///path`. */
  readonly address: string;
  close(): Promise<void>;
}

/** Another process listens on the address. */
export class AddressInUseError extends Error {
  override readonly name = 'AddressInUseError';
}

/**
 * Serves `pages` (path → answer) to GET and HEAD: 404 for other paths, 405 for other methods, 500
 * when a page throws. Rejects when the address cannot be bound, naming it, with
 * {@link AddressInUseError} when another process has it. A dead unix socket file is replaced.
 */
export async function serveHttp(listen: ListenAddress, pages: Pages): Promise<HttpServer> {
  const server = createServer((request, response) => {
    void answer(request, response, pages);
  });
  server.headersTimeout = 10_000;
  server.requestTimeout = 10_000;
  server.keepAliveTimeout = 30_000;
  server.maxConnections = 64;
  const text =
    listen.kind === 'unix' ? `unix://${listen.path}` : hostPort(listen.host, listen.port);
  if (listen.kind === 'unix') await removeDeadSocket(listen.path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const problem = `cannot listen on ${text}: ${errorMessage(error)}`;
      reject(
        error.code === 'EADDRINUSE'
          ? new AddressInUseError(problem, { cause: error })
          : new Error(problem, { cause: error }),
      );
    });
    if (listen.kind === 'unix') listenPrivately(server, listen.path, resolve);
    else server.listen(listen.port, listen.host, resolve);
  });
  const bound = server.address();
  const address =
    typeof bound === 'object' && bound != null && listen.kind === 'tcp'
      ? hostPort(bound.address, bound.port)
      : text;
  return {
    address,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * Listens with mode 0660 from the first moment: the socket file is made before `listen` returns.
 */
function listenPrivately(server: net.Server, path: string, listening: () => void): void {
  const umask = process.umask(0o117);
  try {
    server.listen(path, listening);
  } finally {
    process.umask(umask);
  }
}

const hostPort = (host: string, port: number) =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** A live socket stays: binding then says that it is in use. */
async function removeDeadSocket(path: string): Promise<void> {
  if (statSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const isLive = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EAGAIN'));
  });
  if (!isLive) rmSync(path, { force: true });
}

/**
 * Longest wait for a page of another process, milliseconds, and as much of it as is read,
 * characters.
 */
const askTimeoutMs = 2000;
const maxAskedChars = 4 * 1024 * 1024;

/** A page as it is served on an address; undefined when nobody answers there, or not with 200. */
export function askPage(listen: ListenAddress, page: string): Promise<string | undefined> {
  const any: Readonly<Record<string, string>> = {
    '0.0.0.0': '127.0.0.1',
    '': '127.0.0.1',
    '::': '::1',
  };
  const where: RequestOptions =
    listen.kind === 'unix'
      ? { socketPath: listen.path }
      : { host: any[listen.host] ?? listen.host, port: listen.port };
  return new Promise((resolve) => {
    const options = {
      ...where,
      path: page,
      agent: false,
      signal: AbortSignal.timeout(askTimeoutMs),
    };
    const request = get(options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
        if (body.length > maxAskedChars) request.destroy();
      });
      response.on('error', () => resolve(undefined));
      response.on('end', () => resolve(response.statusCode === 200 ? body : undefined));
    });
    request.on('error', () => resolve(undefined));
    request.on('close', () => resolve(undefined));
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  pages: Pages,
): Promise<void> {
  const [path = '/', ...query] = (request.url ?? '/').split('?');
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  let reply: Page;
  if (page === undefined) {
    reply = plain(404, `not found; there are ${Object.keys(pages).join(', ')}\n`);
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    reply = plain(405, 'method not allowed; allowed: GET, HEAD\n');
  } else {
    try {
      reply = await page(new URLSearchParams(query.join('?')));
    } catch (error) {
      reply = plain(500, `${errorMessage(error)}\n`);
    }
  }
  request.resume();
  response.writeHead(reply.status, {
    ...reply.headers,
    'content-type': reply.contentType,
    'content-length': Buffer.byteLength(reply.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : reply.body);
}

/** A plain text answer. */
export function plain(status: number, body: string): Page {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}
