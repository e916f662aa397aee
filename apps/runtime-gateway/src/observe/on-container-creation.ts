import { CreateContainerRequest } from '@stowage/cri-proto';
import type { ImageSpec } from '@stowage/cri-proto';
import { maxListedImages } from '@stowage/events';
import { parseAnyReference } from '@stowage/image-ref';
import { imageOf, podOf } from '../objects/cri-facts';
import type { ContainerImage } from '../objects/types';
import type { ObserverContext } from './observer-context';

/**
 * Publishes that a container is about to be created, while the runtime works on it: from now on
 * whoever removes images knows that these are wanted, which the runtime's own lists show only
 * later. A hint; nothing is remembered or looked up.
 */
export function onContainerCreation(
  request: Uint8Array,
  { objects, lifecycle }: Pick<ObserverContext, 'objects' | 'lifecycle'>,
): void {
  const { podSandboxId, config, sandboxConfig } = CreateContainerRequest.decode(request);
  const image = namedImage(config?.image);
  // Without a name of both the runtime refuses the call.
  if (image === undefined || podSandboxId === '') return;
  const sandboxId = objects.fullSandboxId(podSandboxId);
  const volumeImages = (config?.mounts ?? [])
    .flatMap((mount) => namedImage(mount.image) ?? [])
    .slice(0, maxListedImages);
  lifecycle.creationStarted({
    podSandboxId: sandboxId,
    pod: objects.sandbox(sandboxId)?.pod ?? podOf(sandboxConfig?.metadata),
    name: config?.metadata?.name === '' ? undefined : config?.metadata?.name,
    attempt: config?.metadata?.attempt,
    image,
    volumeImages: volumeImages.length === 0 ? undefined : volumeImages,
  });
}

/** Absent for what no image can be called by: it names no image, and a URL can hold a password. */
function namedImage(spec: ImageSpec | undefined): ContainerImage | undefined {
  const image = imageOf(spec);
  if (image === undefined || !isReference(image.reference)) return undefined;
  const { userSpecifiedReference, ...rest } = image;
  return userSpecifiedReference !== undefined && isReference(userSpecifiedReference) ? image : rest;
}

function isReference(text: string): boolean {
  try {
    parseAnyReference(text);
    return true;
  } catch {
    return false;
  }
}
