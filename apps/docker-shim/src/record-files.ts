import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type * as z from 'zod';

/**
 * Records by id, in memory and in a JSON file each, of what the engine does not keep. What cannot
 * be read is removed: whoever keeps such records does without a lost one.
 */
export class RecordFiles<T> {
  readonly #records = new Map<string, T>();

  /**
   * @param dir folder of the files; made when it is missing.
   * @param format of the content of a file.
   */
  constructor(
    private readonly dir: string,
    format: z.ZodType<T>,
  ) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(dir)) {
      const file = path.join(dir, name);
      try {
        if (!name.endsWith('.json')) throw new Error('a file that was not finished');
        const record = format.parse(JSON.parse(readFileSync(file, 'utf8')));
        this.#records.set(path.basename(name, '.json'), record);
      } catch {
        rmSync(file, { recursive: true, force: true });
      }
    }
  }

  get(id: string): T | undefined {
    return this.#records.get(id);
  }

  ids(): string[] {
    return [...this.#records.keys()];
  }

  /**
   * Counts at once; it is in its file when this resolves.
   *
   * @param content of the file, as the format reads it.
   */
  async set(id: string, record: T, content: object): Promise<void> {
    this.#records.set(id, record);
    const file = this.#file(id);
    // Not forced to the disk: after a crash of the machine nothing runs that it is about.
    await writeFile(`${file}.new`, JSON.stringify(content), { mode: 0o600 });
    await rename(`${file}.new`, file);
  }

  async remove(id: string): Promise<void> {
    this.#records.delete(id);
    await rm(this.#file(id), { force: true });
  }

  #file(id: string): string {
    return path.join(this.dir, `${id}.json`);
  }
}
