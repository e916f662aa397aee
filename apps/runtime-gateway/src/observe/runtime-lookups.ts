import type { RuntimeServiceClient } from '@stowage/cri-client';
import type { Container, ContainerStatus, PodSandbox } from '@stowage/cri-proto';
import { DeadlineExceededError, ResourceExhaustedError, toGrpcStatus } from '@stowage/errors';
import { traced } from '@stowage/tracing';
import { bulkhead, BulkheadRejectedError } from 'cockatiel';
import type { BulkheadPolicy } from 'cockatiel';

/** The calls by which missing facts are asked for. */
export type FactCalls = Pick<
  RuntimeServiceClient,
  'containerStatus' | 'listContainers' | 'listPodSandbox' | 'whenAvailable'
>;

/** The lookups that handlers of observed calls use. */
export type Lookups = Pick<
  RuntimeLookups,
  'containerStatus' | 'stoppedStatus' | 'container' | 'sandbox'
>;

export interface LookupLimits {
  /** Calls at the same time: a node's restart is hundreds of exits at once. */
  readonly atOnce: number;
  /** The same for containers that a call has stopped; clients set the pace of these. */
  readonly stoppedAtOnce: number;
  /** Lookups that may wait for their turn. */
  readonly waiting: number;
  /** For one lookup, the wait for a runtime that is away included, milliseconds. */
  readonly timeoutMs: number;
}

const defaultLookupLimits: LookupLimits = {
  atOnce: 8,
  stoppedAtOnce: 64,
  waiting: 20_000,
  timeoutMs: 5000,
};

/**
 * Asks the runtime for facts that a call does not show. Each lookup throws when the runtime did not
 * answer in time, and returns undefined when it does not know the object.
 */
export class RuntimeLookups {
  readonly #turns;
  readonly #stoppedTurns;
  readonly #asking = new Set<AbortController>();

  constructor(
    private readonly runtime: FactCalls,
    private readonly signal: AbortSignal,
    private readonly limits: LookupLimits = defaultLookupLimits,
  ) {
    this.#turns = bulkhead(limits.atOnce, limits.waiting);
    this.#stoppedTurns = bulkhead(limits.stoppedAtOnce, limits.waiting);
    signal.addEventListener(
      'abort',
      () => {
        for (const asking of this.#asking) asking.abort(signal.reason);
      },
      { once: true },
    );
  }

  containerStatus(containerId: string): Promise<ContainerStatus | undefined> {
    return this.#status(containerId, this.#turns);
  }

  /**
   * Waits for no other lookups: the client may remove the container next, and then nobody knows how
   * it ended.
   */
  stoppedStatus(containerId: string): Promise<ContainerStatus | undefined> {
    return this.#status(containerId, this.#stoppedTurns);
  }

  #status(containerId: string, turns: BulkheadPolicy): Promise<ContainerStatus | undefined> {
    return this.#ask(turns, async (signal) => {
      try {
        const { status } = await this.runtime.containerStatus({ containerId }, { signal });
        return status;
      } catch (error) {
        if (toGrpcStatus(error).name === 'NOT_FOUND') return undefined;
        throw error;
      }
    });
  }

  /** By its id or the beginning of it. */
  async container(id: string): Promise<Container | undefined> {
    const { containers } = await this.#ask(this.#turns, (signal) =>
      this.runtime.listContainers({ filter: { id } }, { signal }),
    );
    return onlyOne(containers, id);
  }

  /** By its id or the beginning of it. */
  async sandbox(id: string): Promise<PodSandbox | undefined> {
    const { items } = await this.#ask(this.#turns, (signal) =>
      this.runtime.listPodSandbox({ filter: { id } }, { signal }),
    );
    return onlyOne(items, id);
  }

  async #ask<T>(turns: BulkheadPolicy, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await turns.execute(() => this.#askNow(call));
    } catch (error) {
      if (!(error instanceof BulkheadRejectedError)) throw error;
      const { atOnce, stoppedAtOnce, waiting } = this.limits;
      const running = turns === this.#turns ? atOnce : stoppedAtOnce;
      throw new ResourceExhaustedError('queue of runtime lookups', running + waiting);
    }
  }

  async #askNow<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    const asking = new AbortController();
    const { timeoutMs } = this.limits;
    const timer = setTimeout(
      () => asking.abort(new DeadlineExceededError('runtime lookup', timeoutMs)),
      timeoutMs,
    );
    this.#asking.add(asking);
    try {
      await this.runtime.whenAvailable({ signal: asking.signal });
      return await call(asking.signal);
    } finally {
      clearTimeout(timer);
      this.#asking.delete(asking);
    }
  }
}

/** The same lookups, each in a span of its own that includes the wait for its turn. */
export function tracedLookups(lookUp: Lookups): Lookups {
  const inSpan = <T>(what: string, find: (id: string) => Promise<T>) => {
    const attributes = (id: string) => ({ 'stowage.lookup': what, 'cri.object_id': id });
    return traced('gateway.lookup', { attributes }, find);
  };
  return {
    containerStatus: inSpan('container_status', (id) => lookUp.containerStatus(id)),
    stoppedStatus: inSpan('container_status', (id) => lookUp.stoppedStatus(id)),
    container: inSpan('container', (id) => lookUp.container(id)),
    sandbox: inSpan('sandbox', (id) => lookUp.sandbox(id)),
  };
}

/** Filters of a runtime may take the beginning of an id, or (a faulty one) nothing at all. */
function onlyOne<T extends { readonly id: string }>(
  found: readonly T[],
  id: string,
): T | undefined {
  const fitting = found.filter((object) => object.id.startsWith(id));
  return (
    fitting.find((object) => object.id === id) ?? (fitting.length === 1 ? fitting[0] : undefined)
  );
}
