import { errorMessage } from '@stowage/errors';
import { traced } from '@stowage/tracing';
import { assessDisks, hasCapacity, type FileSystemReading } from '../disk/assess-disk';
import type { DiskWatch } from '../disk/disk-watch';
import type { PlanImage } from '../policy/keep-rules';
import type { CollectionPolicy } from '../policy/policy';
import type { CollectionMetrics } from './collection-metrics';
import { planCollection, type CollectionPlan, type PlanRequest } from './plan-collection';
import type { RemovalPauses } from './removal-pauses';

export interface CollectionPlannerParts {
  readonly policy: { readonly current: CollectionPolicy };
  readonly detections: { detect(options: { signal: AbortSignal }): Promise<readonly PlanImage[]> };
  readonly disks: Pick<DiskWatch, 'read'>;
  readonly pauses: Pick<RemovalPauses, 'at' | 'keepOnly'>;
  /** When the records began, milliseconds since the epoch; undefined when that is not known. */
  readonly records: { readonly recordsBegan: number | undefined };
  readonly metrics: Pick<CollectionMetrics, 'planned'>;
  readonly log: { warn(fields: object, message: string): void };
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** A plan for the images and file systems as they are now. */
export interface CurrentPlan {
  readonly plan: CollectionPlan;
  /** The policy it was made by; a reload in between does not change a collection that runs. */
  readonly policy: CollectionPolicy;
  /** False when a file system could not be read or reports no capacity. */
  readonly disksMeasured: boolean;
}

/** Plans collections: a detection, a reading of the file systems, and the policy. */
export class CollectionPlanner {
  readonly #collectingSince: number;

  constructor(private readonly parts: CollectionPlannerParts) {
    this.#collectingSince = parts.now();
  }

  /** Throws what the runtime answered to the detection. */
  readonly plan = traced(
    'gc.plan',
    {
      returned: ({ set }, { plan }: CurrentPlan) => {
        set({
          'stowage.gc.plan_id': plan.planId,
          'stowage.gc.trigger': plan.trigger,
          'stowage.gc.planned_removals': plan.removeCount,
          'stowage.gc.expected_bytes': plan.expectedBytes,
        });
      },
    },
    async (request: PlanRequest, signal: AbortSignal): Promise<CurrentPlan> => {
      const { detections, pauses, records, metrics, now } = this.parts;
      const { bytes } = request;
      const images = await detections.detect({ signal });
      const readings = await this.#readDisks(signal);
      const policy = this.parts.policy.current;
      pauses.keepOnly(new Set(images.map(({ imageId }) => imageId)));
      const plan = planCollection({
        paused: pauses.at(performance.now()),
        images,
        disks: assessDisks(readings ?? [], policy),
        policy,
        now: now(),
        collectingSince: this.#collectingSince,
        request: bytes === undefined ? undefined : { bytes },
        recordsBegan: records.recordsBegan,
        assumedAgeMs: request.assumedAgeMs ?? assumedInShadow(policy),
      });
      // What somebody supposes is none of what the node has.
      if (request.assumedAgeMs === undefined) metrics.planned(plan);
      const disksMeasured = readings?.every(hasCapacity) === true;
      return { plan, policy, disksMeasured };
    },
  );

  /** Undefined where they cannot be read: ages and requests need no disk. */
  async #readDisks(signal: AbortSignal): Promise<readonly FileSystemReading[] | undefined> {
    const { disks, log } = this.parts;
    try {
      return await disks.read({ signal });
    } catch (error) {
      // A collection by threshold reads again, and reports.
      log.warn({ reason: errorMessage(error) }, 'image file systems unknown');
      return undefined;
    }
  }
}

const assumedInShadow = ({ collect, assumedAgeMs }: CollectionPolicy): number | undefined =>
  collect === 'shadow' && assumedAgeMs > 0 ? assumedAgeMs : undefined;
