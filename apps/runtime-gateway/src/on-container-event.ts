import { ContainerEventType } from '@stowage/cri-proto';
import type { ContainerEventResponse } from '@stowage/cri-proto';
import {
  containerPhase,
  millisecondsOf,
  runFacts,
  sandboxFacts,
  sandboxPhase,
  statusFacts,
} from './cri-facts';
import type { ContainerSighting, SandboxSighting } from './lifecycle';
import type { KnownObjects } from './objects/known-objects';

/** What an event of the runtime shows, in the order in which it is to be told. */
export interface EventSightings {
  readonly pod?: SandboxSighting;
  readonly containers: readonly ContainerSighting[];
  /** Told after the containers. */
  readonly podEnd?: SandboxSighting;
}

const observedBy = 'runtime-event';

/**
 * Reads one message of GetContainerEvents. It tells the state of the whole pod, so an event that was missed is made good by
 * the next one of the same pod.
 */
export function onContainerEvent(
  event: ContainerEventResponse,
  objects: Pick<KnownObjects, 'sandbox' | 'container' | 'containersOf'>,
): EventSightings {
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
    };
  }
  const podSandboxId = podSandboxStatus?.id ?? objects.container(containerId)?.podSandboxId;
  const pod = podSandboxStatus === undefined ? undefined : sandboxFacts(podSandboxStatus).pod;
  const containers: ContainerSighting[] = containersStatuses.flatMap((status) => {
    const phase = isDeleted && status.id === containerId ? 'removed' : containerPhase(status.state);
    if (phase === undefined) return [];
    const facts = { ...statusFacts(status), ...runFacts(status) };
    return { ...facts, podSandboxId, pod, phase, observedBy };
  });
  const isTold = containers.some(({ id }) => id === containerId);
  if (!isSandbox && !isTold && (isDeleted || isStopped)) {
    const phase = isDeleted ? 'removed' : 'exited';
    containers.push({ id: containerId, podSandboxId, pod, phase, observedBy, atMs });
  }
  if (podSandboxStatus === undefined) return { containers };
  const sandbox: SandboxSighting = {
    ...sandboxFacts(podSandboxStatus),
    phase: sandboxPhase(podSandboxStatus.state),
    createdAtMs: millisecondsOf(podSandboxStatus.createdAt),
    observedBy,
  };
  // A pod starts before its containers, and ends after them.
  return sandbox.phase === 'ready' ? { pod: sandbox, containers } : { containers, podEnd: sandbox };
}
