// Not @stowage/async: what cleans up after a killed run is started where names of libraries mean
// nothing.
import { setTimeout as pause } from 'node:timers/promises';

/** How long to wait for a condition, and how to name it when it does not come true. */
export interface EventuallyOptions {
  /**
   * Give up after this long. Default 30 000 ms: what fails is slow, what passes is not, also on a
   * busy machine.
   */
  timeoutMs?: number;
  /** Pause between two looks. Default 20 ms. */
  intervalMs?: number;
  /**
   * What is waited for, used in the error: `timed out after 30000 ms waiting for <what>`. Default:
   * the source text of the condition.
   */
  what?: string;
  /** Stops the waiting; the returned promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** The condition of `eventually` did not come true in time. `cause` is what the last look threw. */
export class EventuallyTimeoutError extends Error {
  override readonly name = 'EventuallyTimeoutError';
}

/**
 * Looks again and again until `look` returns something other than `undefined`, `null` or `false`,
 * and returns that. A look that throws counts as "not yet"; its error is reported when time is up.
 *
 * @throws {EventuallyTimeoutError} after `timeoutMs`.
 */
export async function eventually<T>(
  look: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, undefined | null | false>> {
  const { timeoutMs = 30_000, intervalMs = 20, what = String(look), signal } = options;
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const value = await look();
      if (value != null && value !== false) {
        return value as Exclude<T, undefined | null | false>;
      }
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() >= deadline) {
      const reason = lastError instanceof Error ? `: ${lastError.message}` : '';
      throw new EventuallyTimeoutError(
        `timed out after ${timeoutMs} ms waiting for ${what}${reason}`,
        { cause: lastError },
      );
    }
    await pause(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}

/**
 * Runs assertions again and again until none of them throws: for `expect(...)`, which returns
 * nothing.
 *
 * @throws {EventuallyTimeoutError} after `timeoutMs`, with the last assertion's message.
 */
export async function eventuallyPasses(
  assertions: () => void | Promise<void>,
  options: EventuallyOptions = {},
): Promise<void> {
  const holds = async () => {
    await assertions();
    return true;
  };
  await eventually(holds, { what: 'assertions to hold', ...options });
}
