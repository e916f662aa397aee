import { DeadlineExceededError } from '@stowage/errors';

export interface TimeoutOptions {
  /** What takes so long, for the error: `<what> timed out after 100 ms`. */
  readonly what: string;
  /** Milliseconds. */
  readonly timeoutMs: number;
  /** Ends the work before its time. */
  readonly signal?: AbortSignal;
  /** How long work may go on after `signal` was aborted, milliseconds. Default 0. */
  readonly graceMs?: number;
}

/**
 * Runs work that can be cancelled, under a signal that is aborted when its time is over, or when it is to stop. It ends
 * when the work does: work that does not look at its signal is waited for.
 *
 * @throws what the work throws; when its time is over that is, by way of the signal, a {@link DeadlineExceededError}.
 */
export async function withTimeout<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { what, timeoutMs, signal, graceMs = 0 }: TimeoutOptions,
): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => {
    limit.abort(new DeadlineExceededError(what, timeoutMs));
  }, timeoutMs);
  let graceTimer: NodeJS.Timeout | undefined;
  const stop = () => limit.abort(signal?.reason);
  const stopSoon = () => {
    if (graceMs > 0) graceTimer = setTimeout(stop, graceMs);
    else stop();
  };
  if (signal?.aborted) stopSoon();
  else signal?.addEventListener('abort', stopSoon, { once: true });
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
    clearTimeout(graceTimer);
    signal?.removeEventListener('abort', stopSoon);
  }
}
