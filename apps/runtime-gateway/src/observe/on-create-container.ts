import { CreateContainerRequest, CreateContainerResponse } from '@stowage/cri-proto';
import { imageIdOf, imageOf, podOf } from '../objects/cri-facts';
import type { ContainerObservation } from './lifecycle';
import type { OnCall } from './observer-context';

/**
 * CreateContainer names pod, container and image. Only an image named by reference has its ID
 * looked up.
 */
export const onCreateContainer: OnCall = (call, context) => {
  const { objects, lifecycle, lookUp, queue } = context;
  const request = CreateContainerRequest.decode(call.request);
  const { containerId } = CreateContainerResponse.decode(call.response);
  const podSandboxId = objects.fullSandboxId(request.podSandboxId);
  const seen: ContainerObservation = {
    id: containerId,
    phase: 'created',
    podSandboxId,
    pod: objects.sandbox(podSandboxId)?.pod ?? podOf(request.sandboxConfig?.metadata),
    name: request.config?.metadata?.name,
    attempt: request.config?.metadata?.attempt,
    image: imageOf(request.config?.image),
    observedBy: 'call',
    atMs: call.endedAtMs,
  };
  return queue.run(containerId, async () => {
    if (seen.image === undefined || seen.image.imageId !== undefined) {
      lifecycle.container(seen);
      return;
    }
    const listed = await lookUp.container(containerId).catch((error: unknown) => {
      context.scheduleRelist(error);
      return undefined;
    });
    const imageId = imageIdOf(listed?.imageId ?? '', listed?.imageRef ?? '');
    const image = imageId === undefined ? seen.image : { ...seen.image, imageId };
    lifecycle.container({ ...seen, image });
  });
};
