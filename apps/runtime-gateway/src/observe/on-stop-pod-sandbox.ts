import { StopPodSandboxRequest } from '@stowage/cri-proto';
import { millisecondsOf, sandboxFacts } from '../objects/cri-facts';
import type { OnCall } from './observer-context';
import { reportExit } from './report-exit';

/**
 * StopPodSandbox stops the containers first; it succeeds for a sandbox that is stopped or gone,
 * too.
 */
export const onStopPodSandbox: OnCall = (call, context) => {
  const { objects, lifecycle, lookUp, queue } = context;
  const { podSandboxId } = StopPodSandboxRequest.decode(call.request);
  const id = objects.fullSandboxId(podSandboxId);
  const exitsReported = Promise.all(
    objects.containersOf(id).map((container) => reportExit(container.id, call, context)),
  );
  // Its failure is handled below, which can be after others in the queue.
  exitsReported.catch(() => undefined);
  return queue.run(id, async () => {
    await exitsReported;
    const stopped = { phase: 'stopped', observedBy: 'call', atMs: call.endedAtMs } as const;
    const known = objects.sandbox(id);
    if (known !== undefined) {
      lifecycle.sandbox({ ...known, ...stopped });
      return;
    }
    const listed = await lookUp.sandbox(id).catch((error: unknown) => {
      context.scheduleRelist(error);
      return undefined;
    });
    // Unknown and not listed: it was gone before. Unknown and listed: it came past the gateway, or
    // before it.
    if (listed === undefined) return;
    const createdAtMs = millisecondsOf(listed.createdAt);
    lifecycle.sandbox({ ...sandboxFacts(listed), createdAtMs, ...stopped });
  });
};
