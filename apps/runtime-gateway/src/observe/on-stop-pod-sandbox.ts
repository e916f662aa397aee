import { StopPodSandboxRequest } from '@stowage/cri-proto';
import { millisecondsOf, sandboxFacts } from '../objects/cri-facts';
import type { OnCall } from './observer-context';
import { tellStopped } from './report-exit';

/** StopPodSandbox stops the containers first; it succeeds for a sandbox that is stopped or gone, too. */
export const onStopPodSandbox: OnCall = (call, to) => {
  const { objects, lifecycle, lookUp, lanes } = to;
  const { podSandboxId } = StopPodSandboxRequest.decode(call.request);
  const id = objects.fullSandboxId(podSandboxId);
  const exitsTold = Promise.all(
    objects.containersOf(id).map((container) => tellStopped(container.id, call, to)),
  );
  // Its failure is met below, which can be after others in the lane.
  exitsTold.catch(() => undefined);
  return lanes.run(id, async () => {
    await exitsTold;
    const stopped = { phase: 'stopped', observedBy: 'call', atMs: call.endedAtMs } as const;
    const known = objects.sandbox(id);
    if (known !== undefined) {
      lifecycle.sandbox({ ...known, ...stopped });
      return;
    }
    const listed = await lookUp.sandbox(id).catch((error: unknown) => {
      to.leaveToListing(error);
      return undefined;
    });
    // Unknown and not listed: it was gone before. Unknown and listed: it came past the gateway, or before it.
    if (listed === undefined) return;
    const createdAtMs = millisecondsOf(listed.createdAt);
    lifecycle.sandbox({ ...sandboxFacts(listed), createdAtMs, ...stopped });
  });
};
