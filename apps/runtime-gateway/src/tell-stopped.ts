import { containerPhase, runFacts } from './cri-facts';
import { wasAskedFor } from './exit-cause';
import { knownOrListed } from './known-or-listed';
import type { EndedCall, Observing } from './observing';

/**
 * After a call that stopped a container: tells its exit, once. Works in the container's lane. Without an answer from the
 * runtime the exit is left to the next listing, which then knows that it was asked for.
 */
export async function tellStopped(
  id: string,
  call: Pick<EndedCall, 'startedAtMs' | 'endedAtMs'>,
  to: Observing,
): Promise<void> {
  const { objects, lifecycle, lookUp } = to;
  const known = objects.container(id);
  if (known?.phase === 'exited' || known?.phase === 'removed') return;
  let status;
  try {
    status = await lookUp.containerStatus(id);
  } catch (error) {
    lifecycle.stopAsked(id, call.startedAtMs);
    to.leaveToListing(error);
    return;
  }
  if (status === undefined) {
    // Removed right after the stop: nobody can tell the exit code any more.
    if (known?.phase !== 'running') return;
    lifecycle.container({
      ...known,
      phase: 'exited',
      requested: true,
      observedBy: 'call',
      atMs: call.endedAtMs,
    });
    return;
  }
  if (containerPhase(status.state) !== 'exited') return;
  const run = runFacts(status);
  const facts = await knownOrListed(id, status, to);
  const { finishedAtMs = call.endedAtMs } = run;
  const asked = wasAskedFor(
    finishedAtMs,
    Math.min(call.startedAtMs, known?.stopAskedAtMs ?? Infinity),
  );
  lifecycle.container({
    ...facts,
    ...run,
    phase: 'exited',
    requested: asked,
    // It was over before this call: the call only showed it.
    ...(asked ? { observedBy: 'call', atMs: call.endedAtMs } : { observedBy: 'listing' }),
  });
}
