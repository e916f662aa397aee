import type { CommandAnswer, imageService } from '@stowage/commands';
import type { PullProgressWatch, SeenProgress } from '../pull/progress/pull-progress';
import type { PullInProgress, PullWaiter } from '../pull/pull';
import type { PullImage } from '../pull/pull-image';

type Pulls = CommandAnswer<typeof imageService.pulls>;

/** Answers the command `pulls`: what is going on, and how far it is as of now. */
export async function pullsInProgress(
  pulls: Pick<PullImage, 'inProgress'>,
  watch: Pick<PullProgressWatch, 'progress'>,
): Promise<Pulls> {
  const progress = await watch.progress(pulls.inProgress().map(({ pull }) => pull.id));
  // Without those that ended meanwhile.
  return { pulls: pulls.inProgress().map((one) => pullReply(one, progress.get(one.pull.id))) };
}

function pullReply(
  { pull, since, startedAt, attempts, waiters }: PullInProgress,
  seen: SeenProgress | undefined,
): Pulls['pulls'][number] {
  const { id: pullId, requestedReference, reference = requestedReference, runtimeHandler } = pull;
  return {
    ...{ pullId, requestedReference, reference, runtimeHandler, attempts },
    state: startedAt === undefined ? 'waiting' : 'pulling',
    since: since.toISOString(),
    startedAt: startedAt?.toISOString(),
    waiters: waiters.map(waiterReply),
    progress: seen && progressReply(seen),
  };
}

const waiterReply = ({ since, by, pod, caller }: PullWaiter) => ({
  since: since.toISOString(),
  by,
  pod: pod && { namespace: pod.namespace, name: pod.name, uid: pod.uid },
  caller,
});

function progressReply({ progress, layers }: SeenProgress) {
  const { bytes, totalBytes, percent, bytesPerSecond, remainingMs, approximate } = progress;
  return {
    ...{ bytes, totalBytes, percent, bytesPerSecond, remainingMs, approximate },
    layers: layers?.map((layer) => ({ ...layer })),
  };
}
