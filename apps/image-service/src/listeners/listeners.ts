import type { EnsureListener } from '../ensure/ensure-image';
import type { PullListener } from '../pull/pull';
import type { RemoveListener } from '../remove/remove-image';

/** Observers of the work: events, metrics, log and traces each implement the part they need. */
export interface ImageListeners {
  readonly pull?: PullListener;
  readonly remove?: RemoveListener;
  readonly ensure?: EnsureListener;
}

/**
 * One observer that notifies all others. One that throws is reported to `onFault` and disturbs
 * neither the others nor the work.
 */
export function fanOut(
  listeners: readonly ImageListeners[],
  onFault: (error: unknown) => void,
): Required<ImageListeners> {
  const of = <Part extends keyof ImageListeners>(part: Part) =>
    combine(
      listeners.flatMap((listener) => listener[part] ?? []),
      onFault,
    );
  return { pull: of('pull'), remove: of('remove'), ensure: of('ensure') };
}

type Notify = (...args: unknown[]) => void;

/** Has each method that one of them has. */
function combine<Listener extends object>(
  listeners: readonly Listener[],
  onFault: (error: unknown) => void,
): Listener {
  const names = new Set(listeners.flatMap((listener) => Object.keys(listener)));
  const all = [...names].map((name): [string, Notify] => [
    name,
    (...args) => {
      for (const listener of listeners) {
        try {
          (listener as Record<string, Notify | undefined>)[name]?.(...args);
        } catch (error) {
          onFault(error);
        }
      }
    },
  ]);
  return Object.fromEntries(all) as Listener;
}
