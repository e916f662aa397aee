import http from 'node:http';
import type { RegistryAccount } from '../registry';
import type { PushedImage, TestImage } from '../types';
import { buildImage, manifestType, type Blob } from './build-image';

/** A registry to push to, with what is known to be there already. */
export class RegistryClient {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  /** Repositories that hold a blob, by digest. */
  readonly #holders = new Map<string, Set<string>>();

  constructor(
    private readonly host: string,
    private readonly account?: RegistryAccount,
  ) {}

  /** Builds an image and uploads what the registry has not got. */
  async push(image: TestImage): Promise<PushedImage> {
    const { layers, config, manifest } = await buildImage(image);
    const tags = image.tag === undefined ? ['latest'] : [image.tag].flat();
    await Promise.all([...layers, config].map((blob) => this.#ensureBlob(image.name, blob)));
    for (const tag of tags) {
      await this.#request(201, 'PUT', `/v2/${image.name}/manifests/${tag}`, {
        body: manifest.content,
        type: manifestType,
      });
    }
    return {
      reference: `${this.host}/${image.name}:${tags[0] ?? 'latest'}`,
      repoDigest: `${this.host}/${image.name}@${manifest.digest}`,
      digest: manifest.digest,
      imageId: config.digest,
      sizeBytes: [...layers, config, manifest].reduce(
        (sum, { content }) => sum + content.length,
        0,
      ),
      layers: layers.map(({ digest, content }) => ({ digest, sizeBytes: content.length })),
    };
  }

  /** Closes idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  async #ensureBlob(repository: string, { digest, content }: Blob): Promise<void> {
    const holders = this.#holders.get(digest) ?? new Set();
    this.#holders.set(digest, holders);
    if (holders.has(repository)) return;
    const [holder] = holders;
    const query = holder === undefined ? '' : `?mount=${digest}&from=${encodeURIComponent(holder)}`;
    const opened = await this.#request(
      [201, 202],
      'POST',
      `/v2/${repository}/blobs/uploads/${query}`,
    );
    if (opened.status === 202) {
      const location = new URL(opened.location ?? '', `http://${this.host}`);
      location.searchParams.set('digest', digest);
      await this.#request(201, 'PUT', location.pathname + location.search, {
        body: content,
        type: 'application/octet-stream',
      });
    }
    holders.add(repository);
  }

  #request(
    expected: number | number[],
    method: string,
    path: string,
    { body, type }: { body?: Buffer; type?: string } = {},
  ): Promise<{ status: number; location: string | undefined }> {
    return new Promise((resolve, reject) => {
      const request = http.request(`http://${this.host}${path}`, {
        method,
        agent: this.#agent,
        headers: {
          'content-length': body?.length ?? 0,
          ...(type === undefined ? {} : { 'content-type': type }),
        },
        ...(this.account === undefined
          ? {}
          : { auth: `${this.account.username}:${this.account.password}` }),
      });
      request.on('error', reject);
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('end', () => {
          const status = response.statusCode ?? 0;
          if ([expected].flat().includes(status)) {
            resolve({ status, location: response.headers.location });
          } else {
            reject(
              new Error(`registry ${this.host} answered ${method} ${path} with ${status}: ${text}`),
            );
          }
        });
      });
      request.end(body);
    });
  }
}
