import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a registry is asked for. */
export interface RegistryRequest {
  readonly kind: 'ping' | 'manifest' | 'blob';
  readonly path: string;
  readonly repository: string;
  /** Digest of the blob or manifest, or the tag. */
  readonly reference: string;
  readonly authorization?: string;
  /** What was posted; a token server's clients do. */
  readonly body?: string;
}

/** How it answers instead of well. */
export type RegistryFault =
  | {
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** Takes the request and never answers. */
  | 'hang'
  /** Sends so many bytes of the body and cuts the connection. */
  | { readonly cutAfter: number }
  /** Sends so many bytes of the body and then nothing. */
  | { readonly stallAfter: number }
  /** Sends the body in pieces of `bytes`, one every `everyMs`. */
  | { readonly bytes: number; readonly everyMs: number }
  /** Sends half of the body, and the rest when the promise is resolved. */
  | { readonly heldUntil: Promise<unknown> }
  /** Sends other bytes than the digest says. */
  | 'wrong-bytes';

/** An image that the registry has. */
export interface RegistryImage {
  readonly reference: string;
  readonly repository: string;
  readonly imageId: string;
  readonly layers: readonly string[];
  readonly totalBytes: number;
}

interface Stored {
  readonly body: Buffer;
  readonly mediaType: string;
}

/** A registry in this process that misbehaves where the test wants it to. */
export class FakeRegistry {
  /** Decides about each request; undefined answers well. */
  fault: (request: RegistryRequest) => RegistryFault | undefined = () => undefined;
  readonly requests: RegistryRequest[] = [];
  readonly #stored = new Map<string, Stored>();
  readonly #server: Server;
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor() {
    this.#server = createServer((request, response) => {
      void bodyOf(request).then((body) => this.#serve(request, response, body));
    });
  }

  static async start(): Promise<FakeRegistry> {
    const registry = new FakeRegistry();
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Answers 401 to whoever does not come with this user and password. */
  requireBasic(username: string, password: string): void {
    const wanted = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    this.fault = ({ authorization }) => (authorization === wanted ? undefined : unauthorized);
  }

  /** Makes an image with layers of these sizes. */
  add(repository: string, layerBytes: readonly number[], tag = '1'): RegistryImage {
    const layers = layerBytes.map((size) => layerOf(size));
    const config = Buffer.from(
      JSON.stringify({
        architecture: process.arch === 'x64' ? 'amd64' : process.arch,
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
      }),
    );
    const oci = 'application/vnd.oci.image';
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: `${oci}.manifest.v1+json`,
        config: {
          mediaType: `${oci}.config.v1+json`,
          digest: digestOf(config),
          size: config.length,
        },
        layers: layers.map((layer) => ({
          mediaType: `${oci}.layer.v1.tar`,
          digest: digestOf(layer),
          size: layer.length,
        })),
      }),
    );
    const stored = { body: manifest, mediaType: `${oci}.manifest.v1+json` };
    this.#stored.set(`${repository} ${tag}`, stored);
    this.#stored.set(`${repository} ${digestOf(manifest)}`, stored);
    for (const body of [config, ...layers]) {
      this.#stored.set(`${repository} ${digestOf(body)}`, {
        body,
        mediaType: 'application/octet-stream',
      });
    }
    return {
      reference: `${this.host}/${repository}:${tag}`,
      repository,
      imageId: digestOf(config),
      layers: layers.map(digestOf),
      totalBytes: [config, ...layers].reduce((sum, { length }) => sum + length, 0),
    };
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(request: IncomingMessage, response: ServerResponse, body: string | undefined): void {
    const asked = { ...requestOf(request), body };
    this.requests.push(asked);
    const fault = this.fault(asked);
    if (fault === 'hang') return;
    if (typeof fault === 'object' && 'status' in fault) {
      response.writeHead(fault.status, fault.headers).end(fault.body);
      return;
    }
    if (asked.kind === 'ping') {
      response.writeHead(200).end('{}');
      return;
    }
    const stored = this.#stored.get(`${asked.repository} ${asked.reference}`);
    if (stored === undefined) {
      response
        .writeHead(404)
        .end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
      return;
    }
    const content = fault === 'wrong-bytes' ? Buffer.alloc(stored.body.length, 0x5a) : stored.body;
    response.writeHead(200, {
      'content-type': stored.mediaType,
      'content-length': content.length,
      'docker-content-digest': digestOf(stored.body),
    });
    if (request.method === 'HEAD') response.end();
    else this.#send(response, content, fault);
  }

  #send(response: ServerResponse, body: Buffer, fault: RegistryFault | undefined): void {
    if (typeof fault !== 'object' || 'status' in fault) {
      response.end(body);
    } else if ('cutAfter' in fault) {
      response.write(body.subarray(0, fault.cutAfter), () => response.destroy());
    } else if ('stallAfter' in fault) {
      response.write(body.subarray(0, fault.stallAfter));
    } else if ('heldUntil' in fault) {
      const half = body.length >> 1;
      response.write(body.subarray(0, half));
      void fault.heldUntil.then(() => response.end(body.subarray(half)));
    } else {
      let at = 0;
      const timer = setInterval(() => {
        const next = body.subarray(at, at + fault.bytes);
        at += next.length;
        if (at < body.length) {
          response.write(next);
          return;
        }
        response.end(next);
        clearInterval(timer);
        this.#timers.delete(timer);
      }, fault.everyMs);
      this.#timers.add(timer);
      response.on('close', () => clearInterval(timer));
    }
  }
}

async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  if (request.method !== 'POST') return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** What a registry with a password says. */
export const unauthorized = {
  status: 401,
  headers: { 'www-authenticate': 'Basic realm="test"' },
  body: '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}',
} as const;

function requestOf({ url = '', headers }: IncomingMessage): RegistryRequest {
  const { authorization } = headers;
  const path = decodeURIComponent(url);
  const match = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)/.exec(path);
  const [, repository = '', kind, reference = ''] = match ?? [];
  if (match == null) return { kind: 'ping', path, repository, reference, authorization };
  return {
    kind: kind === 'blobs' ? 'blob' : 'manifest',
    path,
    repository,
    reference,
    authorization,
  };
}

const digestOf = (body: Buffer): string =>
  `sha256:${createHash('sha256').update(body).digest('hex')}`;

/** A tar file with one file of random bytes. */
function layerOf(bytes: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(`data-${randomBytes(6).toString('hex')}`, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${bytes.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\0', 257);
  header.write('00', 263);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const padding = Buffer.alloc((512 - (bytes % 512)) % 512);
  return Buffer.concat([header, randomBytes(bytes), padding, Buffer.alloc(1024)]);
}
