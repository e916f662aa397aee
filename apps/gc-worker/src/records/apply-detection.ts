import type { ImageRecord, ImageUser } from './image-record';
import type { ListedImage } from '../runtime/runtime';

/** What one detection saw. */
export interface Detection {
  readonly images: readonly ListedImage[];
  /** Image id to its users; ids that are not listed do not count. */
  readonly users: ReadonlyMap<string, readonly ImageUser[]>;
  /** First-detected time for images not known before, ms since the epoch; null = longer than anybody remembers. */
  readonly detectTime: number | null;
  /** Time at which use was seen, ms since the epoch. */
  readonly now: number;
}

/** Records after a detection, and what changed. */
export interface DetectionResult {
  /** When it looked, ms since the epoch: whoever used an image then was its last user so far. */
  readonly detectedAt: number;
  readonly records: ReadonlyMap<string, ImageRecord>;
  /** Not known before. */
  readonly detected: readonly ImageRecord[];
  /** Known before and no longer listed. */
  readonly vanished: readonly ImageRecord[];
}

/**
 * Records after a detection, by kubelet's rules: the first-detected time stays while the image stays listed, last used is
 * the last detection that saw it in use, size and pinned are the runtime's. Of two entries with one id the later counts.
 * A time ahead of `now` (the clock was set back) becomes `now`, so that an image does not stay young for ever.
 */
export function applyDetection(
  known: ReadonlyMap<string, ImageRecord>,
  { images, users, detectTime, now }: Detection,
): DetectionResult {
  const records = new Map<string, ImageRecord>();
  const added = new Map<string, ImageRecord>();
  for (const listed of images) {
    const before = known.get(listed.imageId);
    const usedBy = users.get(listed.imageId) ?? nobody;
    if (before !== undefined) {
      records.set(listed.imageId, renewed(before, listed, usedBy, now));
      continue;
    }
    const { imageId, repoTags, repoDigests, sizeBytes, pinned, runtimeHandler } = listed;
    const record: ImageRecord = {
      imageId,
      repoTags,
      repoDigests,
      sizeBytes,
      pinned,
      runtimeHandler,
      firstDetected: detectTime,
      lastUsed: isSeenInUse(usedBy) ? now : null,
      usedBy,
      ...namespacesOf([], usedBy),
    };
    records.set(listed.imageId, record);
    added.set(listed.imageId, record);
  }
  const isAllThere = records.size === known.size + added.size;
  return {
    detectedAt: now,
    records,
    detected: [...added.values()],
    vanished: isAllThere ? [] : [...known.values()].filter(({ imageId }) => !records.has(imageId)),
  };
}

const nobody: readonly ImageUser[] = [];

/** A container that is missing keeps its image, but nobody saw it use it. */
export const isSeenInUse = (usedBy: readonly ImageUser[]): boolean =>
  usedBy.some(({ isMissing }) => isMissing !== true);

/** The record itself where nothing changed, else one that shares with it what did not: thousands of images change little. */
function renewed(
  before: ImageRecord,
  listed: ListedImage,
  usedBy: readonly ImageUser[],
  now: number,
): ImageRecord {
  const firstDetected = notAhead(before.firstDetected, now);
  const lastUsed = isSeenInUse(usedBy) ? now : notAhead(before.lastUsed, now);
  const sameUsers = sameImageUsers(before.usedBy, usedBy);
  const sameTags = sameTexts(before.repoTags, listed.repoTags);
  const sameDigests = sameTexts(before.repoDigests, listed.repoDigests);
  const sameFacts =
    before.sizeBytes === listed.sizeBytes &&
    before.pinned === listed.pinned &&
    before.runtimeHandler === listed.runtimeHandler &&
    before.firstDetected === firstDetected &&
    before.lastUsed === lastUsed;
  if (sameUsers && sameTags && sameDigests && sameFacts) return before;
  const { sizeBytes, pinned, runtimeHandler } = listed;
  const namespaces = sameUsers ? before.namespaces : undefined;
  return {
    imageId: before.imageId,
    repoTags: sameTags ? before.repoTags : listed.repoTags,
    repoDigests: sameDigests ? before.repoDigests : listed.repoDigests,
    sizeBytes,
    pinned,
    runtimeHandler,
    firstDetected,
    lastUsed,
    usedBy: sameUsers ? before.usedBy : usedBy,
    ...(namespaces === undefined ? namespacesOf(before.namespaces ?? [], usedBy) : { namespaces }),
    ...(before.pulled === undefined ? {} : { pulled: before.pulled }),
  };
}

/** Whether two lists of users say the same. */
export function sameImageUsers(a: readonly ImageUser[], b: readonly ImageUser[]): boolean {
  return (
    a === b ||
    (a.length === b.length &&
      a.every((user, index) => {
        const other = b[index];
        return (
          user.containerId === other?.containerId &&
          user.as === other.as &&
          user.containerName === other.containerName &&
          user.podName === other.podName &&
          user.podNamespace === other.podNamespace &&
          user.isMissing === other.isMissing
        );
      }))
  );
}

/** Whether two lists hold the same texts in the same order. */
export const sameTexts = (a: readonly string[], b: readonly string[]): boolean =>
  a === b || (a.length === b.length && a.every((text, index) => text === b[index]));

const notAhead = (time: number | null, now: number): number | null =>
  time == null ? null : Math.min(time, now);

/** Namespaces remembered of one image at most; the earliest stay. */
const maxNamespaces = 32;

/** The namespaces that are known already, and those of the users. */
function namespacesOf(
  known: readonly string[],
  usedBy: readonly ImageUser[],
): Pick<ImageRecord, 'namespaces'> {
  if (usedBy.length === 0) return known.length === 0 ? {} : { namespaces: known };
  const more = usedBy
    .map(({ podNamespace }) => podNamespace)
    .filter((name) => name !== undefined && !known.includes(name)) as string[];
  if (more.length === 0) return known.length === 0 ? {} : { namespaces: known };
  return { namespaces: [...known, ...new Set(more)].slice(0, maxNamespaces) };
}
