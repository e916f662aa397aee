import { StopContainerRequest } from '@stowage/cri-proto';
import type { OnCall } from './observer-context';
import { tellStopped } from './report-exit';

/** StopContainer succeeds for a container that stopped long ago, too: that is not told again. */
export const onStopContainer: OnCall = (call, to) => {
  const { containerId } = StopContainerRequest.decode(call.request);
  const id = to.objects.fullContainerId(containerId);
  return tellStopped(id, call, to);
};
