import { errorMessage } from '@stowage/errors';
import type { Logger } from '@stowage/service-kit';
import type { ImageListeners } from './listeners';

/** One line for each pull, removal and refused ensure. */
export function imageLog(log: Logger): ImageListeners {
  return {
    pull: {
      started: ({ id, requestedReference, pod }) =>
        log.debug({ pullId: id, image: requestedReference, pod }, 'pull started'),
      succeeded: (
        { id, requestedReference },
        { image, credential, attempts, failedAttempts = [], durationMs },
      ) =>
        log.info(
          {
            pullId: id,
            image: requestedReference,
            imageId: image?.id,
            sizeBytes: image === undefined ? undefined : Number(image.size),
            credential,
            attempts,
            failedAttempts: failedAttempts.length === 0 ? undefined : failedAttempts,
            durationMs: Math.round(durationMs),
          },
          'image pulled',
        ),
      failed: ({ id, requestedReference }, { error, errorClass, attempts, durationMs }) =>
        log.warn(
          {
            pullId: id,
            image: requestedReference.slice(0, 512),
            errorClass,
            reason: errorMessage(error),
            attempts,
            durationMs: Math.round(durationMs),
          },
          'image pull failed',
        ),
    },
    ensure: {
      noted: ({ type, reason, message }) =>
        log[type === 'Normal' ? 'debug' : 'info']({ event: reason }, message.slice(0, 2048)),
    },
    remove: {
      removed: ({ requestedReference, image }) =>
        log.info({ image: requestedReference, imageId: image.id }, 'image removed on request'),
      remained: ({ requestedReference, image, untagged }) =>
        log.info(
          { image: requestedReference, imageId: image.id, untagged },
          'removal on request: the runtime still has the image',
        ),
      unconfirmed: ({ requestedReference, image }, error) =>
        log.warn(
          { image: requestedReference, imageId: image.id, reason: errorMessage(error) },
          'removal on request: the runtime does not say whether the image is gone',
        ),
      failed: (requestedReference, error) =>
        log.warn(
          { image: requestedReference, reason: errorMessage(error) },
          'image could not be removed',
        ),
    },
  };
}
