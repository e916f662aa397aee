import { StopContainerRequest } from '@stowage/cri-proto';
import type { OnCall } from './observer-context';
import { reportExit } from './report-exit';

/**
 * StopContainer succeeds for a container that stopped long ago, too: that is not published again.
 */
export const onStopContainer: OnCall = (call, context) => {
  const { containerId } = StopContainerRequest.decode(call.request);
  const id = context.objects.fullContainerId(containerId);
  return reportExit(id, call, context);
};
