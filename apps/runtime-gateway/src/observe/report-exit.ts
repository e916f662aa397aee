import { pause } from '@stowage/async';
import type { ContainerStatus } from '@stowage/cri-proto';
import { containerPhase, runFacts } from '../objects/cri-facts';
import { wasAskedFor } from './exit-cause';
import { knownOrListed } from './known-or-listed';
import type { KnownContainer } from '../objects/types';
import type { EndedCall, ObserverContext } from './observer-context';

type StopCall = Pick<EndedCall, 'startedAtMs' | 'endedAtMs'>;

/**
 * After a call that stopped a container: reports its exit, once. The runtime is asked at once and
 * not in the container's queue, because the client may remove the container next. Without an answer
 * from the runtime the exit is left to the next listing, which then knows that it was asked for.
 */
export async function reportExit(
  id: string,
  call: StopCall,
  context: ObserverContext,
): Promise<void> {
  if (hasEnded(context.objects.container(id))) return;
  const asked = context.lookUp.stoppedStatus(id).then(
    (status) => ({ status }),
    (error: unknown) => ({ error }),
  );
  await context.queue.run(id, async () => {
    const known = context.objects.container(id);
    if (hasEnded(known)) return;
    const answer = await asked;
    if ('error' in answer) {
      context.lifecycle.stopAsked(id, call.startedAtMs);
      context.scheduleRelist(answer.error);
    } else if (answer.status === undefined) {
      await reportRemoved(id, call, context);
    } else {
      await reportStatus(id, known, answer.status, call, context);
    }
  });
}

const hasEnded = (known: KnownContainer | undefined): boolean =>
  known?.phase === 'exited' || known?.phase === 'removed';

/**
 * Removed right after the stop: how it ended is known only if the event stream or a listing came in
 * time to see it.
 */
async function reportRemoved(id: string, call: StopCall, context: ObserverContext): Promise<void> {
  await untilExitObserved(id, context);
  const known = context.objects.container(id);
  if (known?.phase !== 'running') return;
  context.lifecycle.container({
    ...known,
    phase: 'exited',
    ...causeOf(known.exit?.finishedAtMs, known, call),
  });
}

/**
 * Longest wait for the event stream to show how a container ended that the runtime does not know
 * any more, milliseconds.
 */
const exitObservedMs = 100;
const lookMs = 10;

/** What the stream shows may be read a little after the runtime's answer to a later question. */
async function untilExitObserved(id: string, { objects }: ObserverContext): Promise<void> {
  for (let waitedMs = 0; waitedMs < exitObservedMs; waitedMs += lookMs) {
    const known = objects.container(id);
    if (known?.phase !== 'running' || known.exit !== undefined) return;
    await pause(lookMs);
  }
}

async function reportStatus(
  id: string,
  known: KnownContainer | undefined,
  status: ContainerStatus,
  call: StopCall,
  context: ObserverContext,
): Promise<void> {
  if (containerPhase(status.state) !== 'exited') return;
  const run = runFacts(status);
  const facts = await knownOrListed(id, status, context);
  context.lifecycle.container({
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
