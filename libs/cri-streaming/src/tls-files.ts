import { readFile, stat } from 'node:fs/promises';
import type { Server } from 'node:https';

/** Paths of PEM files. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate and its key in files, which may be replaced while the server runs. */
export class TlsFromFiles {
  #seen = '';

  constructor(private readonly files: TlsFiles) {}

  /** Content of both files, for the start. */
  async read(): Promise<{ cert: Buffer; key: Buffer }> {
    this.#seen = await this.#stamp();
    const [cert, key] = await Promise.all([
      readFile(this.files.certFile),
      readFile(this.files.keyFile),
    ]);
    return { cert, key };
  }

  /**
   * Gives the server what is in the files where that has changed.
   *
   * @throws when they cannot be read, or do not belong together; the server goes on with what it
   *   has, and they are read again the next time.
   */
  async refresh(server: Pick<Server, 'setSecureContext'>): Promise<void> {
    if ((await this.#stamp()) === this.#seen) return;
    try {
      server.setSecureContext(await this.read());
    } catch (error) {
      this.#seen = '';
      throw error;
    }
  }

  async #stamp(): Promise<string> {
    const stats = await Promise.all(
      [this.files.certFile, this.files.keyFile].map((file) => stat(file, { bigint: true })),
    );
    return stats.map(({ ino, size, mtimeNs }) => `${ino}:${size}:${mtimeNs}`).join(' ');
  }
}
