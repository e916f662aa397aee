import { ContainerState, type PodSandboxMetadata } from '@stowage/cri-proto';
import type { Containers } from '../container/containers';
import { containerName } from '../pod/container-name';
import { matchesLabels } from '../pod/labels';
import type { Pods } from '../pod/pods';
import type { StatsContainer, StatsFilter, StatsSandbox, StatsSubjects } from './types';

/** The containers and sandboxes of the engine's lists. */
export class KnownSubjects implements StatsSubjects {
  /** By sandbox: it never changes, and no list of the engine has it. */
  #cgroupParents = new Map<string, string>();

  constructor(
    private readonly found: Pick<Containers, 'list'>,
    private readonly pods: Pick<Pods, 'list' | 'find'>,
  ) {}

  async containers(
    filter: StatsFilter & { readonly podSandboxId?: string },
    signal: AbortSignal,
  ): Promise<readonly StatsContainer[]> {
    const { podSandboxId = '' } = filter;
    const listed = await this.found.list({ signal });
    return listed
      .filter(({ sandboxId }) => sandboxId.startsWith(podSandboxId))
      .filter((container) => matches(container, filter))
      .map(({ state, ...container }) => ({
        ...container,
        running: state === ContainerState.CONTAINER_RUNNING,
      }));
  }

  async sandboxes(filter: StatsFilter, signal: AbortSignal): Promise<readonly StatsSandbox[]> {
    const listed = await this.pods.list({ signal });
    const before = this.#cgroupParents;
    this.#cgroupParents = new Map();
    for (const { id } of listed) {
      const known = before.get(id);
      if (known !== undefined) this.#cgroupParents.set(id, known);
    }
    return Promise.all(
      listed
        .filter((sandbox) => matches(sandbox, filter))
        .map(async ({ networkMode, ...sandbox }) => ({
          ...sandbox,
          name: nameOf(sandbox.metadata),
          image: '',
          hostNetwork: networkMode === 'host',
          cgroupParent: await this.#cgroupParent(sandbox.id, signal),
        })),
    );
  }

  async #cgroupParent(id: string, signal: AbortSignal): Promise<string> {
    const known = this.#cgroupParents.get(id);
    if (known !== undefined) return known;
    const sandbox = await this.pods.find(id, { signal });
    const parent = sandbox?.container.HostConfig?.CgroupParent ?? '';
    this.#cgroupParents.set(id, parent);
    return parent;
  }
}

const nameOf = ({ name: pod, namespace, uid: podUid, attempt }: PodSandboxMetadata): string =>
  containerName({ pod, namespace, podUid, attempt });

function matches(
  { id, labels }: { readonly id: string; readonly labels: Readonly<Record<string, string>> },
  filter: StatsFilter,
): boolean {
  return id.startsWith(filter.id ?? '') && matchesLabels(labels, filter.labelSelector);
}
