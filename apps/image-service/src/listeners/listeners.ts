import type { EnsureListener } from '../ensure/ensure-image';
import type { PullListener } from '../pull/pull-image';
import type { RemoveListener } from '../remove/remove-image';

/** What hears of the work: events, metrics and log each implement the part they need. */
export interface ImageListeners {
  readonly pull?: PullListener;
  readonly remove?: RemoveListener;
  readonly ensure?: EnsureListener;
}

/** Tells each listener; one that throws is told to `onFault` and disturbs neither the others nor the work. */
export function tellAll(
  listeners: readonly ImageListeners[],
  onFault: (error: unknown) => void,
): Required<ImageListeners> {
  const each = (tell: (listener: ImageListeners) => void) => {
    for (const listener of listeners) {
      try {
        tell(listener);
      } catch (error) {
        onFault(error);
      }
    }
  };
  return {
    pull: {
      started: (pull) => each((to) => to.pull?.started?.(pull)),
      attempted: (credential, result) => each((to) => to.pull?.attempted?.(credential, result)),
      succeeded: (pull, pulled) => each((to) => to.pull?.succeeded?.(pull, pulled)),
      failed: (pull, failure) => each((to) => to.pull?.failed?.(pull, failure)),
      progressed: (pull, progress) => each((to) => to.pull?.progressed?.(pull, progress)),
      joined: () => each((to) => to.pull?.joined?.()),
    },
    remove: {
      removed: (removed) => each((to) => to.remove?.removed?.(removed)),
      remained: (remaining) => each((to) => to.remove?.remained?.(remaining)),
      unconfirmed: (removed, error) => each((to) => to.remove?.unconfirmed?.(removed, error)),
      failed: (image, error) => each((to) => to.remove?.failed?.(image, error)),
    },
    ensure: {
      present: (present) => each((to) => to.ensure?.present?.(present)),
      backedOff: (pull) => each((to) => to.ensure?.backedOff?.(pull)),
      noted: (note) => each((to) => to.ensure?.noted?.(note)),
      ended: (findings) => each((to) => to.ensure?.ended?.(findings)),
    },
  };
}
