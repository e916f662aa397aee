/** What the demo promised to show, and whether it was seen. */
export interface Observations {
  /** Marks a promise as kept, with what was seen. */
  saw(promise: string, detail?: string): void;
  /**
   * Throws when `kept` is false: the demo ends there, and the promise stays open in the summary.
   */
  expect(promise: string, kept: boolean, detail: string): void;
  readonly open: readonly string[];
  readonly seen: readonly string[];
}

/** Starts with all promises open; a promise that is not in the list cannot be kept. */
export function trackObservations(promises: readonly string[]): Observations {
  const kept = new Set<string>();
  const saw = (promise: string): void => {
    if (!promises.includes(promise)) throw new Error(`the demo never promised: ${promise}`);
    kept.add(promise);
  };
  return {
    saw,
    expect: (promise, isKept, detail) => {
      if (!isKept) throw new Error(`not seen: ${promise} (${detail})`);
      saw(promise);
    },
    get open() {
      return promises.filter((promise) => !kept.has(promise));
    },
    get seen() {
      return promises.filter((promise) => kept.has(promise));
    },
  };
}
