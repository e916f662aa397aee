import { StartContainerRequest } from '@stowage/cri-proto';
import { containerPhase, runFacts, statusFacts } from '../objects/cri-facts';
import { knownOrListed } from './known-or-listed';
import type { OnCall } from './observer-context';

/**
 * StartContainer has only the id: the start time comes from the runtime, the rest is known from the
 * creation.
 */
export const onStartContainer: OnCall = (call, context) => {
  const { objects, lifecycle, lookUp, queue } = context;
  const id = objects.fullContainerId(StartContainerRequest.decode(call.request).containerId);
  return queue.run(id, async () => {
    const status = await lookUp.containerStatus(id).catch((error: unknown) => {
      context.scheduleRelist(error);
      return undefined;
    });
    const facts = await knownOrListed(id, status, context);
    const { createdAtMs, startedAtMs } = status === undefined ? {} : runFacts(status);
    lifecycle.container({
      ...(status === undefined ? undefined : statusFacts(status)),
      ...facts,
      phase: 'running',
      createdAtMs,
      startedAtMs,
      observedBy: 'call',
      atMs: call.endedAtMs,
    });
    // It may be over already: nobody has to wait for the next listing to learn that.
    if (status !== undefined && containerPhase(status.state) === 'exited') {
      context.scheduleRelist(undefined);
    }
  });
};
