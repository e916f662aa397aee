import type { PodSandbox } from '@stowage/cri-proto';

/** Where a container is in its life. */
export type Phase = 'created' | 'running' | 'exited';

/** What happens to a container, in the engine's words. */
export type ChangeKind = 'create' | 'start' | 'die' | 'oom' | 'destroy';

/** A container or sandbox, as a list of the engine has it. */
export interface ListedForEvents {
  readonly id: string;
  /** Of a sandbox, its own id. */
  readonly sandboxId: string;
  readonly phase: Phase;
  /** Of a sandbox: what its last event says of it when it is gone before it was looked at. */
  readonly sandbox?: PodSandbox;
}

/** An event as the engine sent it. */
export interface ContainerEvent {
  readonly kind: ChangeKind;
  readonly id: string;
  /** Of a sandbox, its own id. */
  readonly sandboxId: string;
  /** When it happened, nanoseconds since 1970. */
  readonly atNs: bigint;
  /** Of `die`. */
  readonly exitCode?: number;
}

/** What has happened to a container or sandbox, for listeners. */
export interface ContainerChange extends ContainerEvent {
  /**
   * `event`: the engine said so; `comparison`: the engine's list shows it, while the event was
   * missed, and `atNs` is when that was noticed.
   */
  readonly source: 'event' | 'comparison';
  /** The sandbox as it was last listed. */
  readonly sandbox?: PodSandbox;
}

/** A container that the list shows otherwise than it was known. */
export interface Difference {
  readonly id: string;
  /** Absent when the list does not contain it. */
  readonly listed: ListedForEvents | undefined;
}

/** How many there are of each phase. */
export interface ContainerCounts {
  readonly sandboxes: Readonly<Record<Phase, number>>;
  /** Sandboxes are not among them. */
  readonly containers: Readonly<Record<Phase, number>>;
}

interface Known {
  readonly sandboxId: string;
  phase: Phase;
  sandbox: PodSandbox | undefined;
  /** Events until then are part of what is known, nanoseconds since 1970. */
  asOfNs: bigint;
}

const phaseAfter = { create: 'created', start: 'running', die: 'exited' } as const;

/** What has to happen between two phases, or from nothing to a phase. */
const steps: Readonly<Record<Phase | 'absent', Readonly<Record<Phase, readonly ChangeKind[]>>>> = {
  absent: { created: ['create'], running: ['create', 'start'], exited: ['create', 'start', 'die'] },
  created: { created: [], running: ['start'], exited: ['start', 'die'] },
  running: { created: ['die'], running: [], exited: ['die'] },
  exited: { created: [], running: ['start'], exited: [] },
};

/**
 * The containers that the engine has, as its events and lists say: makes of both together one
 * sequence of changes for each container, without repetition and without gaps.
 */
export class KnownContainers {
  readonly #known = new Map<string, Known>();

  /** Begins with a list, of which nothing is a change. */
  begin(listed: readonly ListedForEvents[], asOfNs: bigint): void {
    for (const { id, sandboxId, phase, sandbox } of listed) {
      this.#known.set(id, { sandboxId, phase, sandbox, asOfNs });
    }
  }

  /** How many there are of each phase. */
  counts(): ContainerCounts {
    const sandboxes = { created: 0, running: 0, exited: 0 };
    const containers = { created: 0, running: 0, exited: 0 };
    for (const [id, { sandboxId, phase }] of this.#known) {
      (id === sandboxId ? sandboxes : containers)[phase] += 1;
    }
    return { sandboxes, containers };
  }

  /** Takes an event in; returns what it changes, with what must have happened before it. */
  apply(event: ContainerEvent): ContainerChange[] {
    const known = this.#known.get(event.id);
    if (known === undefined) {
      // Of what was never listed only the beginning is news: its end was known before.
      if (event.kind !== 'create' && event.kind !== 'start') return [];
      return this.#enter(event, event.sandboxId, phaseAfter[event.kind], 'event');
    }
    if (event.atNs <= known.asOfNs) return [];
    const { kind } = event;
    if (kind === 'oom') return this.#changes([kind], event, 'event');
    if (kind === 'destroy') return this.#leave(event, known, 'event');
    const phase = phaseAfter[kind];
    if (phase === known.phase || phase === 'created') return [];
    known.phase = phase;
    // One that could not be started dies without a start.
    return this.#changes([kind], event, 'event');
  }

  /**
   * How a list differs from what is known.
   *
   * @param asOfNs when the list was asked for; where more was known before, the clock was set back.
   */
  differences(listed: readonly ListedForEvents[], asOfNs: bigint): Difference[] {
    const differences: Difference[] = [];
    const ids = new Set<string>();
    for (const one of listed) {
      ids.add(one.id);
      const known = this.#known.get(one.id);
      if (known !== undefined && known.asOfNs > asOfNs) known.asOfNs = asOfNs;
      if (known?.phase !== one.phase) differences.push({ id: one.id, listed: one });
      else known.sandbox = one.sandbox;
    }
    for (const id of this.#known.keys()) {
      if (!ids.has(id)) differences.push({ id, listed: undefined });
    }
    return differences;
  }

  /**
   * Takes a difference in; returns what must have happened.
   *
   * @param asOfNs when the list was asked for.
   */
  adopt({ id, listed }: Difference, asOfNs: bigint): ContainerChange[] {
    const known = this.#known.get(id);
    const event = { kind: 'destroy', id, sandboxId: known?.sandboxId ?? '', atNs: asOfNs } as const;
    if (listed === undefined) {
      return known === undefined ? [] : this.#leave(event, known, 'comparison');
    }
    const { sandboxId, phase, sandbox } = listed;
    if (known === undefined) {
      return this.#enter({ ...event, sandboxId }, sandboxId, phase, 'comparison', sandbox);
    }
    const kinds = steps[known.phase][phase];
    Object.assign(known, { phase, sandbox, asOfNs });
    return this.#changes(kinds, { ...event, sandboxId }, 'comparison');
  }

  #enter(
    event: ContainerEvent,
    sandboxId: string,
    phase: Phase,
    source: ContainerChange['source'],
    sandbox?: PodSandbox,
  ): ContainerChange[] {
    this.#known.set(event.id, { sandboxId, phase, sandbox, asOfNs: event.atNs });
    return this.#changes(steps.absent[phase], event, source);
  }

  #leave(
    event: ContainerEvent,
    { phase, sandboxId }: Known,
    source: ContainerChange['source'],
  ): ContainerChange[] {
    const kinds: ChangeKind[] = phase === 'running' ? ['die', 'destroy'] : ['destroy'];
    const changes = this.#changes(kinds, { ...event, sandboxId }, source);
    this.#known.delete(event.id);
    return changes;
  }

  #changes(
    kinds: readonly ChangeKind[],
    event: ContainerEvent,
    source: ContainerChange['source'],
  ): ContainerChange[] {
    const sandbox = this.#known.get(event.sandboxId)?.sandbox;
    return kinds.map((kind) => ({ ...event, kind, source, sandbox }));
  }
}
