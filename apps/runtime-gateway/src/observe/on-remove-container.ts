import { RemoveContainerRequest } from '@stowage/cri-proto';
import type { OnCall } from './observer-context';

/**
 * RemoveContainer succeeds for a container that is gone, too; nothing is published about one that
 * nobody knew.
 */
export const onRemoveContainer: OnCall = (call, { objects, lifecycle, queue }) => {
  const { containerId } = RemoveContainerRequest.decode(call.request);
  const id = objects.fullContainerId(containerId);
  return queue.run(id, () =>
    lifecycle.container({ id, phase: 'removed', observedBy: 'call', atMs: call.endedAtMs }),
  );
};
