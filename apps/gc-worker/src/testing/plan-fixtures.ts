import { stowageDifferences, type KubeletDifferences } from '../policy/differences';
import type { PlanInput } from '../collect/plan-collection';
import { collectionPolicy, type CollectionPolicy } from '../policy/policy';
import type { FileSystemReading } from '../disk/assess-disk';
import type { PlanImage } from '../policy/keep-rules';

/** Now of all fixtures. */
export const now = Date.parse('2026-11-20T12:00:00Z');

export const minutes = (count: number): number => count * 60_000;

/** An unused image of 100 bytes, detected an hour ago, that was never seen in use. */
export function image(imageId: string, values: Partial<PlanImage> = {}): PlanImage {
  return {
    imageId,
    repoTags: [`registry.example/${imageId}:1`],
    repoDigests: [],
    sizeBytes: 100,
    pinned: false,
    runtimeHandler: '',
    firstDetected: now - minutes(60),
    lastUsed: null,
    usedBy: [],
    ...values,
  };
}

/** kubelet's default policy with some values changed. */
export function policy(
  values: Partial<Omit<CollectionPolicy, 'differences'>> & {
    differences?: Partial<KubeletDifferences>;
  } = {},
): CollectionPolicy {
  const differences = { ...stowageDifferences, ...values.differences };
  return collectionPolicy({ ...values, differences });
}

/** A file system of 1000 bytes with so many percent used. */
export function disk(usedPercent: number, mountpoint = '/images'): FileSystemReading {
  return {
    mountpoint,
    capacityBytes: 1000,
    availableBytes: 1000 - usedPercent * 10,
    inodes: null,
    inodesFree: null,
  };
}

export const input = (values: Partial<PlanInput>): PlanInput => ({
  images: [],
  disks: [disk(50)],
  policy: policy(),
  now,
  collectingSince: now,
  ...values,
});
