import { pause } from '@stowage/async';
import { errorMessage } from '@stowage/errors';
import type { EngineEvent } from '../engine/engine-client';
import { retryDelayMs, type Engine, type EngineConnection } from '../engine/engine-connection';
import { sandboxIdLabel, typeLabel } from '../pod/labels';
import type { ListedContainers } from '../pod/listed-containers';
import {
  KnownContainers,
  type ChangeKind,
  type ContainerChange,
  type ContainerCounts,
  type ContainerEvent,
  type ListedForEvents,
} from './known-containers';

const kinds: readonly string[] = [
  'create',
  'start',
  'die',
  'oom',
  'destroy',
] satisfies ChangeKind[];

/** What else changes what the engine lists. Not `exec_…`: these contain command lines. */
const filters = { type: ['container'], label: [typeLabel], event: [...kinds, 'rename'] };

export interface EngineEventsOptions {
  readonly connection: Pick<EngineConnection, 'engine' | 'availability' | 'onAvailability'>;
  /** All containers and sandboxes that the engine has and that are ours. */
  readonly list: (signal: AbortSignal) => Promise<readonly ListedForEvents[]>;
  /** Notified of the events of a connection, of all that come, and of their end. */
  readonly containers: Pick<ListedContainers, 'follow' | 'changed' | 'unfollow'>;
  readonly listener: EngineEventsListener;
  readonly log: { debug(fields: object, message: string): void };
  /** Between two comparisons with the engine's list, milliseconds. Default a minute. */
  readonly compareIntervalMs?: number;
  /**
   * How long the event of a difference may still be on its way, milliseconds. Default half a
   * second.
   */
  readonly graceMs?: number;
  readonly now?: () => number;
}

/** Notified of what metrics show. */
export interface EngineEventsListener {
  /** The engine sent an event. */
  received(kind: ChangeKind): void;
  /** A comparison has shown what no event had said. */
  differed(kind: ChangeKind): void;
}

/**
 * What happens to containers in the engine: its events, over one connection, and what its list
 * shows beside them after every connection and once a minute, since the engine drops events for a
 * reader that is slow and keeps few for one that was away. Listeners get both as one sequence of
 * changes; for each container in order, without repetition.
 */
export class EngineEvents {
  readonly #options: EngineEventsOptions;
  readonly #known = new KnownContainers();
  readonly #listeners = new Set<(change: ContainerChange) => void>();
  readonly #stop = new AbortController();
  /** Containers of which an event came since the list was asked for. */
  readonly #touched = new Set<string>();
  /** Events that wait for the first list of a connection. */
  #waiting: ContainerEvent[] | undefined;
  #hasBegun = false;
  #running: Promise<void> | undefined;

  constructor(options: EngineEventsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /**
   * Calls the listener with each change until the returned function is called. It must return at
   * once; what it throws is dropped. The containers of the first list are no changes.
   */
  onContainerEvent(listener: (change: ContainerChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** How many there are, as far as events have shown; undefined before the first list. */
  counts(): ContainerCounts | undefined {
    return this.#hasBegun ? this.#known.counts() : undefined;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const isStopped = () => signal.aborted;
    let failures = 0;
    while (!isStopped()) {
      await this.#available();
      if (isStopped()) return;
      try {
        const engine = this.#options.connection.engine();
        await this.#follow(engine, () => (failures = 0));
      } catch (error) {
        if (isStopped()) return;
        this.#options.log.debug({ reason: errorMessage(error) }, 'the events of the engine ended');
      }
      failures += 1;
      await pause(retryDelayMs(failures, Math.random), { signal });
    }
  }

  /** Resolves when there is an engine, or at the stop. */
  async #available(): Promise<void> {
    const { connection } = this.#options;
    const { signal } = this.#stop;
    if (connection.availability().available) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        unsubscribe();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const unsubscribe = connection.onAvailability(({ available }) => {
        if (available) end();
      });
      signal.addEventListener('abort', end);
      if (signal.aborted || connection.availability().available) end();
    });
  }

  /** Follows one connection to its end. */
  async #follow({ client, lost }: Engine, opened: () => void): Promise<void> {
    const { containers } = this.#options;
    const over = new AbortController();
    const signal = AbortSignal.any([lost, this.#stop.signal, over.signal]);
    this.#waiting = [];
    // The engine listens from here on: nothing falls between the events and the list.
    const events = await client.openEvents(filters, { signal });
    containers.follow(client);
    const comparing = this.#compareOften(signal, opened).catch((error: unknown) => {
      over.abort(error);
    });
    try {
      for await (const event of events) this.#received(event);
    } finally {
      containers.unfollow();
      over.abort();
      await comparing;
    }
  }

  async #compareOften(signal: AbortSignal, compared: () => void): Promise<void> {
    const { compareIntervalMs = 60_000 } = this.#options;
    while (!signal.aborted) {
      await this.#compare(signal);
      compared();
      await pause(compareIntervalMs, { signal });
    }
  }

  async #compare(signal: AbortSignal): Promise<void> {
    const { list, listener, graceMs = 500 } = this.#options;
    const asOfNs = this.#nowNs();
    this.#touched.clear();
    const listed = await list(signal);
    if (!this.#hasBegun) {
      this.#known.begin(listed, asOfNs);
      this.#hasBegun = true;
      this.#catchUp();
      return;
    }
    const isFirst = this.#waiting !== undefined;
    const differences = this.#known.differences(listed, asOfNs);
    if (!isFirst && differences.length > 0) await pause(graceMs, { signal });
    signal.throwIfAborted();
    for (const difference of differences) {
      if (this.#touched.has(difference.id)) continue;
      for (const change of this.#known.adopt(difference, asOfNs)) {
        listener.differed(change.kind);
        this.#notify(change);
      }
    }
    this.#catchUp();
  }

  /** Handles the events that came while the first list was on its way. */
  #catchUp(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const event of waiting) this.#handle(event);
  }

  #received(message: EngineEvent): void {
    this.#options.containers.changed(message);
    const event = containerEvent(message);
    if (event === undefined) return;
    this.#options.listener.received(event.kind);
    if (this.#waiting === undefined) this.#handle(event);
    else this.#waiting.push(event);
  }

  #handle(event: ContainerEvent): void {
    this.#touched.add(event.id);
    for (const change of this.#known.apply(event)) this.#notify(change);
  }

  #notify(change: ContainerChange): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(change);
      } catch {
        // The listener's own affair: the others go on.
      }
    }
  }

  #nowNs(): bigint {
    const { now = Date.now } = this.#options;
    return BigInt(now()) * 1_000_000n;
  }
}

/** An event about a container of ours; undefined for any other. */
function containerEvent({
  Action,
  Actor,
  timeNano,
  time,
}: EngineEvent): ContainerEvent | undefined {
  const { ID: id = '', Attributes: attributes = {} } = Actor ?? {};
  const isSandbox = attributes[typeLabel] === 'podsandbox';
  const sandboxId = isSandbox ? id : (attributes[sandboxIdLabel] ?? '');
  if (id === '' || sandboxId === '' || !kinds.includes(Action ?? '')) return undefined;
  const kind = Action as ChangeKind;
  const atNs = timeNano == null ? BigInt(time ?? 0) * 1_000_000_000n : BigInt(timeNano);
  const exitCode = kind === 'die' ? Number(attributes.exitCode ?? NaN) : NaN;
  return { kind, id, sandboxId, atNs, exitCode: Number.isNaN(exitCode) ? undefined : exitCode };
}
