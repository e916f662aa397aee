import { RemovePodSandboxRequest } from '@stowage/cri-proto';
import type { OnCall } from './observer-context';

/** RemovePodSandbox removes the containers that are still in it, with one call for all. */
export const onRemovePodSandbox: OnCall = (call, { objects, lifecycle, queue }) => {
  const { podSandboxId } = RemovePodSandboxRequest.decode(call.request);
  const id = objects.fullSandboxId(podSandboxId);
  const removed = { phase: 'removed', observedBy: 'call', atMs: call.endedAtMs } as const;
  return queue.run(id, async () => {
    await Promise.all(
      objects
        .containersOf(id)
        .map((container) =>
          queue.run(container.id, () => lifecycle.container({ id: container.id, ...removed })),
        ),
    );
    lifecycle.sandbox({ id, ...removed });
  });
};
