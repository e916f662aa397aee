import type { ContainerStatus } from '@stowage/cri-proto';
import { containerPhase, runFacts } from '../objects/cri-facts';
import { wasAskedFor } from './exit-cause';
import { knownOrListed } from './known-or-listed';
import type { KnownContainer } from '../objects/types';
import type { EndedCall, Observing } from './observer-context';
import { setTimeout as pause } from 'node:timers/promises';

type StopCall = Pick<EndedCall, 'startedAtMs' | 'endedAtMs'>;

/**
 * After a call that stopped a container: tells its exit, once. The runtime is asked at once and not in the container's
 * lane, because the client may remove the container next. Without an answer from the runtime the exit is left to the next
 * listing, which then knows that it was asked for.
 */
export async function tellStopped(id: string, call: StopCall, to: Observing): Promise<void> {
  if (hasEnded(to.objects.container(id))) return;
  const asked = to.lookUp.stoppedStatus(id).then(
    (status) => ({ status }),
    (error: unknown) => ({ error }),
  );
  await to.lanes.run(id, async () => {
    const known = to.objects.container(id);
    if (hasEnded(known)) return;
    const answer = await asked;
    if ('error' in answer) {
      to.lifecycle.stopAsked(id, call.startedAtMs);
      to.leaveToListing(answer.error);
    } else if (answer.status === undefined) {
      await tellRemoved(id, call, to);
    } else {
      await tellStatus(id, known, answer.status, call, to);
    }
  });
}

const hasEnded = (known: KnownContainer | undefined): boolean =>
  known?.phase === 'exited' || known?.phase === 'removed';

/** Removed right after the stop: how it ended is known only if the event stream or a listing came in time to see it. */
async function tellRemoved(id: string, call: StopCall, to: Observing): Promise<void> {
  await untilExitShown(id, to);
  const known = to.objects.container(id);
  if (known?.phase !== 'running') return;
  to.lifecycle.container({
    ...known,
    phase: 'exited',
    ...causeOf(known.exit?.finishedAtMs, known, call),
  });
}

/** Longest wait for the event stream to show how a container ended that the runtime does not know any more, milliseconds. */
const exitShownMs = 100;
const lookMs = 10;

/** What the stream shows may be read a little after the runtime's answer to a later question. */
async function untilExitShown(id: string, { objects }: Observing): Promise<void> {
  for (let waitedMs = 0; waitedMs < exitShownMs; waitedMs += lookMs) {
    const known = objects.container(id);
    if (known?.phase !== 'running' || known.exit !== undefined) return;
    await pause(lookMs);
  }
}

async function tellStatus(
  id: string,
  known: KnownContainer | undefined,
  status: ContainerStatus,
  call: StopCall,
  to: Observing,
): Promise<void> {
  if (containerPhase(status.state) !== 'exited') return;
  const run = runFacts(status);
  const facts = await knownOrListed(id, status, to);
  to.lifecycle.container({
    ...facts,
    ...run,
    phase: 'exited',
    ...causeOf(run.finishedAtMs, known, call),
  });
}

/** Whether the call is why the container ended, or only showed it: then it was over before. */
function causeOf(
  finishedAtMs: number | undefined,
  known: KnownContainer | undefined,
  call: StopCall,
) {
  const askedAtMs = Math.min(call.startedAtMs, known?.stopAskedAtMs ?? Infinity);
  return wasAskedFor(finishedAtMs ?? call.endedAtMs, askedAtMs)
    ? ({ requested: true, observedBy: 'call', atMs: call.endedAtMs } as const)
    : ({ requested: false, observedBy: 'listing' } as const);
}
