import { ClientError, Status } from 'nice-grpc';
import { NamespaceMode } from '@stowage/cri-proto';
import type { CriConnection } from './containerd';
import type { RunningPod, TestPod } from './types';

/** Pulls an image through the CRI and returns its image id. */
export async function pullThroughCri(
  { image }: CriConnection,
  reference: string,
  auth?: { username: string; password: string },
): Promise<string> {
  const { imageRef } = await image.pullImage({ image: { image: reference }, auth });
  return imageRef;
}

/**
 * As kubelet asks for it: a process namespace for each container. CRI-O then needs no process for
 * the sandbox.
 */
const securityContext = { namespaceOptions: { pid: NamespaceMode.CONTAINER } };

/** Runs a pod with one container and returns their ids; `remove` is the caller's to add. */
export async function runPodThroughCri(
  cri: CriConnection,
  pod: TestPod & { name: string },
): Promise<Omit<RunningPod, 'remove'>> {
  const { runtime, image } = cri;
  const present = await image.imageStatus({ image: { image: pod.image } });
  if (present.image === undefined) await pullThroughCri(cri, pod.image, pod.auth);
  const config = {
    metadata: {
      name: pod.name,
      namespace: pod.namespace ?? 'default',
      uid: `uid-${pod.name}`,
      attempt: 0,
    },
    hostname: pod.name,
    labels: { ...pod.labels },
    linux: { securityContext },
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  try {
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: {
        metadata: { name: 'main', attempt: 0 },
        image: { image: pod.image },
        command: [...(pod.command ?? [])],
        linux: { securityContext },
      },
    });
    await runtime.startContainer({ containerId });
    const { status } = await runtime.podSandboxStatus({ podSandboxId });
    return { podSandboxId, containerId, ip: status?.network?.ip ?? '' };
  } catch (error) {
    await removePodThroughCri(cri, podSandboxId).catch(() => undefined); // the first error is the one to report
    throw error;
  }
}

/** Stops and removes a sandbox with its containers; one that is gone is fine. */
export async function removePodThroughCri(
  { runtime }: CriConnection,
  podSandboxId: string,
): Promise<void> {
  try {
    await runtime.stopPodSandbox({ podSandboxId });
  } catch (error) {
    if (error instanceof ClientError && error.code === Status.NOT_FOUND) return;
    throw error;
  }
  await runtime.removePodSandbox({ podSandboxId });
}
