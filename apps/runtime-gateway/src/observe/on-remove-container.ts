import { RemoveContainerRequest } from '@stowage/cri-proto';
import type { OnCall } from './observer-context';

/** RemoveContainer succeeds for a container that is gone, too; one that nobody knew is not told of. */
export const onRemoveContainer: OnCall = (call, { objects, lifecycle, lanes }) => {
  const { containerId } = RemoveContainerRequest.decode(call.request);
  const id = objects.fullContainerId(containerId);
  return lanes.run(id, () =>
    lifecycle.container({ id, phase: 'removed', observedBy: 'call', atMs: call.endedAtMs }),
  );
};
