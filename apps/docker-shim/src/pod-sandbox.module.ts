import { Module } from '@nestjs/common';
import { DockerConfigFiles } from '@stowage/registry-auth';
import { provider } from '@stowage/service-kit';
import { CONTEXT } from './config';
import { ContainerModule } from './container.module';
import { EngineModule } from './engine.module';
import { ImageModule } from './image.module';
import { PodModule } from './pod.module';
import { ListPodSandboxes } from './pod/list-pod-sandboxes';
import { PodSandboxStatus } from './pod/pod-sandbox-status';
import { RemovePodSandbox } from './pod/remove-pod-sandbox';
import { RunPodSandbox } from './pod/run-pod-sandbox';
import { SandboxImage } from './pod/sandbox-image';
import { SandboxTeardown } from './pod/sandbox-teardown';
import { StopPodSandbox } from './pod/stop-pod-sandbox';
import { UpdatePodSandboxResources } from './pod/update-pod-sandbox-resources';
import {
  CHECKPOINTS,
  CONTAINER_STATUS,
  ENGINE,
  IMAGES,
  METRICS,
  NETWORK,
  PODS,
  POD_VERBS,
  QUEUE,
  RECORDS,
} from './tokens';

/** The verbs of RuntimeService about pod sandboxes. */
const podVerbs = provider(
  POD_VERBS,
  [
    ...([CONTEXT, ENGINE, IMAGES, METRICS, NETWORK, QUEUE, CHECKPOINTS, RECORDS] as const),
    ...([PODS, CONTAINER_STATUS] as const),
  ],
  (
    { config, log },
    ...[connection, images_, metrics, network, queue, checkpoints, records, known, status]
  ) => {
    const { sandboxImage, dockerConfigDirs, dockercfgDirs, networkMode } = config;
    const { restrictOomScoreAdj } = config;
    const keyring = new DockerConfigFiles(
      { configJsonDirs: dockerConfigDirs, dockercfgDirs },
      {
        onProblem: ({ kind, name, reason }) => {
          log.warn({ kind, name, reason }, 'a credential source cannot be used');
        },
      },
    );
    const teardown = new SandboxTeardown({
      connection,
      pods: known,
      checkpoints,
      records,
      network,
    });
    const run = new RunPodSandbox(
      {
        ...{ connection, pods: known, queue, checkpoints, records, network, teardown, log },
        image: new SandboxImage(sandboxImage, images_.pull, keyring),
        onConflict: metrics.pods.conflict,
      },
      { networkMode, restrictOomScoreAdj },
    );
    return {
      run,
      stop: new StopPodSandbox(known, queue, teardown),
      remove: new RemovePodSandbox(known, queue, teardown),
      status: new PodSandboxStatus(known, records, network, (id, call) =>
        status.ofSandbox(id, call),
      ),
      list: new ListPodSandboxes(known, checkpoints, queue),
      updateResources: new UpdatePodSandboxResources(known, queue, records),
      network,
    };
  },
);

/** Pod sandboxes. */
@Module({
  imports: [EngineModule, ImageModule, PodModule, ContainerModule],
  providers: [podVerbs],
  exports: [podVerbs],
})
export class PodSandboxModule {}
