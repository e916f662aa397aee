import type { RuntimeServiceClient } from '@stowage/cri-client';
import {
  containerFacts,
  containerPhase,
  millisecondsOf,
  sandboxFacts,
  sandboxPhase,
} from '../objects/cri-facts';
import type { KnownObjects } from '../objects/known-objects';
import { containerSteps, sandboxSteps } from '../objects/types';
import type { ContainerObservation, SandboxObservation } from './lifecycle';
import type { UncorrelatedChanges } from './uncorrelated-changes';

/** The calls that a listing is made of. */
export type ListCalls = Pick<RuntimeServiceClient, 'listContainers' | 'listPodSandbox'>;

export interface RelistOptions {
  readonly runtime: ListCalls;
  readonly objects: KnownObjects;
  readonly now: () => number;
  readonly changes: Pick<UncorrelatedChanges, 'sandbox' | 'container'>;
  /** A difference that could not be cleared up; the next listing shows it again. */
  readonly onLeft: (id: string, error: unknown) => void;
}

/**
 * How long removed objects stay known, milliseconds: containerd 2 keeps events for 5 minutes while
 * nobody reads them, and gives them to the next reader.
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
 * Compares the runtime's lists with what is known and reports the differences. Rejects when the
 * runtime does not answer. What became known while the lists were made is not judged by them.
 */
export async function relist(
  { runtime, objects, now, changes, onLeft }: RelistOptions,
  { signal }: { signal: AbortSignal },
): Promise<RelistResult> {
  const { revision } = objects;
  const listed = await list(runtime, signal);
  const gone = notListed(listed, objects, revision);

  let differences = 0;
  let left = 0;
  const report = <T extends { readonly id: string }>(
    news: readonly T[],
    change: (seen: T) => Promise<void>,
  ) => {
    differences += news.length;
    return Promise.all(
      news.map((seen) =>
        change(seen).catch((error: unknown) => {
          left++;
          onLeft(seen.id, error);
        }),
      ),
    );
  };
  const isSandboxNews = ({ id, phase }: SandboxObservation) =>
    sandboxSteps(phase, objects.sandbox(id)).length > 0;
  const isContainerNews = ({ id, phase }: ContainerObservation) =>
    containerSteps(phase, objects.container(id)).length > 0;
  const isUnknown = ({ id }: SandboxObservation) => objects.sandbox(id) === undefined;
  const sandboxNews = listed.sandboxes.filter(isSandboxNews);
  const born = sandboxNews.filter(isUnknown);
  const changed = sandboxNews.filter((seen) => !isUnknown(seen));

  const reportSandbox = (seen: SandboxObservation) =>
    changes.sandbox(seen, { wasKnown: objects.wasKnownAt('sandbox', seen.id, revision) });
  // A pod starts before its containers, and ends after them.
  await report(born, reportSandbox);
  await report([...listed.containers, ...gone.containers].filter(isContainerNews), (seen) =>
    changes.container(seen),
  );
  await report([...changed, ...gone.sandboxes.filter(isSandboxNews)], reportSandbox);

  const { sandboxIds, containerIds } = listed;
  const beforeMs = now() - removedKeptMs;
  objects.forgetRemoved('container', containerIds, revision, beforeMs);
  objects.forgetRemoved('sandbox', sandboxIds, revision, beforeMs);
  return { sandboxes: sandboxIds.size, containers: containerIds.size, differences, left };
}

const observedBy = 'listing';

/**
 * What the runtime lists. A container in a state that says nothing has an id and no observation.
 */
interface Listed {
  readonly sandboxIds: ReadonlySet<string>;
  readonly containerIds: ReadonlySet<string>;
  readonly sandboxes: readonly SandboxObservation[];
  readonly containers: readonly ContainerObservation[];
}

async function list(runtime: ListCalls, signal: AbortSignal): Promise<Listed> {
  // Containers first: the sandbox of each is then in the second list, or gone.
  const { containers } = await runtime.listContainers({}, { signal });
  const { items } = await runtime.listPodSandbox({}, { signal });
  const sandboxes = items.map((sandbox) => ({
    ...sandboxFacts(sandbox),
    phase: sandboxPhase(sandbox.state),
    createdAtMs: millisecondsOf(sandbox.createdAt),
    observedBy,
  })) satisfies SandboxObservation[];
  const podOf = new Map(sandboxes.map(({ id, pod }) => [id, pod]));
  return {
    sandboxIds: new Set(items.map(({ id }) => id)),
    containerIds: new Set(containers.map(({ id }) => id)),
    sandboxes,
    containers: containers.flatMap((container): ContainerObservation[] => {
      const phase = containerPhase(container.state);
      if (phase === undefined) return [];
      return [
        {
          ...containerFacts(container),
          pod: podOf.get(container.podSandboxId),
          phase,
          createdAtMs: millisecondsOf(container.createdAt),
          observedBy,
        },
      ];
    }),
  };
}

/** The removal of everything that was known before the listing began and is not in it. */
function notListed(
  { sandboxIds, containerIds }: Listed,
  objects: KnownObjects,
  revision: number,
): Pick<Listed, 'sandboxes' | 'containers'> {
  const removed = { phase: 'removed', observedBy } as const;
  return {
    sandboxes: objects
      .sandboxes()
      .filter(({ id }) => !sandboxIds.has(id) && objects.wasKnownAt('sandbox', id, revision))
      .map(({ id }) => ({ id, ...removed })),
    containers: objects
      .containers()
      .filter(({ id }) => !containerIds.has(id) && objects.wasKnownAt('container', id, revision))
      .map(({ id }) => ({ id, ...removed })),
  };
}
