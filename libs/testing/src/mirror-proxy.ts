import http from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A proxy that answers for registries of the internet out of a registry on this machine, for an
 * engine that knows mirrors of docker.io alone. Who asks for TLS in a tunnel finds a server that
 * speaks plain HTTP, so that a client which takes those registries for insecure asks again without
 * TLS; anything else gets 502.
 */
export class MirrorProxy {
  readonly #server: http.Server;

  /** @param mirror the registry that answers, as `host:port`. */
  constructor(mirror: string, hosts: readonly string[]) {
    const [host = '', port = ''] = mirror.split(':');
    this.#server = http.createServer((request, response) => {
      const { url = '' } = request;
      const target = URL.canParse(url) ? new URL(url) : undefined;
      if (target === undefined || !hosts.includes(target.hostname)) {
        response.writeHead(502).end('no such host here');
        return;
      }
      const { method, headers } = request;
      const forwarded = http.request({
        host,
        port,
        method,
        path: target.pathname + target.search,
        headers: { ...headers, host: mirror },
      });
      forwarded.on('response', (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.on('error', () => response.destroy()).pipe(response);
      });
      forwarded.on('error', () => response.destroy());
      response.on('close', () => forwarded.destroy());
      request.pipe(forwarded);
    });
    this.#server.on('connect', ({ url = '' }, socket) => {
      socket.on('error', () => undefined);
      if (!hosts.includes(url.replace(/:\d+$/, ''))) {
        socket.end('HTTP/1.1 502 no such host here\r\n\r\n');
        return;
      }
      socket.write('HTTP/1.1 200 connected\r\n\r\n');
      socket.once('data', () => socket.end('HTTP/1.1 400 this is plain HTTP\r\n\r\n'));
    });
  }

  /** Starts to listen, and returns the address as a URL. */
  async start(): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
