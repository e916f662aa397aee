import { errorMessage } from '@stowage/errors';
import { isHexIdentifier } from '@stowage/image-ref';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { checkpointText, parseCheckpoint, type Checkpoint } from './checkpoint';

export interface CheckpointsOptions {
  /** Folder of the files; made when it is missing. */
  readonly dir: string;
  /** Folders of another program whose files count as ours. Those that are missing are fine. */
  readonly importFrom: readonly string[];
  /** A file that cannot be read; it was renamed, or could not be. Called once for each. */
  readonly onCorrupt: (file: string, reason: string) => void;
}

/** A checkpoint, and when it was written. */
export type ReadCheckpoint = Checkpoint & { readonly writtenAt: Date };

/** The checkpoints of sandboxes: a file for each, with the id as its name. */
export class Checkpoints {
  readonly #folders: readonly string[];
  readonly #reported = new Set<string>();

  constructor(private readonly options: CheckpointsOptions) {
    this.#folders = [...new Set([options.dir, ...options.importFrom])];
  }

  /** Ids of the sandboxes that have a file. */
  async ids(): Promise<string[]> {
    const names = await Promise.all(this.#folders.map(listed));
    return [...new Set(names.flat())].filter(isHexIdentifier);
  }

  /** Writes the file; it is on the disk when this resolves. */
  async write(id: string, checkpoint: Checkpoint): Promise<void> {
    const { dir } = this.options;
    const file = path.join(dir, id);
    // Names with a dot at their beginning are passed over by the readers of these files.
    const temporary = path.join(dir, `.${id}`);
    const handle = await open(temporary, 'w', 0o600).catch(async (error: unknown) => {
      if (!isAbsent(error)) throw error;
      await mkdir(dir, { recursive: true, mode: 0o700 });
      return open(temporary, 'w', 0o600);
    });
    try {
      await handle.writeFile(checkpointText(checkpoint));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  }

  /**
   * Undefined when there is none, or none that can be read: such a file is renamed to `.corrupt`,
   * and never in anybody's way. Throws where it is this process or the machine that has run short.
   */
  async read(id: string): Promise<ReadCheckpoint | undefined> {
    for (const folder of this.#folders) {
      const file = path.join(folder, id);
      try {
        const [text, { mtime }] = await Promise.all([readFile(file, 'utf8'), stat(file)]);
        return { ...parseCheckpoint(text), writtenAt: mtime };
      } catch (error) {
        if (isShortage(error)) throw error;
        if (!isAbsent(error)) await this.#refuse(file, error);
      }
    }
    return undefined;
  }

  /** Removes the files of a sandbox from all folders. */
  async remove(id: string): Promise<void> {
    // One that was not finished, too, of a process that was killed.
    const files = this.#folders.map((folder) => path.join(folder, id));
    for (const file of [...files, path.join(this.options.dir, `.${id}`)]) {
      await rm(file, { force: true }).catch((error: unknown) => {
        if (!isAbsent(error)) throw error;
      });
      this.#reported.delete(file);
    }
  }

  async #refuse(file: string, error: unknown): Promise<void> {
    await rename(file, `${file}.corrupt`).catch(() => undefined);
    if (this.#reported.has(file)) return;
    this.#reported.add(file);
    this.options.onCorrupt(file, errorMessage(error));
  }
}

async function listed(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

const isAbsent = (error: unknown): boolean => {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
};

/** No descriptor or memory is left to read a file with, which says nothing about the file. */
const isShortage = (error: unknown): boolean => {
  const { code = '' } = error as NodeJS.ErrnoException;
  return ['EMFILE', 'ENFILE', 'ENOMEM'].includes(code);
};
