import type { Container, ContainerFilter, ListContainersRequest } from '@stowage/cri-proto';
import { isHexIdentifier } from '@stowage/image-ref';
import { matchesLabels } from '../pod/labels';
import type { AppContainer, Containers } from './containers';

/** ListContainers. */
export class ListContainers {
  constructor(private readonly containers: Pick<Containers, 'list'>) {}

  /** The containers that match the filter; of ids, the beginning is enough. */
  async list(
    filter: ListContainersRequest['filter'],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Container[]> {
    const { podSandboxId = '' } = filter ?? {};
    const of = isHexIdentifier(podSandboxId) ? { sandboxId: podSandboxId } : {};
    const containers = await this.containers.list({ signal }, of);
    return containers.filter((container) => matches(container, filter)).map(criContainer);
  }
}

function matches(container: AppContainer, filter: ContainerFilter | undefined): boolean {
  if (filter === undefined) return true;
  const { id, state, podSandboxId, labelSelector } = filter;
  return (
    container.id.startsWith(id) &&
    container.sandboxId.startsWith(podSandboxId) &&
    (state === undefined || state.state === container.state) &&
    matchesLabels(container.labels, labelSelector)
  );
}

function criContainer(container: AppContainer): Container {
  const { id, sandboxId, metadata, image, imageId, state, createdNs } = container;
  return {
    id,
    podSandboxId: sandboxId,
    metadata,
    image: criImageSpec(image),
    imageRef: imageId,
    imageId,
    state,
    createdAt: createdNs,
    labels: { ...container.labels },
    annotations: { ...container.annotations },
  };
}

/** An image by the name that the user gave it. */
export const criImageSpec = (image: string): NonNullable<Container['image']> => ({
  image,
  userSpecifiedImage: image,
  annotations: {},
  runtimeHandler: '',
  imageRef: '',
});
