import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { connectRuntimeService } from '@stowage/cri-client';
import type { Stack } from '@stowage/testing';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { criPod, type CriPod } from './cri-pod';
import { prepareVolumes, type VolumeSources } from './prepare-volumes';
import type { Rendered } from './rendered';

/** A pod that runs, and what of it is asked for. */
export interface RunningService {
  readonly podSandboxId: string;
  readonly containerId: string;
  readonly pid: number;
  readonly ip: string;
  readonly pod: CriPod;
}

/** Where pods run: a stack that plays the node. */
export interface PodNode {
  readonly name: string;
  readonly stack: Stack;
  readonly runtime: ReturnType<typeof connectRuntimeService>;
  readonly secrets: VolumeSources['secrets'];
}

/** Runs the pod of a service as kubelet does: volumes, sandbox, container. */
export async function runService(
  app: string,
  rendered: Rendered,
  { name, stack, runtime, secrets }: PodNode,
): Promise<RunningService> {
  const volumes = prepareVolumes(rendered.pod(app).volumes ?? [], {
    dir: folderIn(stack, `volumes-${app}`),
    configMaps: rendered.objects.filter(
      ({ kind }) => kind === 'ConfigMap',
    ) as unknown as IConfigMap[],
    secrets,
  });
  const pod = criPod(rendered.daemonSet(app), {
    nodeName: name,
    volumePath: (volume) => volumes.get(volume),
    logDirectory: folderIn(stack, `logs-${app}`),
  });
  const { podSandboxId } = await runtime.runPodSandbox({ config: pod.sandbox });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: pod.sandbox,
    config: pod.container,
  });
  await runtime.startContainer({ containerId });
  const sandbox = await runtime.podSandboxStatus({ podSandboxId });
  const { info } = await runtime.containerStatus({ containerId, verbose: true });
  const { pid } = JSON.parse(info.info ?? '{}') as { pid: number };
  return { podSandboxId, containerId, pid, ip: sandbox.status?.network?.ip ?? '', pod };
}

export function folderIn(stack: Stack, name: string): string {
  const folder = path.join(stack.dir, name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/**
 * Makes mounts below a folder, and in the file system that is mounted there, known to the mounts
 * that pods have of them, as systemd does for the root of a node. The stack removes this mount with
 * its others.
 */
export function shareMounts({ containerd }: Stack): void {
  const folder = path.dirname(containerd.socket);
  execFileSync('mount', ['--make-shared', containerd.root]);
  execFileSync('mount', ['--rbind', folder, folder]);
  execFileSync('mount', ['--make-rshared', folder]);
}
