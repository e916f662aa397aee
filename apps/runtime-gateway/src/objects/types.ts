/** What the platform calls a pod. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** Image of a container, as events carry it. */
export interface ContainerImage {
  readonly reference: string;
  readonly userSpecifiedReference?: string;
  readonly imageId?: string;
  readonly runtimeHandler?: string;
}

/** The life of a sandbox, in order; it never goes back. */
const sandboxPhases = ['ready', 'stopped', 'removed'] as const;
export type SandboxPhase = (typeof sandboxPhases)[number];

/** The life of a container, in order; it never goes back. */
const containerPhases = ['created', 'running', 'exited', 'removed'] as const;
export type ContainerPhase = (typeof containerPhases)[number];

/** What is published about a sandbox beside its phase. */
export interface SandboxFacts {
  readonly id: string;
  readonly pod?: Pod;
  readonly attempt?: number;
  readonly runtimeHandler?: string;
}

/** What is published about a container beside its phase. Never environment or command. */
export interface ContainerFacts {
  readonly id: string;
  readonly podSandboxId?: string;
  readonly pod?: Pod;
  readonly name?: string;
  readonly attempt?: number;
  readonly image?: ContainerImage;
}

/** A sandbox in its last known phase. */
export interface KnownSandbox extends SandboxFacts {
  readonly phase: SandboxPhase;
  /**
   * When it came into the phase, milliseconds since the epoch; absent in records of earlier
   * versions.
   */
  readonly phaseAtMs?: number;
}

/** How a container ended, as the runtime reported it. */
export interface ContainerExit {
  readonly startedAtMs?: number;
  readonly finishedAtMs?: number;
  readonly exitCode: number;
  readonly reason?: string;
}

/** A container in its last known phase. */
export interface KnownContainer extends ContainerFacts {
  readonly phase: ContainerPhase;
  /** See {@link KnownSandbox.phaseAtMs}. */
  readonly phaseAtMs?: number;
  /**
   * Its exit, when the runtime has shown it before the event could be published: a call in flight
   * may be its cause.
   */
  readonly exit?: ContainerExit;
  /**
   * When a stop was asked for whose outcome could not be looked up, milliseconds since the epoch.
   */
  readonly stopAskedAtMs?: number;
}

/**
 * Phases between the last known one (absent: never seen) and a new one, the new one included. What
 * nobody saw is not gone.
 */
function stepsTo<Phase extends string>(
  phases: readonly Phase[],
  phase: Phase,
  known: Phase | undefined,
): Phase[] {
  if (known === undefined && phase === 'removed') return [];
  const reached = known === undefined ? 0 : phases.indexOf(known) + 1;
  return phases.slice(reached, phases.indexOf(phase) + 1);
}

/** See {@link stepsTo}; empty when the phase is no news. */
export const sandboxSteps = (phase: SandboxPhase, known: KnownSandbox | undefined) =>
  stepsTo(sandboxPhases, phase, known?.phase);

/** {@link sandboxSteps} for containers. */
export const containerSteps = (phase: ContainerPhase, known: KnownContainer | undefined) =>
  stepsTo(containerPhases, phase, known?.phase);
