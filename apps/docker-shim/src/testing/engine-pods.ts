import { PodSandbox, PodSandboxState } from '@stowage/cri-proto';
import type { Stack } from '@stowage/testing';
import type { EngineClient, ListedContainer } from '../engine/engine-client';
import type { ListedForEvents, Phase } from '../events/known-containers';
import { sandboxIdLabel, typeLabel } from '../pod/labels';
import type { StatsContainer, StatsSandbox, StatsSubjects } from '../stats/types';

/** Pods that a test makes with the engine's API, and the lists of them that the shim needs. */
export class EnginePods {
  constructor(private readonly stack: Stack) {}

  /** A container that stands for a sandbox; its pod has a control group of its own. */
  async sandbox(image: string, name: string, host: object = {}): Promise<string> {
    const id = await this.create(image, name, {
      Labels: { [typeLabel]: 'podsandbox' },
      HostConfig: { CgroupParent: `${this.stack.docker.cgroupParent}/${name}`, ...host },
    });
    await this.start(id);
    return id;
  }

  /** A container in a sandbox, not started. */
  async container(
    image: string,
    sandboxId: string,
    name: string,
    command: string,
  ): Promise<string> {
    const { HostConfig } = (await this.stack.docker.api(
      'GET',
      `/containers/${sandboxId}/json`,
    )) as {
      HostConfig: { CgroupParent: string };
    };
    return this.create(image, name, {
      Cmd: ['sh', '-c', command],
      Labels: { [typeLabel]: 'container', [sandboxIdLabel]: sandboxId },
      HostConfig: {
        NetworkMode: `container:${sandboxId}`,
        CgroupParent: HostConfig.CgroupParent,
        ShmSize: 128 * 1024 * 1024,
      },
    });
  }

  async create(image: string, name: string, body: object): Promise<string> {
    const created = await this.stack.docker.api('POST', `/containers/create?name=${name}`, {
      Image: image,
      ...body,
    });
    return (created as { Id: string }).Id;
  }

  async start(id: string): Promise<void> {
    await this.stack.docker.api('POST', `/containers/${id}/start`);
  }

  async kill(id: string): Promise<void> {
    await this.stack.docker.api('POST', `/containers/${id}/kill`);
  }

  async remove(id: string): Promise<void> {
    await this.stack.docker.api('DELETE', `/containers/${id}?force=1&v=1`);
  }

  /** Lists out of one call of the engine each. */
  subjects(client: () => EngineClient): StatsSubjects {
    return {
      containers: async ({ id = '', podSandboxId = '' }, signal) => {
        const listed = await client().listContainers(
          { label: [`${typeLabel}=container`] },
          { signal },
        );
        return listed
          .map(statsContainer)
          .filter((one) => one.id.startsWith(id) && one.sandboxId.startsWith(podSandboxId));
      },
      sandboxes: async ({ id = '' }, signal) => {
        const listed = await client().listContainers(
          { label: [`${typeLabel}=podsandbox`] },
          { signal },
        );
        return listed.map((one) => this.#sandbox(one)).filter((one) => one.id.startsWith(id));
      },
    };
  }

  async list(client: EngineClient, signal: AbortSignal): Promise<ListedForEvents[]> {
    const listed = await client.listContainers({ label: [typeLabel] }, { signal });
    return listed.map((one) => {
      const { id, name } = common(one);
      const isSandbox = one.Labels?.[typeLabel] === 'podsandbox';
      return {
        id,
        sandboxId: isSandbox ? id : (one.Labels?.[sandboxIdLabel] ?? ''),
        phase: phaseOf(one),
        sandbox: isSandbox
          ? PodSandbox.fromPartial({
              id,
              metadata: { name },
              state: PodSandboxState.SANDBOX_READY,
              createdAt: BigInt(one.Created ?? 0) * 1_000_000_000n,
            })
          : undefined,
      };
    });
  }

  #sandbox(listed: ListedContainer): StatsSandbox {
    const subject = common(listed);
    return {
      ...subject,
      metadata: { name: subject.name, namespace: 'ns', uid: 'uid', attempt: 0 },
      hostNetwork: listed.HostConfig?.NetworkMode === 'host',
      cgroupParent: `${this.stack.docker.cgroupParent}/${subject.name}`,
    };
  }
}

function common(listed: ListedContainer) {
  const { Id = '', Names, Labels, Image = '' } = listed;
  return {
    id: Id ?? '',
    name: Names?.[0]?.slice(1) ?? '',
    labels: Labels ?? {},
    annotations: {},
    image: Image ?? '',
    running: phaseOf(listed) === 'running',
  };
}

function statsContainer(listed: ListedContainer): StatsContainer {
  const subject = common(listed);
  return {
    ...subject,
    sandboxId: listed.Labels?.[sandboxIdLabel] ?? '',
    metadata: { name: subject.name, attempt: 0 },
  };
}

function phaseOf({ State }: ListedContainer): Phase {
  if (State === 'created') return 'created';
  return State === 'running' || State === 'paused' || State === 'restarting' ? 'running' : 'exited';
}
