/**
 * Resolves after `ms` milliseconds, or as soon as the signal is aborted, at once when it already is. Never rejects: who
 * pauses looks at the signal afterwards.
 */
export function pause(ms: number, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted) end();
  });
}
