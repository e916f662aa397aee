import { LinuxContainerResources } from '@stowage/cri-proto';
import * as z from 'zod';
import { RecordFiles } from '../record-files';

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
const format: z.ZodType<SandboxRecord> = z
  .object({
    version: z.literal(1),
    phase: z.enum(['starting', 'ready', 'stopped']),
    resources: resourcesOf.optional(),
    overhead: resourcesOf.optional(),
  })
  .transform(({ phase, resources, overhead }) => ({ phase, resources, overhead }));

/**
 * The records of sandboxes, in memory and in a file each. One that is lost, or that never was since
 * another program made the sandbox, is no harm: the sandbox counts as ready, and its network as one
 * to take down.
 */
export class SandboxRecords {
  readonly #files: RecordFiles<SandboxRecord>;

  /** @param dir folder of the files; made when it is missing. */
  constructor(dir: string) {
    this.#files = new RecordFiles(dir, format);
  }

  get(id: string): SandboxRecord | undefined {
    return this.#files.get(id);
  }

  ids(): string[] {
    return this.#files.ids();
  }

  /** Counts at once; it is in its file when this resolves. */
  set(id: string, record: SandboxRecord): Promise<void> {
    const { phase, resources, overhead } = record;
    return this.#files.set(id, record, {
      version: 1,
      phase,
      resources: encoded(resources),
      overhead: encoded(overhead),
    });
  }

  remove(id: string): Promise<void> {
    return this.#files.remove(id);
  }
}

const encoded = (resources: LinuxContainerResources | undefined): string | undefined =>
  resources && Buffer.from(LinuxContainerResources.encode(resources).finish()).toString('base64');
