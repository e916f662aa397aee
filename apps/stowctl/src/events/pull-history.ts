import type { StowageEvent } from '@stowage/events';

/** Events that a pull consists of. */
export const pullEvents = [
  'ImagePullStarted',
  'ImagePullProgress',
  'ImagePulled',
  'ImagePullFailed',
] as const;

/** A pull as its events show it. */
export interface SeenPull {
  readonly node: string;
  readonly pullId: string;
  readonly reference: string;
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  readonly startedAt?: Date;
  readonly endedAt?: Date;
  readonly bytes?: number;
  readonly totalBytes?: number;
  readonly percent?: number;
  readonly bytesPerSecond?: number;
  readonly remainingMs?: number;
  /** Whether `bytes` is the growth of the whole image store. */
  readonly approximate?: boolean;
  readonly durationMs?: number;
  readonly pod?: { readonly namespace: string; readonly name: string };
  /** Why it failed. */
  readonly reason?: string;
}

const isPullEvent = (event: StowageEvent): event is StowageEvent<(typeof pullEvents)[number]> =>
  (pullEvents as readonly string[]).includes(event.name);

/** Pulls by their events, in the order in which they began. */
export class PullHistory {
  readonly #pulls = new Map<string, SeenPull>();

  add(event: StowageEvent): void {
    const next = this.#next(event);
    if (next !== undefined) this.#pulls.set(next.pullId, next);
  }

  /** Pulls that have not ended, and with `isWhole` those that have. */
  pulls({ isWhole }: { isWhole: boolean }): SeenPull[] {
    return [...this.#pulls.values()].filter(({ state }) => isWhole || state === 'running');
  }

  #next(event: StowageEvent): SeenPull | undefined {
    if (!isPullEvent(event)) return undefined;
    const { node, time } = event;
    switch (event.name) {
      case 'ImagePullStarted': {
        const { pullId, reference, pod } = event.data;
        return { node, pullId, reference, pod, state: 'running', startedAt: time };
      }
      case 'ImagePullProgress': {
        const { pullId, reference, pod, elapsedMs, ...progress } = event.data;
        const known = this.#pulls.get(pullId);
        if (known !== undefined && known.state !== 'running') return known;
        const { bytes, totalBytes, percent, bytesPerSecond, remainingMs, approximate } = progress;
        return {
          ...(known ?? { node, pullId, reference, pod, state: 'running' as const }),
          startedAt: known?.startedAt ?? new Date(time.getTime() - elapsedMs),
          ...{ bytes, totalBytes, percent, bytesPerSecond, remainingMs, approximate },
        };
      }
      case 'ImagePulled': {
        const { pullId, reference, pod, durationMs, sizeBytes: bytes } = event.data;
        const { startedAt } = this.#pulls.get(pullId) ?? {};
        const end = { state: 'done' as const, startedAt, endedAt: time, durationMs, bytes };
        return { node, pullId, reference, pod, ...end };
      }
      case 'ImagePullFailed': {
        const { pullId, requestedReference, pod, durationMs, error } = event.data;
        const { startedAt } = this.#pulls.get(pullId) ?? {};
        const reference = event.data.reference ?? requestedReference;
        const reason = `${error.code}: ${error.message}`;
        const end = { state: 'failed' as const, startedAt, endedAt: time, durationMs, reason };
        return { node, pullId, reference, pod, ...end };
      }
    }
  }
}
