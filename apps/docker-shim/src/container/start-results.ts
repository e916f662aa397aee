import type { EngineClient } from '../engine/engine-client';
import { EngineResponseError } from '../engine/engine-errors';
import { inParallel } from '../engine/in-parallel';
import { couldNotStart } from './container-state';

/** Inspections at once. */
const parallel = 8;

/**
 * Which containers could not be started. The engine goes on to list them as created, and only an
 * inspection shows it, so each that was created is asked for once.
 */
export class StartResults {
  #known = new Map<string, boolean>();

  set(id: string, failed: boolean): void {
    this.#known.set(id, failed);
  }

  /** Of those that are listed as created, the ones that could not be started. */
  async failed(
    client: Pick<EngineClient, 'inspectContainer'>,
    created: readonly string[],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<ReadonlySet<string>> {
    const unknown = created.filter((id) => !this.#known.has(id));
    await inParallel(parallel, unknown, async (id) => {
      try {
        const { State } = await client.inspectContainer(id, { signal });
        this.#known.set(id, couldNotStart(State));
      } catch (error) {
        // Gone, or one that the engine cannot inspect: it keeps no other from the list.
        if (!(error instanceof EngineResponseError)) throw error;
      }
    });
    return new Set(created.filter((id) => this.#known.get(id) === true));
  }

  /** Forgets all others: to be called with the ids of a list without filters. */
  retain(ids: ReadonlySet<string>): void {
    this.#known = new Map([...this.#known].filter(([id]) => ids.has(id)));
  }
}
