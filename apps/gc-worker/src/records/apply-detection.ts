import type { ImageRecord, ImageUser } from '../types';

/** An image as the runtime lists it. */
export type ListedImage = Pick<
  ImageRecord,
  'imageId' | 'repoTags' | 'repoDigests' | 'sizeBytes' | 'pinned' | 'runtimeHandler'
>;

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
  for (const listed of images) {
    const before = known.get(listed.imageId);
    const usedBy = users.get(listed.imageId) ?? [];
    records.set(listed.imageId, {
      ...listed,
      firstDetected: before === undefined ? detectTime : notAhead(before.firstDetected, now),
      lastUsed: usedBy.length > 0 ? now : notAhead(before?.lastUsed ?? null, now),
      usedBy,
      ...namespacesOf(before, usedBy),
      ...(before?.pulled === undefined ? {} : { pulled: before.pulled }),
    });
  }
  return {
    records,
    detected: [...records.values()].filter(({ imageId }) => !known.has(imageId)),
    vanished: [...known.values()].filter(({ imageId }) => !records.has(imageId)),
  };
}

const notAhead = (time: number | null, now: number): number | null =>
  time == null ? null : Math.min(time, now);

/** Namespaces remembered of one image at most; the earliest stay. */
const maxNamespaces = 32;

/** The namespaces that are known already, and those of the users. */
function namespacesOf(
  before: ImageRecord | undefined,
  usedBy: readonly ImageUser[],
): Pick<ImageRecord, 'namespaces'> {
  const known = before?.namespaces ?? [];
  const more = usedBy
    .map(({ podNamespace }) => podNamespace)
    .filter((name) => name !== undefined && !known.includes(name)) as string[];
  if (more.length === 0) return known.length === 0 ? {} : { namespaces: known };
  return { namespaces: [...known, ...new Set(more)].slice(0, maxNamespaces) };
}
