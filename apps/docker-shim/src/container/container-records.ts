import { LinuxContainerResources, LinuxContainerUser } from '@stowage/cri-proto';
import * as z from 'zod';
import { RecordFiles } from '../record-files';
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
const format: z.ZodType<ContainerRecord> = z
  .object({
    version: z.literal(1),
    user: message(LinuxContainerUser).optional(),
    limits: message(LinuxContainerResources).optional(),
  })
  .transform(({ user, limits }) => {
    const { hugepageLimits, unified } = limits ?? noLimits;
    return { user, limits: { hugepageLimits, unified } };
  });

/**
 * The records of containers, in memory and in a file each. One that is lost is no harm to the
 * container: its status lacks the user, and limits that the engine does not know of.
 */
export class ContainerRecords {
  readonly #files: RecordFiles<ContainerRecord>;

  /** @param dir folder of the files; made when it is missing. */
  constructor(dir: string) {
    this.#files = new RecordFiles(dir, format);
  }

  get(id: string): ContainerRecord {
    return this.#files.get(id) ?? { limits: noLimits };
  }

  ids(): string[] {
    return this.#files.ids();
  }

  /** Counts at once; it is in its file when this resolves. */
  set(id: string, record: ContainerRecord): Promise<void> {
    const { user, limits } = record;
    return this.#files.set(id, record, {
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
  }

  /** Touches no file of a container that has none. */
  async remove(id: string): Promise<void> {
    if (this.#files.get(id) !== undefined) await this.#files.remove(id);
  }
}

const encoded = (written: { finish(): Uint8Array }): string =>
  Buffer.from(written.finish()).toString('base64');
