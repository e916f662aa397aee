interface Pause {
  readonly failures: number;
  /** Milliseconds of a clock that never jumps. */
  readonly until: number;
  readonly message: string;
}

/** Pause after the first failure; it doubles with each further one. */
const firstPauseMs = 60_000;

/** Longest pause. */
const longestPauseMs = 3_600_000;

/**
 * Images whose removal failed are left alone for a while, the longer the more often it failed: what the runtime cannot remove would
 * otherwise be tried, and reported, at every look. Times are milliseconds of a clock that never jumps.
 */
export class RemovalPauses {
  private readonly pauses = new Map<string, Pause>();

  failed(imageId: string, message: string, at: number): void {
    const failures = (this.pauses.get(imageId)?.failures ?? 0) + 1;
    const pauseMs = Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs);
    this.pauses.set(imageId, { failures, until: at + pauseMs, message });
  }

  /** Forgets images that are not there any more. */
  keepOnly(imageIds: ReadonlySet<string>): void {
    for (const imageId of this.pauses.keys()) {
      if (!imageIds.has(imageId)) this.pauses.delete(imageId);
    }
  }

  get size(): number {
    return this.pauses.size;
  }

  /** Why images are not to be tried at `at`, by id. */
  at(at: number): ReadonlyMap<string, string> {
    const paused = new Map<string, string>();
    for (const [imageId, { failures, until, message }] of this.pauses) {
      if (until <= at) continue;
      const times = failures === 1 ? 'once' : `${failures} times`;
      const inSeconds = Math.ceil((until - at) / 1000);
      paused.set(
        imageId,
        `its removal failed ${times} (${message}); it is tried again in ${inSeconds} s`,
      );
    }
    return paused;
  }
}
