import { UpdateContainerResourcesRequest } from '@stowage/cri-proto';
import type { OnCall } from './observer-context';

/**
 * UpdateContainerResources changes limits and no phase, and kubelet's CPU manager repeats it for
 * containers whose limits are what they were: it is logged, not published.
 */
export const onUpdateContainerResources: OnCall = (call, { objects, log }) => {
  const { containerId, linux } = UpdateContainerResourcesRequest.decode(call.request);
  const id = objects.fullContainerId(containerId);
  const { pod, name } = objects.container(id) ?? {};
  log.debug(
    {
      containerId: id,
      pod,
      name,
      cpuShares: linux && Number(linux.cpuShares),
      cpuQuota: linux && Number(linux.cpuQuota),
      cpuPeriod: linux && Number(linux.cpuPeriod),
      cpusetCpus: linux?.cpusetCpus,
      memoryLimitBytes: linux && Number(linux.memoryLimitInBytes),
    },
    'resources of a container were updated',
  );
};
