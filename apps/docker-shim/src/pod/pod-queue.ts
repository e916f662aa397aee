import { KeyedQueue } from '@stowage/async';
import type { PodSandboxMetadata } from '@stowage/cri-proto';

/**
 * Calls that change a pod, one after the other: by the id of its sandbox, and before there is one
 * by {@link podKey}. Pods do not wait for each other.
 */
export class PodQueue {
  readonly #queue = new KeyedQueue();
  readonly #pending = new Map<string, number>();

  /** @param onStarted is called with the time that a task has waited, milliseconds. */
  constructor(private readonly onStarted: (waitedMs: number) => void = () => undefined) {}

  /** Whether a task of this key runs or waits. */
  isBusy(key: string): boolean {
    return this.#pending.has(key);
  }

  /**
   * Runs the task when those before it of the same key have ended; at once, in this call, when
   * there are none. Who gives up while it waits leaves the queue. A task that has begun looks at
   * its signal by itself.
   */
  run<T>(
    key: string,
    task: () => Promise<T>,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const arrived = performance.now();
    this.#pending.set(key, (this.#pending.get(key) ?? 0) + 1);
    return new Promise((resolve, reject) => {
      const leave = () => reject(signal?.reason as Error);
      signal?.addEventListener('abort', leave, { once: true });
      const turn = async () => {
        signal?.removeEventListener('abort', leave);
        signal?.throwIfAborted();
        this.onStarted(performance.now() - arrived);
        return task();
      };
      void this.#queue.run(key, () =>
        turn()
          .finally(() => this.#ended(key))
          .then(resolve, reject),
      );
    });
  }

  #ended(key: string): void {
    const left = (this.#pending.get(key) ?? 1) - 1;
    if (left > 0) this.#pending.set(key, left);
    else this.#pending.delete(key);
  }
}

/** Names a pod in the queue while its sandbox has no id. */
export const podKey = ({ name, namespace, uid, attempt }: PodSandboxMetadata): string =>
  JSON.stringify([name, namespace, uid, attempt]);
