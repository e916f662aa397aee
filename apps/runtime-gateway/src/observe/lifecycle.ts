import { errorMessage } from '@stowage/errors';
import type { EventData, EventName } from '@stowage/events';
import type { KnownObjects, ObjectKind } from '../objects/known-objects';
import {
  containerSteps,
  sandboxSteps,
  type ContainerExit,
  type ContainerFacts,
  type ContainerPhase,
  type KnownContainer,
  type KnownSandbox,
  type SandboxFacts,
  type SandboxPhase,
} from '../objects/types';

/** How something became known, in the word of the events. */
export type ObservedBy = 'call' | 'runtime-event' | 'listing';

/** A sandbox, observed in a phase. */
export interface SandboxObservation extends SandboxFacts {
  readonly phase: SandboxPhase;
  readonly observedBy: ObservedBy;
  readonly createdAtMs?: number;
  /** How long the call that started it took. */
  readonly durationMs?: number;
  /** When it was in the phase at the latest, milliseconds since the epoch; now when absent. */
  readonly atMs?: number;
}

/** A container, observed in a phase. */
export interface ContainerObservation extends ContainerFacts {
  readonly phase: ContainerPhase;
  readonly observedBy: ObservedBy;
  readonly createdAtMs?: number;
  readonly startedAtMs?: number;
  readonly finishedAtMs?: number;
  readonly exitCode?: number;
  readonly reason?: string;
  /** Its stop was asked for; absent when not known. */
  readonly requested?: boolean;
  /** When it was in the phase at the latest, milliseconds since the epoch; now when absent. */
  readonly atMs?: number;
}

/** Puts an event into the outbox; the event bus's `publish` fits. */
export type Publish = <N extends EventName>(
  name: N,
  event: { subject: string; data: EventData<N>; time?: Date },
) => unknown;

export interface LifecycleOptions {
  readonly objects: KnownObjects;
  readonly publish: Publish;
  readonly now: () => number;
  /**
   * Since when this node is observed, milliseconds since the epoch. What was in its phase before is
   * not news when it is first seen.
   */
  readonly observing: { readonly ms: number };
  /** An event that could not be written: it breaks its schema or is too large. */
  readonly onUnpublished: (event: EventName, subject: string, reason: string) => void;
}

/**
 * Turns observations into events. Phases only go forward, so it does not matter how often, by whom
 * or in which order the same thing is observed: each phase is published once, with the phases
 * before it that nobody saw.
 */
export class Lifecycle {
  constructor(private readonly options: LifecycleOptions) {}

  /** A client asked for a container that does not exist yet. */
  creationStarted(creation: Omit<EventData<'ContainerCreationStarted'>, 'observedBy'>): void {
    this.#publish('ContainerCreationStarted', creation.image.reference, undefined, {
      ...creation,
      observedBy: 'call',
    });
  }

  sandbox(seen: SandboxObservation): void {
    const { objects } = this.options;
    const known = objects.sandbox(seen.id);
    const steps = sandboxSteps(seen.phase, known);
    if (steps.length === 0) return;
    const own = { ready: seen.createdAtMs, stopped: undefined, removed: undefined };
    const times = this.#timesOf(
      steps.map((step) => own[step]),
      seen,
      known,
    );
    const sandbox = {
      ...completed<SandboxFacts>(known, sandboxFactsOf(seen)),
      phase: seen.phase,
      phaseAtMs: times.at(-1),
    };
    for (const [i, step] of steps.entries()) {
      if (!this.#isSandboxNews(step, seen, known)) continue;
      if (this.#isRepeated('sandbox', step, seen)) continue;
      this.#publishSandbox(step, seen, sandbox, times[i]);
    }
    objects.putSandbox(sandbox);
  }

  container(seen: ContainerObservation): void {
    const { objects } = this.options;
    const known = objects.container(seen.id);
    const steps = containerSteps(seen.phase, known);
    if (steps.length === 0) return;
    const observed = completedByExit(seen, known?.exit);
    const own = {
      created: observed.createdAtMs,
      running: observed.startedAtMs,
      exited: observed.finishedAtMs,
      removed: undefined,
    };
    const times = this.#timesOf(
      steps.map((step) => own[step]),
      seen,
      known,
    );
    const facts = completed<ContainerFacts>(known, containerFactsOf(seen));
    const container: KnownContainer = withoutAbsent({
      ...facts,
      pod: facts.pod ?? objects.sandbox(facts.podSandboxId ?? '')?.pod,
      // The image as it was first published stays, but for an ID that was missing.
      image: facts.image === undefined ? undefined : { ...seen.image, ...facts.image },
      phase: seen.phase,
      phaseAtMs: times.at(-1),
    });
    for (const [i, step] of steps.entries()) {
      if (!this.#isContainerNews(step, observed, known)) continue;
      if (this.#isRepeated('container', step, observed)) continue;
      this.#publishContainer(step, observed, container, times[i]);
    }
    objects.putContainer(container);
  }

  /** A stop was asked for and nobody can say yet what became of it. */
  stopAsked(containerId: string, atMs: number): void {
    const known = this.options.objects.container(containerId);
    if (known === undefined || known.stopAskedAtMs !== undefined) return;
    this.options.objects.putContainer({ ...known, stopAskedAtMs: atMs });
  }

  /**
   * The runtime has shown how a container ended: kept for whoever publishes that, who may come too
   * late to ask.
   */
  exitObserved(containerId: string, exit: ContainerExit): void {
    const known = this.options.objects.container(containerId);
    if (known === undefined || known.exit !== undefined) return;
    this.options.objects.putContainer({ ...known, exit: withoutAbsent(exit) });
  }

  /**
   * When each of some phases began, milliseconds since the epoch: as the runtime says (`own`), else
   * when the next one did, for the last one when it was seen. Never in the future, and never before
   * the phase before it: clocks and sources differ by some milliseconds.
   */
  #timesOf(
    own: readonly (number | undefined)[],
    seen: { readonly atMs?: number },
    known: { readonly phaseAtMs?: number } | undefined,
  ): number[] {
    const now = this.options.now();
    let next = seen.atMs ?? now;
    const times = own.map((_, i) => (next = own.at(-1 - i) ?? next)).reverse();
    let before = known?.phaseAtMs ?? -Infinity;
    return times.map((time) => (before = Math.max(before, Math.min(time, now))));
  }

  #isSandboxNews(
    step: SandboxPhase,
    seen: SandboxObservation,
    known: KnownSandbox | undefined,
  ): boolean {
    const isPassed = step !== seen.phase;
    if (step === 'ready' && isPassed) return this.#isSinceObserving(seen.createdAtMs);
    if (known !== undefined || seen.observedBy === 'call') return true;
    return this.#isSinceObserving(seen.createdAtMs);
  }

  #isContainerNews(
    step: ContainerPhase,
    seen: ContainerObservation,
    known: KnownContainer | undefined,
  ): boolean {
    const isPassed = step !== seen.phase;
    switch (step) {
      case 'created':
        if (isPassed) return this.#isSinceObserving(seen.createdAtMs);
        break;
      case 'running':
        // Passed on the way to a later phase: only where the runtime says that it ran.
        if (isPassed) return this.#isSinceObserving(seen.startedAtMs);
        break;
      case 'exited':
        // On the way to its removal: only if it was seen running.
        if (isPassed) return known?.phase === 'running';
        break;
      case 'removed':
        return true;
    }
    if (known !== undefined || seen.observedBy === 'call') return true;
    return this.#isSinceObserving(seen.finishedAtMs ?? seen.startedAtMs ?? seen.createdAtMs);
  }

  /**
   * What there is no room to remember is found again by each listing: only calls show it once, each
   * its own phase.
   */
  #isRepeated(
    kind: ObjectKind,
    step: SandboxPhase | ContainerPhase,
    { id, phase, observedBy }: SandboxObservation | ContainerObservation,
  ): boolean {
    if (observedBy === 'call' && step === phase) return false;
    return !this.options.objects.takes(kind, id);
  }

  #isSinceObserving(atMs: number | undefined): boolean {
    return atMs !== undefined && atMs >= this.options.observing.ms;
  }

  #publishSandbox(
    step: SandboxPhase,
    seen: SandboxObservation,
    sandbox: KnownSandbox,
    time: number | undefined,
  ): void {
    const isPassed = step !== seen.phase;
    const data = { podSandboxId: sandbox.id, pod: sandbox.pod, observedBy: seen.observedBy };
    switch (step) {
      case 'ready':
        if (sandbox.pod === undefined) return;
        this.#publish('PodSandboxStarted', sandbox.id, time, {
          ...data,
          pod: sandbox.pod,
          attempt: sandbox.attempt,
          runtimeHandler: sandbox.runtimeHandler,
          durationMs: seen.durationMs === undefined ? undefined : Math.round(seen.durationMs),
          observedBy: isPassed ? foundBy(seen) : seen.observedBy,
        });
        return;
      case 'stopped':
        this.#publish('PodSandboxStopped', sandbox.id, time, data);
        return;
      case 'removed':
        this.#publish('PodSandboxRemoved', sandbox.id, time, data);
        return;
    }
  }

  #publishContainer(
    step: ContainerPhase,
    seen: ContainerObservation,
    container: KnownContainer,
    time: number | undefined,
  ): void {
    const isPassed = step !== seen.phase;
    const names = {
      containerId: container.id,
      podSandboxId: container.podSandboxId,
      pod: container.pod,
      name: container.name,
      attempt: container.attempt,
    };
    const { image } = container;
    const observedBy = isPassed ? foundBy(seen) : seen.observedBy;
    const startedAt = isoTime(seen.startedAtMs);
    switch (step) {
      case 'created':
        if (container.podSandboxId === undefined || image === undefined) return;
        this.#publish('ContainerCreated', container.id, time, {
          ...names,
          podSandboxId: container.podSandboxId,
          image,
          observedBy,
        });
        return;
      case 'running':
        this.#publish('ContainerStarted', container.id, time, {
          ...names,
          image,
          startedAt,
          observedBy,
        });
        return;
      case 'exited':
        this.#publish('ContainerStopped', container.id, time, {
          ...names,
          image,
          exitCode: seen.exitCode,
          reason: seen.reason,
          requested: seen.requested,
          startedAt,
          finishedAt: isoTime(seen.finishedAtMs),
          // Passed on the way to the removal: the same thing made both known.
          observedBy: seen.observedBy,
        });
        return;
      case 'removed':
        this.#publish('ContainerRemoved', container.id, time, { ...names, image, observedBy });
        return;
    }
  }

  #publish<N extends EventName>(
    name: N,
    subject: string,
    time: number | undefined,
    data: EventData<N>,
  ): void {
    try {
      this.options.publish(name, {
        subject,
        data: withoutAbsent(data),
        time: new Date(time ?? this.options.now()),
      });
    } catch (error) {
      this.options.onUnpublished(name, subject, errorMessage(error));
    }
  }
}

/** A phase that only the runtime's answer to our own question showed. */
const foundBy = ({ observedBy }: { observedBy: ObservedBy }): ObservedBy =>
  observedBy === 'call' ? 'listing' : observedBy;

const isoTime = (atMs: number | undefined): string | undefined =>
  atMs === undefined ? undefined : new Date(atMs).toISOString();

const sandboxFactsOf = ({
  id,
  pod,
  attempt,
  runtimeHandler,
}: SandboxObservation): SandboxFacts => ({
  id,
  pod,
  attempt,
  runtimeHandler,
});

const containerFactsOf = (seen: ContainerObservation): ContainerFacts => ({
  id: seen.id,
  podSandboxId: seen.podSandboxId,
  pod: seen.pod,
  name: seen.name,
  attempt: seen.attempt,
  image: seen.image,
});

/**
 * What was seen of a container that ended or is gone, with what the runtime has shown of its exit
 * before.
 */
function completedByExit(seen: ContainerObservation, exit: ContainerExit | undefined) {
  if (exit === undefined || (seen.phase !== 'exited' && seen.phase !== 'removed')) return seen;
  return { ...exit, ...withoutAbsent(seen) };
}

/** What is known, completed by what was seen. */
function completed<T extends object>(known: T | undefined, seen: T): T {
  return { ...withoutAbsent(seen), ...(known === undefined ? undefined : withoutAbsent(known)) };
}

function withoutAbsent<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;
}
