import type { PublishedEvent } from '@stowage/event-bus';
import { boundedText } from '@stowage/events';

/** Whether a runtime can be called. */
interface Availability {
  readonly available: boolean;
  readonly since: Date;
  /** Why not. */
  readonly reason?: string;
}

export interface RuntimeOutageOptions {
  readonly endpoint: string;
  /** Name and version of a runtime that is back; a rejection leaves them out. */
  readonly version: () => Promise<{ readonly name: string; readonly version: string } | undefined>;
  /** As the event bus does. */
  readonly publish: <N extends 'RuntimeUnavailable' | 'RuntimeRecovered'>(
    name: N,
    event: PublishedEvent<N>,
  ) => unknown;
  readonly now: () => number;
  /**
   * When the outage began that was published and has not ended, milliseconds since the epoch.
   * Outlives the process: an outage is published once, and its end even when another process sees
   * it.
   */
  readonly since: { get(): number | undefined; set(sinceMs: number | undefined): void };
  readonly onUnpublished: (error: unknown) => void;
}

/** Publishes once that the runtime is away, and once that it is back. */
export class RuntimeOutage {
  #published: Promise<void> = Promise.resolve();

  constructor(private readonly options: RuntimeOutageOptions) {}

  /** Takes in a change of the runtime's availability. */
  changed({ available, since, reason }: Availability): void {
    const at = this.options.now();
    this.#published = this.#published
      .then(() => (available ? this.#recovered(at) : this.#unavailable(since.getTime(), reason)))
      .catch((error: unknown) => this.options.onUnpublished(error));
  }

  /** Resolves when all changes so far are published. */
  settled(): Promise<void> {
    return this.#published;
  }

  #unavailable(sinceMs: number, reason: string | undefined): void {
    const { endpoint, publish, since } = this.options;
    if (since.get() !== undefined) return;
    publish('RuntimeUnavailable', {
      subject: endpoint,
      data: {
        endpoint,
        unavailableSince: new Date(sinceMs).toISOString(),
        reason: boundedText(reason ?? 'not connected'),
      },
    });
    since.set(sinceMs);
  }

  async #recovered(atMs: number): Promise<void> {
    const { endpoint, version, publish, since } = this.options;
    const sinceMs = since.get();
    if (sinceMs === undefined) return;
    const runtime = await version().catch(() => undefined);
    publish('RuntimeRecovered', {
      subject: endpoint,
      data: {
        endpoint,
        unavailableSince: new Date(sinceMs).toISOString(),
        unavailableForMs: Math.max(0, atMs - sinceMs),
        runtime,
      },
    });
    since.set(undefined);
  }
}
