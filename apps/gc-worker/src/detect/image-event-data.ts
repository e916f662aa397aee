import type { EventData } from '@stowage/events';
import type { RemoveRule } from '../policy/keep-rules';
import type { ImageRecord } from '../records/image-record';

/** A removal by a collection that turned out to be regretted, because the image came back. */
export interface Regret {
  readonly removedAt: number;
  readonly planId: string;
}

/** ImageDetected of a record that a detection made; an unknown detection time is said as `now`. */
export function imageDetected(
  record: ImageRecord,
  now: number,
  { regret, recordsRebuilt = false }: { regret?: Regret; recordsRebuilt?: boolean } = {},
): EventData<'ImageDetected'> {
  const { imageId, repoTags, repoDigests, sizeBytes, pinned } = record;
  return {
    imageId,
    repoTags: [...repoTags],
    repoDigests: [...repoDigests],
    sizeBytes,
    pinned,
    inUse: record.usedBy.length > 0,
    firstDetected: time(record.firstDetected ?? now),
    ...handler(record.runtimeHandler),
    ...(regret === undefined
      ? {}
      : {
          regret: {
            removedAt: time(regret.removedAt),
            afterMs: Math.max(0, Math.round(now - regret.removedAt)),
            planId: regret.planId,
          },
        }),
    ...(recordsRebuilt ? { recordsRebuilt } : {}),
  };
}

/** How an image went: removed by a collection, or gone without us. */
export interface RemovalFacts {
  readonly reason: RemoveRule | 'vanished';
  readonly planId?: string;
  readonly measuredBytes?: number | null;
  readonly expectedIsEstimate?: boolean;
}

type Removed = Pick<
  ImageRecord,
  'imageId' | 'repoTags' | 'repoDigests' | 'runtimeHandler' | 'firstDetected' | 'lastUsed'
> & { readonly expectedBytes: number };

/** ImageRemoved. */
export function imageRemoved(
  image: Removed,
  { reason, planId, measuredBytes, expectedIsEstimate }: RemovalFacts,
  now: number,
): EventData<'ImageRemoved'> {
  const { imageId, repoTags, repoDigests, firstDetected, lastUsed, expectedBytes } = image;
  return {
    imageId,
    repoTags: [...repoTags],
    repoDigests: [...repoDigests],
    removedBy: reason === 'vanished' ? 'unknown' : 'gc-worker',
    reason,
    ...(planId === undefined ? {} : { planId }),
    expectedBytes,
    ...(expectedIsEstimate === undefined ? {} : { expectedIsEstimate }),
    ...(measuredBytes == null ? {} : { measuredBytes }),
    ...(firstDetected == null ? {} : { firstDetected: time(firstDetected) }),
    ...idle(lastUsed, now),
    ...handler(image.runtimeHandler),
  };
}

function idle(lastUsed: number | null, now: number) {
  return lastUsed == null
    ? {}
    : { lastUsed: time(lastUsed), idleMs: Math.max(0, Math.round(now - lastUsed)) };
}

const handler = (runtimeHandler: string) => (runtimeHandler === '' ? {} : { runtimeHandler });
const time = (ms: number): string => new Date(ms).toISOString();
