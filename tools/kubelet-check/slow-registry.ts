import {
  createServer,
  request,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** Pieces that a layer is sent in, a second. */
const piecesPerSecond = 5;

/** A registry that answers like another one, but sends layers slowly. */
export class SlowRegistry {
  /** Paths of the layers that were asked for, one for each request. */
  readonly layers: string[] = [];
  readonly #server: Server;

  private constructor(target: string, bytesPerSecond: number) {
    this.#server = createServer((incoming, response) => {
      void this.#serve(target, bytesPerSecond, incoming, response);
    });
  }

  /**
   * @param target host and port of the registry that has the images.
   * @param bytesPerSecond of each answer with a layer.
   */
  static async start(target: string, bytesPerSecond: number): Promise<SlowRegistry> {
    const registry = new SlowRegistry(target, bytesPerSecond);
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #serve(
    target: string,
    bytesPerSecond: number,
    incoming: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { url = '/', method, headers } = incoming;
    try {
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const sent = request(`http://${target}${url}`, { method, headers }, resolve);
        sent.on('error', reject);
        incoming.pipe(sent);
      });
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      // The configuration of an image is a blob too, and small.
      const isLayer = url.includes('/blobs/') && Number(answer.headers['content-length']) > 10_000;
      if (isLayer && method === 'GET') this.layers.push(url);
      for await (const part of answer as AsyncIterable<Buffer>) {
        const size = isLayer ? Math.ceil(bytesPerSecond / piecesPerSecond) : part.length;
        for (let from = 0; from < part.length; from += size) {
          if (response.destroyed) return;
          response.write(part.subarray(from, from + size));
          if (isLayer) await pause(1_000 / piecesPerSecond);
        }
      }
      response.end();
    } catch {
      response.destroy();
    }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
