import type { CollectionPolicy } from '../policy/policy';
import type { CollectionOutcome, ImageOutcome, RemovalPort } from './collect';
import type { CollectionPlan } from './plan-collection';

/** In shadow a removal is only noted. */
export const noRemovals: RemovalPort = {
  begin: () => undefined,
  remove: () => Promise.resolve(),
  removed: () => undefined,
  failed: () => undefined,
  settle: () => Promise.resolve(new Set()),
};

/** The policy of a collection in shadow: nothing comes free, so that nothing is measured. */
export const shadowPolicy = (policy: CollectionPolicy): CollectionPolicy => ({
  ...policy,
  differences: { ...policy.differences, freedBytes: 'image-size' },
});

/** The outcome of a plan that was carried out with {@link noRemovals}: what it would have been. */
export function shadowOutcome(outcome: CollectionOutcome, plan: CollectionPlan): CollectionOutcome {
  const { removed, expectedBytes, keptByReason } = outcome;
  const [first, ...others] = plan.disks;
  const images = outcome.images.map((image): ImageOutcome =>
    image.result === 'removed' ? { ...image, result: 'would-remove' } : image,
  );
  return {
    ...outcome,
    shadow: { wouldRemove: removed, expectedBytes },
    removed: [],
    expectedBytes: 0,
    measuredBytes: null,
    keptByReason: removed.length === 0 ? keptByReason : { ...keptByReason, shadow: removed.length },
    asKubelet: {
      freedBytes: 0,
      attempted: [],
      remaining: images.map(({ image }) => image.imageId),
    },
    images,
    before: others.reduce(
      (most, disk) => (most === undefined || disk.bytesToFree > most.bytesToFree ? disk : most),
      first,
    ),
  };
}
