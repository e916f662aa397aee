import { ContainerState, type PodSandboxMetadata } from '@stowage/cri-proto';
import type { Containers } from '../container/containers';
import { containerName } from '../pod/container-name';
import { matchesLabels } from '../pod/labels';
import type { Pods } from '../pod/pods';
import type { StatsContainer, StatsFilter, StatsSandbox, StatsSubjects } from './types';

/** The containers and sandboxes of the engine's lists. */
export class KnownSubjects implements StatsSubjects {
  constructor(
    private readonly found: Pick<Containers, 'list'>,
    private readonly pods: Pick<Pods, 'list'>,
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
      .map(({ state, lastPid: pid, lastStartedNs: startedAtNs, ...container }) => ({
        ...container,
        ...{ pid, startedAtNs },
        running: state === ContainerState.CONTAINER_RUNNING,
      }));
  }

  async sandboxes(filter: StatsFilter, signal: AbortSignal): Promise<readonly StatsSandbox[]> {
    const listed = await this.pods.list({ signal });
    return listed
      .filter((sandbox) => matches(sandbox, filter))
      .map(({ networkMode, lastPid: pid, lastStartedNs: startedAtNs, ...sandbox }) => ({
        ...sandbox,
        ...{ pid, startedAtNs },
        name: nameOf(sandbox.metadata),
        image: '',
        hostNetwork: networkMode === 'host',
      }));
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
