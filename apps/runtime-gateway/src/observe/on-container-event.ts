import { ContainerEventType } from '@stowage/cri-proto';
import type { ContainerEventResponse } from '@stowage/cri-proto';
import {
  containerPhase,
  millisecondsOf,
  runFacts,
  sandboxFacts,
  sandboxPhase,
  statusFacts,
} from '../objects/cri-facts';
import type { ContainerObservation, SandboxObservation } from './lifecycle';
import type { KnownObjects } from '../objects/known-objects';

/** What an event of the runtime shows, in the order in which it is to be published. */
export interface EventObservations {
  readonly pod?: SandboxObservation;
  readonly containers: readonly ContainerObservation[];
  /** Published after the containers. */
  readonly podEnd?: SandboxObservation;
  /** The event does not show what it is about: the runtime's lists do. */
  readonly isUnclear: boolean;
}

const observedBy = 'runtime-event';

/**
 * Reads one message of GetContainerEvents. It carries the state of the whole pod, so an event that
 * was missed is made good by the next one of the same pod.
 */
export function onContainerEvent(
  event: ContainerEventResponse,
  objects: Pick<KnownObjects, 'sandbox' | 'container' | 'containersOf'>,
): EventObservations {
  const { containerId, containerEventType, podSandboxStatus, containersStatuses } = event;
  const isDeleted = containerEventType === ContainerEventType.CONTAINER_DELETED_EVENT;
  const isStopped = containerEventType === ContainerEventType.CONTAINER_STOPPED_EVENT;
  const atMs = millisecondsOf(event.createdAt);
  const isSandbox =
    podSandboxStatus?.id === containerId || objects.sandbox(containerId) !== undefined;

  if (isSandbox && isDeleted) {
    const removed = { phase: 'removed', observedBy, atMs } as const;
    return {
      containers: objects.containersOf(containerId).map(({ id }) => ({ id, ...removed })),
      podEnd: { id: containerId, ...removed },
      isUnclear: false,
    };
  }
  const podSandboxId = podSandboxStatus?.id ?? objects.container(containerId)?.podSandboxId;
  const pod = podSandboxStatus === undefined ? undefined : sandboxFacts(podSandboxStatus).pod;
  const containers: ContainerObservation[] = containersStatuses.flatMap((status) => {
    const phase = isDeleted && status.id === containerId ? 'removed' : containerPhase(status.state);
    if (phase === undefined) return [];
    // One that is seen for the first time cannot be published without its sandbox.
    if (podSandboxId === undefined && objects.container(status.id) === undefined) return [];
    const facts = { ...statusFacts(status), ...runFacts(status) };
    return { ...facts, podSandboxId, pod, phase, observedBy, atMs };
  });
  let isShown = isSandbox
    ? podSandboxStatus !== undefined
    : containers.some(({ id }) => id === containerId);
  if (!isSandbox && !isShown && (isDeleted || isStopped)) {
    const isKnown = objects.container(containerId) !== undefined;
    const phase = isDeleted ? 'removed' : 'exited';
    if (isKnown) containers.push({ id: containerId, podSandboxId, pod, phase, observedBy, atMs });
    // What is gone and was never seen cannot be found in a list either.
    isShown = isKnown || isDeleted;
  }
  const isUnclear = !isShown;
  if (podSandboxStatus === undefined) return { containers, isUnclear };
  const sandbox: SandboxObservation = {
    ...sandboxFacts(podSandboxStatus),
    phase: sandboxPhase(podSandboxStatus.state),
    createdAtMs: millisecondsOf(podSandboxStatus.createdAt),
    observedBy,
    atMs,
  };
  // A pod starts before its containers, and ends after them.
  return sandbox.phase === 'ready'
    ? { pod: sandbox, containers, isUnclear }
    : { containers, podEnd: sandbox, isUnclear };
}
