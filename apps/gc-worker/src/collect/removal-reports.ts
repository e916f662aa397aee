import { errorMessage } from '@stowage/errors';
import { imageRemoved } from '../detect/image-event-data';
import type { CollectionPolicy } from '../policy/policy';
import type { PublishAll } from '../publish';
import type { ImageRecordStore } from '../records/record-store';
import type { Runtime } from '../runtime/runtime';
import type { RemovedImage } from './collect';
import type { CollectionMetrics } from './collection-metrics';
import { PendingRemovals } from './pending-removals';

export interface RemovalReportsParts {
  readonly policy: { readonly current: Pick<CollectionPolicy, 'regretWindowMs'> };
  readonly runtime: Pick<Runtime, 'listImages'>;
  readonly store: Pick<ImageRecordStore, 'publishingRemoved' | 'noteRemoved' | 'forget'>;
  readonly publishAll: PublishAll;
  /** Sequence of the next event. */
  readonly nextSequence: () => number;
  readonly metrics: Pick<CollectionMetrics, 'imageCollected'>;
  readonly log: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
  };
}

interface Removal {
  readonly image: RemovedImage;
  readonly planId: string;
  /** Milliseconds since the epoch. */
  readonly removedAt: number;
}

/** Longest wait for the list of images that shows whether removals took effect. Milliseconds. */
const listTimeoutMs = 10_000;

/**
 * Reports removals of collections, each once the runtime does not list the image any more: event,
 * records, metrics and log.
 */
export class RemovalReports {
  readonly #pending: PendingRemovals<Removal>;
  /** Images found to have stayed, until {@link RemovalReports.takeStayed}. */
  #stayed = new Set<string>();

  constructor(private readonly parts: RemovalReportsParts) {
    const { runtime, log } = parts;
    this.#pending = new PendingRemovals<Removal>({
      listedIds: async () => {
        const images = await runtime.listImages({ signal: AbortSignal.timeout(listTimeoutMs) });
        return new Set(images.map(({ imageId }) => imageId));
      },
      gone: (removals) => {
        this.#report(removals);
      },
      failed: (error) => {
        log.debug({ reason: errorMessage(error) }, 'removals not verified: images not listed');
      },
      elapsedMs: () => performance.now(),
    });
  }

  /** The runtime answered that the image was removed, `removedAt` milliseconds since the epoch. */
  add(image: RemovedImage, planId: string, removedAt: number): void {
    this.#pending.add(image.imageId, { image, planId, removedAt });
  }

  /** Reports what is not reported yet, as far as the runtime's list shows it. Never rejects. */
  async settle(): Promise<void> {
    for (const imageId of await this.#pending.settle()) this.#stayed.add(imageId);
  }

  /** Ids of the images that {@link RemovalReports.settle} found to have stayed, each once. */
  takeStayed(): ReadonlySet<string> {
    const stayed = this.#stayed;
    this.#stayed = new Set();
    return stayed;
  }

  /** Reports a pending removal of this image, before anything is recorded of its coming back. */
  cameBack(imageId: string): void {
    this.#pending.cameBack(imageId);
  }

  #report(removals: readonly Removal[]): void {
    const { store, publishAll, nextSequence, policy, metrics, log } = this.parts;
    const imageIds = removals.map(({ image }) => image.imageId);
    store.publishingRemoved(imageIds, nextSequence());
    publishAll(
      'ImageRemoved',
      removals.map(({ image, planId, removedAt }) => {
        const { reason, measuredBytes, expectedIsEstimate } = image;
        const facts = { reason, planId, measuredBytes, expectedIsEstimate };
        const data = imageRemoved(image, facts, removedAt);
        return { subject: image.imageId, data, time: new Date(removedAt) };
      }),
    );
    if (policy.current.regretWindowMs > 0) {
      const notes = removals.map(
        ({ image: { imageId, repoDigests: names }, planId, removedAt }) =>
          [imageId, { names, planId, removedAt }] as const,
      );
      store.noteRemoved(new Map(notes));
    } else {
      store.forget(imageIds);
    }
    for (const { image, planId } of removals) {
      const { imageId, repoTags, reason, why, expectedBytes, measuredBytes } = image;
      metrics.imageCollected(reason);
      log.info(
        { imageId, repoTags, reason, why, expectedBytes, measuredBytes, planId },
        'image removed',
      );
    }
  }
}
