/**
 * Resolves with what the promise brings within `limitMs` milliseconds, else with `undefined`. Nothing is cancelled: what
 * comes later is dropped, also a rejection. A rejection in time is passed on.
 */
export async function inTime<T>(promise: PromiseLike<T>, limitMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, limitMs, undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
