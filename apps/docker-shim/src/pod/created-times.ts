import type { EngineClient } from '../engine/engine-client';
import { isNotFound } from '../engine/engine-errors';
import { nsOf } from '../engine/engine-time';
import { inParallel } from '../engine/in-parallel';

/** Inspections at once for containers that are new. */
const parallel = 8;

/**
 * When containers were created, in nanoseconds, of which the engine's list has seconds alone. It
 * never changes, so each container is asked for once.
 */
export class CreatedTimes {
  #known = new Map<string, bigint>();

  /** Keeps what an inspection said, and returns it; never 0. */
  remember(id: string, created: string | null | undefined): bigint {
    const ns = nsOf(created) || 1n;
    this.#known.set(id, ns);
    return ns;
  }

  /** Times by id; of a container that vanishes meanwhile there is none. */
  async of(
    client: Pick<EngineClient, 'inspectContainer'>,
    ids: readonly string[],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<ReadonlyMap<string, bigint>> {
    const times = new Map<string, bigint>();
    const unknown: string[] = [];
    for (const id of ids) {
      const ns = this.#known.get(id);
      if (ns === undefined) unknown.push(id);
      else times.set(id, ns);
    }
    await inParallel(parallel, unknown, async (id) => {
      try {
        const { Created } = await client.inspectContainer(id, { signal });
        times.set(id, this.remember(id, Created));
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    });
    return times;
  }

  /** Forgets all others: to be called with the ids of a list without filters. */
  retain(ids: readonly string[]): void {
    const left = new Map<string, bigint>();
    for (const id of ids) {
      const ns = this.#known.get(id);
      if (ns !== undefined) left.set(id, ns);
    }
    this.#known = left;
  }
}
