import { FailedPreconditionError } from '@stowage/errors';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { EngineClient } from '../engine/engine-client';
import type { EngineConnection } from '../engine/engine-connection';
import { isNotFound } from '../engine/engine-errors';
import { ensureRemoved } from '../engine/ensure-removed';
import { untilAborted } from '../until-aborted';
import { firstTarEntry } from './tar-file';
import type { Accounts } from './user';

/** On containers that are never started: who reads an image's files that way. */
export const temporaryLabel = 'io.stowage.docker-shim.temporary';
const temporary = { [temporaryLabel]: 'image-files' };

const maxFileBytes = 1024 * 1024;
/** Room for the headers of an archive of one file. */
const maxArchiveBytes = maxFileBytes + 64 * 1024;
const maxLinks = 8;
/** Images whose accounts are kept. */
const maxKept = 256;
/** For all that is asked about one image, milliseconds. */
const readWithinMs = 30_000;

interface Call {
  readonly signal: AbortSignal;
}

/**
 * Files of images. The engine shows them for containers alone, so one is created, read, and removed
 * without ever being started.
 */
export class ImageFiles {
  readonly #accounts = new Map<string, Promise<Accounts>>();
  /** Names of the containers that are read at present. */
  readonly #reading = new Set<string>();

  constructor(private readonly connection: Pick<EngineConnection, 'engine'>) {}

  /** Who is who in an image: read once, since an image does not change. */
  accounts(imageId: string, { signal }: Call): Promise<Accounts> {
    let reading = this.#accounts.get(imageId);
    if (reading === undefined) {
      reading = this.#inImage(imageId, async (read) => ({
        passwd: await read.text('/etc/passwd'),
        group: await read.text('/etc/group'),
      }));
      this.#keep(imageId, reading);
    }
    return untilAborted(reading, signal);
  }

  /** Whether an image has such a file or folder. */
  has(imageId: string, file: string, { signal }: Call): Promise<boolean> {
    return untilAborted(
      this.#inImage(imageId, (read) => read.has(file)),
      signal,
    );
  }

  /** Removes what an earlier process has left. */
  async removeLeftovers({ signal }: Call): Promise<void> {
    const { client } = this.connection.engine();
    const left = await client.listContainers({ label: [temporaryLabel] }, { signal });
    for (const { Id, Names } of left) {
      const isRead = (Names ?? []).some((name) => this.#reading.has(name.replace(/^\//, '')));
      if (Id != null && !isRead) await ensureRemoved(client, Id, { signal });
    }
  }

  #keep(imageId: string, reading: Promise<Accounts>): void {
    const [oldest] = this.#accounts.keys();
    if (this.#accounts.size >= maxKept && oldest !== undefined) this.#accounts.delete(oldest);
    this.#accounts.set(imageId, reading);
    reading.catch(() => this.#accounts.delete(imageId));
  }

  async #inImage<T>(imageId: string, use: (read: ImageReader) => Promise<T>): Promise<T> {
    const { client } = this.connection.engine();
    const signal = AbortSignal.timeout(readWithinMs);
    const name = `stowage-image-files-${randomUUID()}`;
    this.#reading.add(name);
    try {
      const id = await client.createContainer(name, {
        Image: imageId,
        // Some images have no command, and the engine wants one.
        Entrypoint: ['-'],
        Labels: temporary,
        HostConfig: { NetworkMode: 'none', LogConfig: { Type: 'none' } },
      });
      try {
        return await use(new ImageReader(client, id, signal));
      } finally {
        await ensureRemoved(client, id, { signal: AbortSignal.timeout(readWithinMs) });
      }
    } finally {
      this.#reading.delete(name);
    }
  }
}

class ImageReader {
  constructor(
    private readonly client: Pick<EngineClient, 'readArchive' | 'statArchive'>,
    private readonly id: string,
    private readonly signal: AbortSignal,
  ) {}

  /** Of a file; empty where there is none. */
  async text(file: string): Promise<string> {
    const { signal } = this;
    for (let links = 0, at = file; links <= maxLinks; links += 1) {
      let archive: Buffer;
      try {
        archive = await this.client.readArchive(this.id, at, { maxBytes: maxArchiveBytes, signal });
      } catch (error) {
        if (isNotFound(error)) return '';
        throw error;
      }
      const entry = firstTarEntry(archive);
      if (entry?.kind === 'file') return entry.content.toString();
      if (entry?.kind !== 'link') break;
      at = path.posix.resolve(path.posix.dirname(at), entry.target);
    }
    throw new FailedPreconditionError(`${file} of the image is no file`);
  }

  async has(file: string): Promise<boolean> {
    try {
      await this.client.statArchive(this.id, file, { signal: this.signal });
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }
}
