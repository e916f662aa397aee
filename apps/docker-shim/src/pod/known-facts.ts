import type { EngineClient, InspectedContainer } from '../engine/engine-client';
import { EngineResponseError, isNotFound } from '../engine/engine-errors';
import { nsOf } from '../engine/engine-time';
import { inParallel } from '../engine/in-parallel';
import type { ListedThing } from './listed-containers';

/** Inspections at once for containers that are new. */
const parallel = 8;

/** What inspections of a container have shown, and no list of the engine shows. */
export interface InspectedFacts {
  /** When it was created, nanoseconds since 1970; never 0. It does not change. */
  readonly createdNs: bigint;
  /** Control group that it was to be below; empty for none. It does not change. */
  readonly cgroupParent: string;
  /** Of its first process; undefined when it did not run. May be another's by now. */
  readonly lastPid: number | undefined;
  /** When that was started, nanoseconds since 1970. */
  readonly lastStartedNs: bigint | undefined;
}

const nothing = { cgroupParent: '', lastPid: undefined, lastStartedNs: undefined };

/**
 * Facts of containers that lists lack. Of each container an inspection is asked for once; later
 * ones, which others needed, bring what has changed since.
 */
export class KnownFacts {
  #known = new Map<string, InspectedFacts>();

  /** Keeps what an inspection said, and returns it. */
  remember(id: string, { Created, HostConfig, State }: InspectedContainer): InspectedFacts {
    const { Pid, StartedAt } = State ?? {};
    const facts = {
      createdNs: nsOf(Created) || 1n,
      cgroupParent: HostConfig?.CgroupParent ?? '',
      lastPid: Pid || undefined,
      lastStartedNs: nsOf(StartedAt) || undefined,
    };
    this.#known.set(id, facts);
    return facts;
  }

  /**
   * Facts by id; of a container that vanishes meanwhile there are none. One that the engine cannot
   * inspect, though it lists it, keeps no other from the list: of it is known what that says.
   */
  async of(
    client: Pick<EngineClient, 'inspectContainer'>,
    things: readonly Pick<ListedThing, 'id' | 'listed'>[],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<ReadonlyMap<string, InspectedFacts>> {
    const facts = new Map<string, InspectedFacts>();
    const unknown: Pick<ListedThing, 'id' | 'listed'>[] = [];
    for (const thing of things) {
      const known = this.#known.get(thing.id);
      if (known === undefined) unknown.push(thing);
      else facts.set(thing.id, known);
    }
    await inParallel(parallel, unknown, async ({ id, listed }) => {
      try {
        facts.set(id, this.remember(id, await client.inspectContainer(id, { signal })));
      } catch (error) {
        if (isNotFound(error)) return;
        if (!(error instanceof EngineResponseError)) throw error;
        const createdNs = BigInt(listed.Created ?? 0) * 1_000_000_000n || 1n;
        facts.set(id, { ...nothing, createdNs });
      }
    });
    return facts;
  }

  /** Forgets all others: to be called with the ids of a list without filters. */
  retain(ids: readonly string[]): void {
    const left = new Map<string, InspectedFacts>();
    for (const id of ids) {
      const facts = this.#known.get(id);
      if (facts !== undefined) left.set(id, facts);
    }
    this.#known = left;
  }
}
