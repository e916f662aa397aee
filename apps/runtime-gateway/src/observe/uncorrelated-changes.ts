import type { ContainerStatus } from '@stowage/cri-proto';
import { toGrpcStatus, type GrpcStatusName } from '@stowage/errors';
import type { Verb } from './call-observer';
import type { CallsInFlight } from './calls-in-flight';
import { containerPhase, imageIdOf, runFacts, sandboxPhase } from '../objects/cri-facts';
import { wasAskedFor } from './exit-cause';
import type { ContainerObservation, SandboxObservation } from './lifecycle';
import {
  containerSteps,
  sandboxSteps,
  type ContainerPhase,
  type KnownContainer,
  type SandboxPhase,
} from '../objects/types';
import type { ObserverContext } from './observer-context';

/** The calls that bring a sandbox into a phase. */
const sandboxCauses: Readonly<Record<SandboxPhase, readonly Verb[]>> = {
  ready: ['RunPodSandbox'],
  stopped: ['StopPodSandbox', 'RemovePodSandbox'],
  removed: ['RemovePodSandbox'],
};

/** The calls that bring a container into a phase. */
const containerCauses: Readonly<Record<ContainerPhase, readonly Verb[]>> = {
  created: ['CreateContainer'],
  running: ['StartContainer'],
  exited: ['StopContainer', 'StopPodSandbox', 'RemoveContainer', 'RemovePodSandbox'],
  removed: ['RemoveContainer', 'RemovePodSandbox'],
};

/** Failures of a lookup that say nothing about the container. */
const passing: ReadonlySet<GrpcStatusName> = new Set([
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'ABORTED',
  'RESOURCE_EXHAUSTED',
]);
const isPassing = (error: unknown): boolean => passing.has(toGrpcStatus(error).name);
/** Attempts to find out how a container ended, before its exit is published without that. */
const mostAttempts = 3;

export interface UncorrelatedChangesOptions {
  readonly context: Pick<ObserverContext, 'objects' | 'lifecycle' | 'lookUp' | 'queue'>;
  readonly inFlight: CallsInFlight<Verb>;
  /** See {@link LifecycleOptions.observing}. */
  readonly observing: { readonly ms: number };
  /**
   * Since when calls are followed without a gap: nobody was asked through the gateway to stop what
   * ended before.
   */
  readonly followingSinceMs: number;
  /**
   * How long a change waits for calls that are in flight and may be its cause, milliseconds. After
   * that it is published without saying whether it was asked for.
   */
  readonly attributionWaitMs: number;
}

/**
 * Changes that were not seen as the outcome of a call: in the runtime's lists, or in its event
 * stream. A call in flight that may be their cause comes first: it knows more about them.
 */
export class UncorrelatedChanges {
  readonly #failures = new Map<string, number>();

  constructor(private readonly options: UncorrelatedChangesOptions) {}

  /**
   * `wasKnown` says whether the sandbox was known when the runtime was asked; when absent, whether
   * it is now. A new one that is not ready may have been seen while RunPodSandbox was making it
   * (docker-shim lists it then), and is published as stopped only if it still is. Rejects when the
   * runtime does not say so in time.
   */
  async sandbox(
    seen: SandboxObservation,
    { wasKnown }: { wasKnown?: boolean } = {},
  ): Promise<void> {
    const { objects, lifecycle, queue } = this.options.context;
    const known = objects.sandbox(seen.id);
    const steps = sandboxSteps(seen.phase, known);
    if (steps.length === 0) return;
    const mayBeInMaking = seen.phase === 'stopped' && !(wasKnown ?? known !== undefined);
    await this.#callsEnded(steps.flatMap((step) => sandboxCauses[step]));
    await queue.run(seen.id, async () => {
      if (mayBeInMaking && !(await this.#hasStopped(seen.id))) return;
      lifecycle.sandbox(seen);
    });
  }

  /** Whether a sandbox that was seen as not ready has been made, and is not ready after that. */
  async #hasStopped(id: string): Promise<boolean> {
    const { objects, lookUp } = this.options.context;
    const phase = objects.sandbox(id)?.phase;
    if (phase === undefined) return this.options.inFlight.settled(sandboxCauses.ready, 0);
    if (phase !== 'ready') return true;
    const listed = await lookUp.sandbox(id);
    return listed !== undefined && sandboxPhase(listed.state) === 'stopped';
  }

  /**
   * Notes how a container ended, where the observation says it: its exit may be about to be
   * published.
   */
  exitObserved({ id, startedAtMs, finishedAtMs, exitCode, reason }: ContainerObservation): void {
    if (exitCode === undefined) return;
    const { lifecycle } = this.options.context;
    lifecycle.exitObserved(id, { startedAtMs, finishedAtMs, exitCode, reason });
  }

  /**
   * Rejects when facts are missing that the runtime did not return in time: nothing is published
   * yet then.
   */
  async container(observation: ContainerObservation): Promise<void> {
    const { objects, lifecycle, queue } = this.options.context;
    const steps = containerSteps(observation.phase, objects.container(observation.id));
    if (steps.length === 0) {
      this.#failures.delete(observation.id);
      return;
    }
    // Whoever stopped it may remove it next: now the runtime still says how it ended.
    const seen =
      observation.phase === 'exited' ? await this.#withRunFacts(observation) : observation;
    this.exitObserved(seen);
    const isAttributed = await this.#callsEnded(steps.flatMap((step) => containerCauses[step]));
    await queue.run(seen.id, async () => {
      if (containerSteps(seen.phase, objects.container(seen.id)).length === 0) return;
      const run = seen.phase === 'exited' ? seen : await this.#withRunFacts(seen);
      const complete = await this.#withImageId(run);
      const known = objects.container(seen.id);
      lifecycle.container({
        ...complete,
        requested: this.#requested(complete, known, isAttributed),
      });
    });
  }

  #callsEnded(verbs: readonly Verb[]): Promise<boolean> {
    const { inFlight, attributionWaitMs } = this.options;
    return inFlight.settled(verbs, attributionWaitMs);
  }

  /** Lists say neither when a container ran nor how it ended. */
  async #withRunFacts(seen: ContainerObservation): Promise<ContainerObservation> {
    const { objects } = this.options.context;
    const isComplete =
      seen.phase === 'exited' ? seen.exitCode !== undefined : seen.startedAtMs !== undefined;
    if (seen.phase === 'created' || seen.phase === 'removed' || isComplete) return seen;
    const known = objects.container(seen.id);
    if (seen.phase === 'exited' && known?.exit !== undefined) return { ...seen, ...known.exit };
    if (known === undefined && this.#isOld(seen)) return seen;
    const status = await this.#statusOf(seen.id);
    if (status === undefined) return seen;
    const phase = containerPhase(status.state) === 'exited' ? 'exited' : seen.phase;
    return { ...seen, ...runFacts(status), phase };
  }

  /** First seen and older than the observing: published to nobody, so that nothing is missing. */
  #isOld({ createdAtMs = 0 }: ContainerObservation): boolean {
    return createdAtMs < this.options.observing.ms;
  }

  /** A status may name the image without its ID (containerd 2.0 and 2.1 do); the list has it. */
  async #withImageId(seen: ContainerObservation): Promise<ContainerObservation> {
    const { objects, lookUp } = this.options.context;
    const known = objects.container(seen.id);
    if (seen.phase === 'removed' || (known === undefined && this.#isOld(seen))) return seen;
    if ((known?.image?.imageId ?? seen.image?.imageId) !== undefined) return seen;
    const listed = await lookUp.container(seen.id).catch((error: unknown) => {
      if (isPassing(error)) throw error;
      return undefined;
    });
    const imageId = imageIdOf(listed?.imageId ?? '', listed?.imageRef ?? '');
    if (imageId === undefined) return seen;
    const { reference = imageId } = seen.image ?? {};
    return { ...seen, image: { ...seen.image, reference, imageId } };
  }

  /**
   * Undefined also after some attempts that failed by themselves: what is known is published then.
   */
  async #statusOf(id: string): Promise<ContainerStatus | undefined> {
    try {
      const status = await this.options.context.lookUp.containerStatus(id);
      this.#failures.delete(id);
      return status;
    } catch (error) {
      if (isPassing(error)) throw error;
      const failures = (this.#failures.get(id) ?? 0) + 1;
      this.#failures.delete(id);
      if (failures >= mostAttempts) return undefined;
      this.#failures.set(id, failures);
      throw error;
    }
  }

  #requested(
    { phase, finishedAtMs }: ContainerObservation,
    known: KnownContainer | undefined,
    isAttributed: boolean,
  ): boolean | undefined {
    if (known === undefined || (phase !== 'exited' && phase !== 'removed')) return undefined;
    const { stopAskedAtMs } = known;
    if (phase === 'removed') return stopAskedAtMs === undefined ? undefined : true;
    if (stopAskedAtMs !== undefined) {
      return finishedAtMs === undefined || wasAskedFor(finishedAtMs, stopAskedAtMs);
    }
    const wasFollowed = finishedAtMs !== undefined && finishedAtMs >= this.options.followingSinceMs;
    return isAttributed && wasFollowed ? false : undefined;
  }
}
