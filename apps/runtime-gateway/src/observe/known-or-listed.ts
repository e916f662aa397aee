import type { ContainerStatus } from '@stowage/cri-proto';
import { containerFacts, millisecondsOf, sandboxFacts, statusFacts } from '../objects/cri-facts';
import type { ContainerFacts } from '../objects/types';
import type { ObserverContext } from './observer-context';

/**
 * Facts of a container that a call names by id only: what is known, else what the runtime lists, as
 * far as it answers. A status alone does not do: it names neither sandbox nor pod.
 */
export async function knownOrListed(
  id: string,
  status: ContainerStatus | undefined,
  {
    objects,
    lookUp,
    scheduleRelist,
  }: Pick<ObserverContext, 'objects' | 'lookUp' | 'scheduleRelist'>,
): Promise<ContainerFacts & { readonly createdAtMs?: number }> {
  const known = objects.container(id);
  if (known !== undefined) return known;
  const minimum = status === undefined ? { id } : statusFacts(status);
  try {
    const listed = await lookUp.container(minimum.id);
    if (listed === undefined) return minimum;
    const sandbox = objects.sandbox(listed.podSandboxId);
    const listedSandbox = sandbox ?? (await listedSandboxFacts(listed.podSandboxId, lookUp));
    return {
      ...containerFacts(listed),
      pod: listedSandbox?.pod,
      createdAtMs: millisecondsOf(listed.createdAt),
    };
  } catch (error) {
    scheduleRelist(error);
    return minimum;
  }
}

async function listedSandboxFacts(id: string, lookUp: ObserverContext['lookUp']) {
  const listed = await lookUp.sandbox(id);
  return listed === undefined ? undefined : sandboxFacts(listed);
}
