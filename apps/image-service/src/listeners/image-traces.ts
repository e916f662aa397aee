import { describeSpan } from '@stowage/tracing';
import type { ImageListeners } from './listeners';

/** What the spans of attempts and ensures show of how they ended. */
export function imageTraces(): ImageListeners {
  return {
    pull: {
      attempted: (_credential, result) => describeSpan({ 'stowage.pull.result': result }),
    },
    ensure: {
      ended: ({ pullPolicy, presentLocally, result }) =>
        describeSpan({
          'stowage.image.pull_policy': pullPolicy,
          'stowage.image.present_locally': String(presentLocally),
          'stowage.ensure.result': result,
        }),
    },
  };
}
