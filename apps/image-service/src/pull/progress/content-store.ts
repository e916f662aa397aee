import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

/** A blob that containerd is downloading. */
export interface Ingest {
  /** Digest of the blob, as far as containerd says it. */
  readonly digest?: string;
  readonly bytes: number;
}

/** What an image is made of. */
export interface ManifestBlobs {
  readonly digest: string;
  /** Configuration and layers by digest, with their sizes. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** Manifests are looked for in blobs up to this size. */
const maxManifestBytes = 1024 * 1024;

/**
 * containerd's content store as files: what is being downloaded, and what is there. Read only, and
 * no contract of containerd's.
 */
export class ContentStore {
  /** What was found out about blobs; they never change. */
  readonly #manifests = new Map<string, ManifestBlobs | undefined>();

  /** @param root folder `io.containerd.content.v1.content` */
  constructor(readonly root: string) {}

  async isReachable(): Promise<boolean> {
    try {
      await readdir(path.join(this.root, 'ingest'));
      return true;
    } catch {
      return false;
    }
  }

  /** Downloads that are going on. */
  async ingests(): Promise<Ingest[]> {
    const folder = path.join(this.root, 'ingest');
    const names = await readdir(folder).catch(() => []);
    const found = await Promise.all(names.map((name) => ingestOf(path.join(folder, name))));
    return found.filter((ingest) => ingest !== undefined);
  }

  /** Size of a blob that has come; undefined while it has not. */
  async blobBytes(digest: string): Promise<number | undefined> {
    const file = this.#blobFile(digest);
    if (file === undefined) return undefined;
    return stat(file).then(
      ({ size }) => size,
      () => undefined,
    );
  }

  /** The manifests that came since a time (milliseconds) or were there at a digest. */
  async manifestsSince(sinceMs: number): Promise<ManifestBlobs[]> {
    const folder = path.join(this.root, 'blobs', 'sha256');
    const found: ManifestBlobs[] = [];
    const names = await readdir(folder).catch(() => []);
    const digests = new Set(names.map((name) => `sha256:${name}`));
    // Blobs come and go with images: what is known of them must not pile up.
    for (const digest of this.#manifests.keys()) {
      if (!digests.has(digest)) this.#manifests.delete(digest);
    }
    for (const digest of digests) {
      const known = this.#manifests.get(digest);
      if (known === undefined && this.#manifests.has(digest)) continue;
      const file = this.#blobFile(digest);
      const stats = file && (await stat(file).catch(() => undefined));
      if (!stats || stats.mtimeMs < sinceMs) continue;
      const manifest = known ?? (await this.manifest(digest));
      this.#manifests.set(digest, manifest);
      if (manifest !== undefined) found.push(manifest);
    }
    return found;
  }

  /** The manifest of a digest, if it is one and is there. */
  async manifest(digest: string): Promise<ManifestBlobs | undefined> {
    const file = this.#blobFile(digest);
    if (file === undefined) return undefined;
    try {
      // Whoever names a digest may name that of a layer.
      if ((await stat(file)).size > maxManifestBytes) return undefined;
      return blobsOf(digest, JSON.parse(await readFile(file, 'utf8')));
    } catch {
      return undefined;
    }
  }

  #blobFile(digest: string): string | undefined {
    const [, algorithm, hex] = /^(sha\d{3}):([0-9a-f]{64,128})$/.exec(digest) ?? [];
    if (algorithm === undefined || hex === undefined) return undefined;
    return path.join(this.root, 'blobs', algorithm, hex);
  }
}

async function ingestOf(folder: string): Promise<Ingest | undefined> {
  try {
    const { size } = await stat(path.join(folder, 'data'));
    const ref = await readFile(path.join(folder, 'ref'), 'utf8').catch(() => '');
    return { bytes: size, digest: /sha\d{3}:[0-9a-f]{64,128}$/.exec(ref.trim())?.[0] };
  } catch {
    // Ended since the folder was read.
    return undefined;
  }
}

interface Descriptor {
  readonly digest?: unknown;
  readonly size?: unknown;
}

function blobsOf(digest: string, value: unknown): ManifestBlobs | undefined {
  if (typeof value !== 'object' || value == null) return undefined;
  const { config, layers } = value as { config?: Descriptor; layers?: unknown };
  if (config === undefined || !Array.isArray(layers)) return undefined;
  const sizes = new Map<string, number>();
  for (const descriptor of [config, ...(layers as Descriptor[])]) {
    const { digest: blob, size } = descriptor;
    if (typeof blob !== 'string' || typeof size !== 'number') return undefined;
    sizes.set(blob, size);
  }
  return { digest, sizes };
}
