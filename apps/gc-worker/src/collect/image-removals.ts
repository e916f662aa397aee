import { withTimeout } from '@stowage/async';
import type { GrpcStatusName } from '@stowage/errors';
import { traced } from '@stowage/tracing';
import type { PlannedImage, RemoveRule } from '../policy/keep-rules';
import type { ImageRecordStore } from '../records/record-store';
import type { Runtime } from '../runtime/runtime';
import type { FailedRemoval, RemovalPort, RemovedImage } from './collect';
import type { CollectionMetrics } from './collection-metrics';
import type { RemovalPauses } from './removal-pauses';
import type { RemovalReports } from './removal-reports';

export interface ImageRemovalsParts {
  readonly runtime: Pick<Runtime, 'removeImage'>;
  readonly store: Pick<ImageRecordStore, 'removalBegins' | 'removalFailed'>;
  readonly reports: Pick<RemovalReports, 'add' | 'settle' | 'takeStayed'>;
  readonly pauses: Pick<RemovalPauses, 'failed'>;
  readonly metrics: Pick<CollectionMetrics, 'removalFailed'>;
  readonly log: { warn(fields: object, message: string): void };
  readonly now: () => number;
  /** A removal that takes longer counts as failed. Milliseconds. */
  readonly removalTimeoutMs: number;
}

/** Outcomes of a call that leave open whether the runtime does what it was asked for. */
const endsUnknown: readonly GrpcStatusName[] = ['DEADLINE_EXCEEDED', 'UNAVAILABLE', 'CANCELLED'];

/** Time that a removal in flight has after the service was asked to stop. Milliseconds. */
const stopGraceMs = 5000;

/** The removals of one collection: at the runtime, in the records and in the reports. */
export class ImageRemovals implements RemovalPort {
  constructor(
    private readonly planId: string,
    private readonly parts: ImageRemovalsParts,
  ) {}

  begin({ imageId }: PlannedImage, reason: RemoveRule): void {
    this.parts.store.removalBegins(imageId, { reason, planId: this.planId });
  }

  readonly remove = traced(
    'gc.image_removal',
    {
      attributes: ({ imageId, expectedBytes }) => ({
        'stowage.image.id': imageId,
        'stowage.gc.expected_bytes': expectedBytes,
      }),
    },
    ({ imageId }: PlannedImage, { signal }: { signal: AbortSignal }): Promise<void> => {
      const { runtime, removalTimeoutMs: timeoutMs } = this.parts;
      return withTimeout((limit) => runtime.removeImage(imageId, { signal: limit }), {
        what: 'removal of the image',
        timeoutMs,
        signal,
        graceMs: stopGraceMs,
      });
    },
  );

  removed(image: RemovedImage): void {
    const { reports, now } = this.parts;
    reports.add(image, this.planId, now());
  }

  failed({ image, grpcStatus, message }: FailedRemoval): void {
    const { store, pauses, metrics, log } = this.parts;
    const { imageId, repoTags } = image;
    // Without an answer the runtime may still remove it: then detections report this collection's
    // removal.
    if (!endsUnknown.includes(grpcStatus)) store.removalFailed(imageId);
    if (grpcStatus !== 'UNAVAILABLE' && grpcStatus !== 'CANCELLED') {
      pauses.failed(imageId, message, performance.now());
    }
    metrics.removalFailed();
    const { planId } = this;
    log.warn({ imageId, repoTags, grpcStatus, reason: message, planId }, 'image not removed');
  }

  async settle(): Promise<ReadonlySet<string>> {
    const { reports } = this.parts;
    await reports.settle();
    return reports.takeStayed();
  }
}
