import type { ContainerUse, ListedPod } from '../runtime/runtime';
import type { ImageRecord, ImageUser } from '../records/image-record';

interface Known {
  container: ContainerUse;
  /** Since when the runtime does not list it, milliseconds of a clock that never jumps; undefined while it does. */
  missingSince: number | undefined;
  /** Number of the last look that found it listed. */
  seenAt: number;
}

/** What one look at the runtime's containers comes to. */
export interface ContainerLook {
  /** Those that are listed, and those that are missing and still count. */
  readonly containers: readonly ContainerUse[];
  /** Ids of those that are missing. */
  readonly missing: ReadonlySet<string>;
}

/**
 * Remembers containers from look to look, because a runtime that has just been restarted may list none, or only some, for a moment. A
 * container that is not listed any more still counts for `waitMs`, unless its removal was seen; twice as long where the list of pods
 * contradicts: its pod is ready and no container of it is listed. A look that fails begins the wait anew, so that a runtime that comes and
 * goes is not believed either. An entry of a list never takes away what an earlier one said of the same container's image.
 */
export class KnownContainers {
  private readonly known = new Map<string, Known>();
  private readonly removed = new Set<string>();
  private looks = 0;

  /** Users in the records of an earlier process count as containers that were listed a moment ago. */
  constructor(
    private readonly waitMs: number,
    records: Iterable<ImageRecord> = [],
  ) {
    for (const { imageId, usedBy } of records) {
      for (const user of usedBy) {
        const before = this.known.get(user.containerId)?.container;
        this.known.set(user.containerId, {
          container: rememberedUse(user, imageId, before),
          missingSince: undefined,
          seenAt: 0,
        });
      }
    }
  }

  /** Takes in what the runtime lists at `at`; `pods` are asked for only where a container is missing. */
  async look(
    listed: readonly ContainerUse[],
    { at, pods }: { at: number; pods: () => Promise<readonly ListedPod[]> },
  ): Promise<ContainerLook> {
    const seenAt = (this.looks += 1);
    const containers = new Map<string, ContainerUse>();
    for (const container of listed) {
      const id = container.containerId;
      const entry = this.known.get(id);
      if (entry === undefined) {
        const compact = compacted(container);
        containers.set(id, compact);
        this.known.set(id, { container: compact, missingSince: undefined, seenAt });
        continue;
      }
      entry.container = merged(entry.container, container);
      entry.missingSince = undefined;
      entry.seenAt = seenAt;
      containers.set(id, entry.container);
    }
    if (this.known.size === containers.size) {
      return { containers: [...containers.values()], missing: nobody };
    }
    const missing = [...this.known].filter(([id]) => !containers.has(id));
    const halfThere = podsWithoutContainers(await pods(), containers.values());
    const kept: ContainerUse[] = [];
    for (const [id, entry] of missing) {
      // Another look, begun later, has found it.
      if (entry.seenAt > seenAt) continue;
      entry.missingSince ??= at;
      const limitMs = halfThere.has(podOf(entry.container)) ? 2 * this.waitMs : this.waitMs;
      if (this.removed.delete(id) || at - entry.missingSince >= limitMs) this.known.delete(id);
      else kept.push(entry.container);
    }
    return {
      containers: [...containers.values(), ...kept],
      missing: new Set(kept.map(({ containerId }) => containerId)),
    };
  }

  /** The runtime did not answer: what is missing has to stay away for the whole wait again. */
  lookFailed(at: number): void {
    for (const entry of this.known.values()) {
      if (entry.missingSince !== undefined) entry.missingSince = at;
    }
  }

  /** Somebody saw that this container was removed; once the runtime does not list it, it is gone. */
  removalSeen(containerId: string): void {
    if (this.known.has(containerId)) this.removed.add(containerId);
  }

  /** How many containers are missing, and since when the first of them. */
  missing(): { readonly count: number; readonly since: number } | undefined {
    const times = [...this.known.values()]
      .map(({ missingSince }) => missingSince)
      .filter((time) => time !== undefined);
    return times.length === 0 ? undefined : { count: times.length, since: Math.min(...times) };
  }
}

const nobody: ReadonlySet<string> = new Set();

/** A container as the records of an image's users tell it, with what they say of its other images. */
function rememberedUse(
  { as, containerId, containerName, podNamespace, podName }: ImageUser,
  imageId: string,
  before: ContainerUse | undefined,
): ContainerUse {
  const { imageId: known = '', imageNames = [], imageVolumes = [] } = before ?? {};
  const isVolume = as === 'image-volume';
  return {
    ...{ containerId, containerName, podNamespace, podName },
    imageId: known === '' && !isVolume ? imageId : known,
    imageRef: '',
    imageNames: isVolume ? imageNames : [...imageNames, imageId],
    imageVolumes: isVolume ? [...imageVolumes, imageId] : imageVolumes,
  };
}

/** What the runtime says now, and what it said before and now leaves out. A container's images never change. */
function merged(before: ContainerUse, now: ContainerUse): ContainerUse {
  if (isKnown(before, now)) return before;
  const ids = [before.imageId, now.imageId].filter((id) => id !== '');
  return {
    ...now,
    imageId: now.imageId === '' ? before.imageId : now.imageId,
    imageRef: now.imageRef === '' ? before.imageRef : now.imageRef,
    imageNames: [...new Set([...now.imageNames, ...before.imageNames, ...ids])],
    imageVolumes: [...new Set([...now.imageVolumes, ...before.imageVolumes])],
  };
}

/** Whether the list says nothing that is not known: then the texts of each list need not be kept. */
const isKnown = (before: ContainerUse, now: ContainerUse): boolean =>
  before.podName === now.podName &&
  before.podNamespace === now.podNamespace &&
  before.containerName === now.containerName &&
  now.imageVolumes.every((reference) => before.imageVolumes.includes(reference)) &&
  [now.imageId, now.imageRef, ...now.imageNames].every(
    (reference) =>
      reference === '' ||
      reference === before.imageId ||
      reference === before.imageRef ||
      before.imageNames.includes(reference),
  );

const noNames: readonly string[] = [];

/** Runtimes say one reference in several fields; nodes have thousands of containers. */
function compacted(container: ContainerUse): ContainerUse {
  const { imageId, imageRef, imageNames } = container;
  const names = imageNames.filter((name) => name !== imageId && name !== imageRef);
  return {
    ...container,
    imageRef: imageRef === imageId ? imageId : imageRef,
    imageNames: names.length === 0 ? noNames : names,
  };
}

const podOf = ({ podNamespace, podName }: Pick<ListedPod, 'podNamespace' | 'podName'>): string =>
  podName === undefined ? '' : `${podNamespace ?? ''}/${podName}`;

/** Ready pods of which no container is listed: the list of containers is behind. */
function podsWithoutContainers(
  pods: readonly ListedPod[],
  containers: Iterable<ContainerUse>,
): ReadonlySet<string> {
  const found = new Set(pods.filter(({ isReady }) => isReady).map(podOf));
  for (const container of containers) found.delete(podOf(container));
  found.delete('');
  return found;
}
