import { LinuxContainerResources, LinuxContainerUser } from '@stowage/cri-proto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import type { CgroupLimits } from './resources';

/** What the engine does not keep of a container. */
export interface ContainerRecord {
  /** Whose its first process was when it was started. */
  readonly user?: LinuxContainerUser | undefined;
  readonly limits: CgroupLimits;
}

const noLimits: CgroupLimits = { hugepageLimits: [], unified: {} };

const message = <T>(type: { decode(bytes: Uint8Array): T }) =>
  z.base64().transform((text) => type.decode(Buffer.from(text, 'base64')));
const recordOf = z.object({
  version: z.literal(1),
  user: message(LinuxContainerUser).optional(),
  limits: message(LinuxContainerResources).optional(),
});

/**
 * The records of containers, in memory and in a file each. One that is lost is no harm to the
 * container: its status lacks the user, and limits that the engine does not know of.
 */
export class ContainerRecords {
  readonly #records = new Map<string, ContainerRecord>();

  /** @param dir folder of the files; made when it is missing. */
  constructor(private readonly dir: string) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(dir)) {
      const file = path.join(dir, name);
      try {
        if (!name.endsWith('.json')) throw new Error('a file that was not finished');
        const { user, limits } = recordOf.parse(JSON.parse(readFileSync(file, 'utf8')));
        const { hugepageLimits, unified } = limits ?? noLimits;
        const record = { user, limits: { hugepageLimits, unified } };
        this.#records.set(path.basename(name, '.json'), record);
      } catch {
        rmSync(file, { recursive: true, force: true });
      }
    }
  }

  get(id: string): ContainerRecord {
    return this.#records.get(id) ?? { limits: noLimits };
  }

  ids(): string[] {
    return [...this.#records.keys()];
  }

  /** Counts at once; it is in its file when this resolves. */
  async set(id: string, record: ContainerRecord): Promise<void> {
    this.#records.set(id, record);
    const { user, limits } = record;
    const text = JSON.stringify({
      version: 1,
      user: user && encoded(LinuxContainerUser.encode(user)),
      limits: encoded(
        LinuxContainerResources.encode(
          LinuxContainerResources.fromPartial({
            hugepageLimits: [...limits.hugepageLimits],
            unified: limits.unified,
          }),
        ),
      ),
    });
    const file = this.#file(id);
    // Not forced to the disk: after a crash of the machine no container runs.
    await writeFile(`${file}.new`, text, { mode: 0o600 });
    await rename(`${file}.new`, file);
  }

  async remove(id: string): Promise<void> {
    if (!this.#records.delete(id)) return;
    await rm(this.#file(id), { force: true });
  }

  #file(id: string): string {
    return path.join(this.dir, `${id}.json`);
  }
}

const encoded = (written: { finish(): Uint8Array }): string =>
  Buffer.from(written.finish()).toString('base64');
