import type { CommandAnswer, runtimeGateway } from '@stowage/commands';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { ContainerState, PodSandboxState } from '@stowage/cri-proto';
import type { Container, PodSandbox } from '@stowage/cri-proto';
import { containerFacts, containerPhase, millisecondsOf, sandboxFacts } from '../objects/cri-facts';

type Pods = CommandAnswer<typeof runtimeGateway.pods>;

/**
 * Kubelet's GetPods: sandboxes with their containers, by pod. Without `all` only ready sandboxes
 * and running containers, and the pods that have one; with it everything the runtime lists.
 */
export async function listPods(
  runtime: Pick<RuntimeServiceClient, 'listPodSandbox' | 'listContainers'>,
  { all = false }: { all?: boolean },
  options: { signal: AbortSignal },
): Promise<Pods> {
  // Unfiltered: a running container can be in a sandbox that is not ready, which names its pod.
  const { containers } = await runtime.listContainers({}, options);
  const { items: sandboxes } = await runtime.listPodSandbox({}, options);
  const podKeyOf = new Map(sandboxes.map((sandbox) => [sandbox.id, podKey(sandbox)]));
  const pods = new Map<string, { sandboxes: PodSandbox[]; containers: Container[] }>();
  const podOf = (key: string) => {
    const pod = pods.get(key) ?? { sandboxes: [], containers: [] };
    pods.set(key, pod);
    return pod;
  };
  for (const sandbox of sandboxes) podOf(podKey(sandbox)).sandboxes.push(sandbox);
  for (const container of containers) {
    podOf(podKeyOf.get(container.podSandboxId) ?? '').containers.push(container);
  }
  const listed = [...pods.values()].flatMap((pod) => {
    const shown = {
      sandboxes: all ? pod.sandboxes : pod.sandboxes.filter(isReady),
      containers: all ? pod.containers : pod.containers.filter(isRunning),
    };
    if (shown.sandboxes.length === 0 && shown.containers.length === 0) return [];
    return describePod(pod.sandboxes, shown);
  });
  return { pods: listed.sort((a, b) => (b.createdAt ?? '').localeCompare(a.createdAt ?? '')) };
}

/**
 * A pod has several sandboxes when its first one was replaced; outside Kubernetes the UID can be
 * empty.
 */
const podKey = ({ id, metadata }: PodSandbox): string =>
  metadata === undefined ? id : JSON.stringify([metadata.uid, metadata.namespace, metadata.name]);

const isReady = ({ state }: PodSandbox) => state === PodSandboxState.SANDBOX_READY;
const isRunning = ({ state }: Container) => state === ContainerState.CONTAINER_RUNNING;

const newestFirst = (a: { createdAt: bigint }, b: { createdAt: bigint }): number =>
  a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0;

const isoTime = (nanoseconds: bigint): string | undefined => {
  const atMs = millisecondsOf(nanoseconds);
  return atMs === undefined ? undefined : new Date(atMs).toISOString();
};

function describePod(
  every: readonly PodSandbox[],
  shown: { readonly sandboxes: readonly PodSandbox[]; readonly containers: readonly Container[] },
): Pods['pods'][number] {
  const sandboxes = shown.sandboxes.toSorted(newestFirst);
  const [newest = every[0]] = sandboxes;
  const { namespace = '', name = '', uid = '' } = newest?.metadata ?? {};
  return {
    namespace,
    name,
    uid,
    createdAt: newest === undefined ? undefined : isoTime(newest.createdAt),
    sandboxes: sandboxes.map((sandbox) => ({
      id: sandbox.id,
      state: isReady(sandbox) ? 'ready' : 'notready',
      attempt: sandbox.metadata?.attempt ?? 0,
      runtimeHandler: sandboxFacts(sandbox).runtimeHandler,
      createdAt: isoTime(sandbox.createdAt),
    })),
    containers: shown.containers.toSorted(newestFirst).map((container) => ({
      id: container.id,
      podSandboxId: container.podSandboxId,
      name: container.metadata?.name ?? '',
      attempt: container.metadata?.attempt ?? 0,
      state: containerPhase(container.state) ?? 'unknown',
      image: containerFacts(container).image,
      imageRef: container.imageRef,
      createdAt: isoTime(container.createdAt),
    })),
  };
}
