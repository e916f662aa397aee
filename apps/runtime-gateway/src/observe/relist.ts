import type { RuntimeServiceClient } from '@stowage/cri-client';
import {
  containerFacts,
  containerPhase,
  millisecondsOf,
  sandboxFacts,
  sandboxPhase,
} from '../objects/cri-facts';
import type { ContainerSighting, SandboxSighting } from './lifecycle';
import type { KnownObjects } from '../objects/known-objects';
import { containerSteps, sandboxSteps } from '../objects/types';
import type { Pod } from '../objects/types';
import type { OutsideSightings } from './uncorrelated-changes';

/** The calls that a listing is made of. */
export type ListCalls = Pick<RuntimeServiceClient, 'listContainers' | 'listPodSandbox'>;

export interface RelistOptions {
  readonly runtime: ListCalls;
  readonly objects: KnownObjects;
  readonly now: () => number;
  readonly sightings: Pick<OutsideSightings, 'sandbox' | 'container'>;
  /** A difference that could not be cleared up; the next listing shows it again. */
  readonly onLeft: (id: string, error: unknown) => void;
}

/**
 * How long removed objects stay known, milliseconds: containerd 2 keeps events for 5 minutes while nobody reads them, and tells them
 * to the next reader.
 */
const removedKeptMs = 10 * 60_000;

/** What a listing came to. */
export interface RelistResult {
  readonly sandboxes: number;
  readonly containers: number;
  /** Differences from what was known. */
  readonly differences: number;
  /** Those that could not be cleared up. */
  readonly left: number;
}

/**
 * Compares the runtime's lists with what is known and tells the differences. Rejects when the runtime does not answer.
 * What became known while the lists were made is not judged by them.
 */
export async function relist(
  { runtime, objects, now, sightings, onLeft }: RelistOptions,
  { signal }: { signal: AbortSignal },
): Promise<RelistResult> {
  const { revision } = objects;
  // Containers first: the sandbox of each is then in the second list, or gone.
  const { containers } = await runtime.listContainers({}, { signal });
  const { items: sandboxes } = await runtime.listPodSandbox({}, { signal });
  const observedBy = 'listing';

  const sandboxesSeen: SandboxSighting[] = sandboxes.map((sandbox) => ({
    ...sandboxFacts(sandbox),
    phase: sandboxPhase(sandbox.state),
    createdAtMs: millisecondsOf(sandbox.createdAt),
    observedBy,
  }));
  const podOfSandbox = new Map<string, Pod | undefined>(
    sandboxesSeen.map(({ id, pod }) => [id, pod]),
  );
  const containersSeen: ContainerSighting[] = containers.flatMap((container) => {
    const phase = containerPhase(container.state);
    if (phase === undefined) return [];
    return {
      ...containerFacts(container),
      pod: podOfSandbox.get(container.podSandboxId),
      phase,
      createdAtMs: millisecondsOf(container.createdAt),
      observedBy,
    };
  });
  const listedContainers = new Set(containers.map(({ id }) => id));
  const listedSandboxes = new Set(sandboxes.map(({ id }) => id));
  const containersGone: ContainerSighting[] = objects
    .containers()
    .filter(({ id }) => !listedContainers.has(id) && objects.wasKnownAt('container', id, revision))
    .map(({ id }) => ({ id, phase: 'removed', observedBy }));
  const sandboxesGone: SandboxSighting[] = objects
    .sandboxes()
    .filter(({ id }) => !listedSandboxes.has(id) && objects.wasKnownAt('sandbox', id, revision))
    .map(({ id }) => ({ id, phase: 'removed', observedBy }));

  const isNews = {
    sandbox: (seen: SandboxSighting) =>
      sandboxSteps(seen.phase, objects.sandbox(seen.id)).length > 0,
    container: (seen: ContainerSighting) =>
      containerSteps(seen.phase, objects.container(seen.id)).length > 0,
  };
  let differences = 0;
  let left = 0;
  const tell = <T extends { readonly id: string }>(
    news: readonly T[],
    how: (seen: T) => Promise<void>,
  ) => {
    differences += news.length;
    return Promise.all(
      news.map((seen) =>
        how(seen).catch((error: unknown) => {
          left++;
          onLeft(seen.id, error);
        }),
      ),
    );
  };
  const sandboxNews = sandboxesSeen.filter(isNews.sandbox);
  const isNew = ({ id }: SandboxSighting) => objects.sandbox(id) === undefined;
  // A pod starts before its containers, and ends after them.
  const [born, changed] = [sandboxNews.filter(isNew), sandboxNews.filter((s) => !isNew(s))];
  await tell(born, (seen) => sightings.sandbox(seen));
  await tell([...containersSeen, ...containersGone].filter(isNews.container), (seen) =>
    sightings.container(seen),
  );
  await tell([...changed, ...sandboxesGone.filter(isNews.sandbox)], (seen) =>
    sightings.sandbox(seen),
  );
  const beforeMs = now() - removedKeptMs;
  objects.forgetRemoved('container', listedContainers, revision, beforeMs);
  objects.forgetRemoved('sandbox', listedSandboxes, revision, beforeMs);
  return { sandboxes: sandboxes.length, containers: containers.length, differences, left };
}
