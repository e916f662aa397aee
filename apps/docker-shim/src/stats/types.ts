import type { ContainerMetadata, PodSandboxMetadata } from '@stowage/cri-proto';

/** What stats must know of containers and sandboxes; what they use is read elsewhere. */
export interface StatsSubjects {
  /** App containers in every state; of ids, the beginning is enough. */
  containers(
    filter: StatsFilter & { readonly podSandboxId?: string },
    signal: AbortSignal,
  ): Promise<readonly StatsContainer[]>;
  /** Sandboxes in every state, but not those that only a checkpoint knows. */
  sandboxes(filter: StatsFilter, signal: AbortSignal): Promise<readonly StatsSandbox[]>;
}

/** All conditions that are set must hold. */
export interface StatsFilter {
  readonly id?: string;
  readonly labelSelector?: Readonly<Record<string, string>>;
}

/** A container of the engine, whichever it is. */
export interface StatsSubject {
  readonly id: string;
  /** The engine's name of it, without the slash: `k8s_…`. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly image: string;
  readonly running: boolean;
  /**
   * Its first process as last known, which may be another's by now; undefined where only an
   * inspection shows it.
   */
  readonly pid?: number | undefined;
  /** When that was started; another time means another process. */
  readonly startedAtNs?: bigint | undefined;
}

/** An app container. */
export interface StatsContainer extends StatsSubject {
  readonly sandboxId: string;
  readonly metadata: ContainerMetadata;
}

/** A pod sandbox. */
export interface StatsSandbox extends StatsSubject {
  readonly metadata: PodSandboxMetadata;
  readonly hostNetwork: boolean;
  /** Control group that was asked for, in which all of the pod lies; empty for none. */
  readonly cgroupParent: string;
}

/** Notified of what metrics show. */
export interface StatsListener {
  /** The files of a running container cannot be read; its numbers come from the engine. */
  unreadable(): void;
  /** A writable layer was measured, or could not be. */
  layerMeasured(isMeasured: boolean, durationMs: number): void;
}
