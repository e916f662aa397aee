import { LinuxContainerResources } from '@stowage/cri-proto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';

/** What the engine does not keep of a sandbox. */
export interface SandboxRecord {
  /**
   * `starting`: no caller was told of it yet, its network may be half made. `ready`: it was started
   * with its network. `stopped`: its network is gone.
   */
  readonly phase: 'starting' | 'ready' | 'stopped';
  readonly resources?: LinuxContainerResources;
  readonly overhead?: LinuxContainerResources;
}

const resourcesOf = z.base64().transform((text) => {
  return LinuxContainerResources.decode(Buffer.from(text, 'base64'));
});
const recordOf = z.object({
  version: z.literal(1),
  phase: z.enum(['starting', 'ready', 'stopped']),
  resources: resourcesOf.optional(),
  overhead: resourcesOf.optional(),
});

/**
 * The records of sandboxes, in memory and in a file each. One that is lost, or that never was since
 * another program made the sandbox, is no harm: the sandbox counts as ready, and its network as one
 * to take down.
 */
export class SandboxRecords {
  readonly #records = new Map<string, SandboxRecord>();

  /** @param dir folder of the files; made when it is missing. */
  constructor(private readonly dir: string) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(dir)) {
      const file = path.join(dir, name);
      try {
        if (!name.endsWith('.json')) throw new Error('a file that was not finished');
        const { phase, resources, overhead } = recordOf.parse(
          JSON.parse(readFileSync(file, 'utf8')),
        );
        this.#records.set(path.basename(name, '.json'), { phase, resources, overhead });
      } catch {
        rmSync(file, { recursive: true, force: true });
      }
    }
  }

  get(id: string): SandboxRecord | undefined {
    return this.#records.get(id);
  }

  ids(): string[] {
    return [...this.#records.keys()];
  }

  /** Counts at once; it is in its file when this resolves. */
  async set(id: string, record: SandboxRecord): Promise<void> {
    this.#records.set(id, record);
    const { phase, resources, overhead } = record;
    const text = JSON.stringify({
      version: 1,
      phase,
      resources: encoded(resources),
      overhead: encoded(overhead),
    });
    const file = this.#file(id);
    // Not forced to the disk: after a crash of the machine no sandbox runs.
    await writeFile(`${file}.new`, text, { mode: 0o600 });
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

const encoded = (resources: LinuxContainerResources | undefined): string | undefined =>
  resources && Buffer.from(LinuxContainerResources.encode(resources).finish()).toString('base64');
