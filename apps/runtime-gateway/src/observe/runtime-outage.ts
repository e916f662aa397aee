import type { RuntimeAvailability, RuntimeServiceClient } from '@stowage/cri-client';
import { boundedText } from '@stowage/events';
import type { Publish } from './lifecycle';

export interface RuntimeOutageOptions {
  readonly runtime: Pick<RuntimeServiceClient, 'endpoint' | 'version'>;
  readonly publish: Publish;
  readonly now: () => number;
  /**
   * Outlives the process: an outage is published once, and its end even when another process sees
   * it.
   */
  readonly since: { get(): number | undefined; set(sinceMs: number | undefined): void };
  readonly onUnpublished: (error: unknown) => void;
}

/** Limit of the Version call whose answer stands in RuntimeRecovered, milliseconds. */
const versionTimeoutMs = 2000;

/** Publishes once that the runtime is away, and once that it is back. */
export class RuntimeOutage {
  #published: Promise<void> = Promise.resolve();

  constructor(private readonly options: RuntimeOutageOptions) {}

  /** Takes in a change of the client's availability. */
  changed({ available, since, reason }: RuntimeAvailability): void {
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
    const { runtime, publish, since } = this.options;
    if (since.get() !== undefined) return;
    publish('RuntimeUnavailable', {
      subject: runtime.endpoint,
      data: {
        endpoint: runtime.endpoint,
        unavailableSince: new Date(sinceMs).toISOString(),
        reason: boundedText(reason ?? 'not connected'),
      },
    });
    since.set(sinceMs);
  }

  async #recovered(atMs: number): Promise<void> {
    const { runtime, publish, since } = this.options;
    const sinceMs = since.get();
    if (sinceMs === undefined) return;
    const version = await runtime
      .version({}, { timeoutMs: versionTimeoutMs })
      .catch(() => undefined);
    publish('RuntimeRecovered', {
      subject: runtime.endpoint,
      data: {
        endpoint: runtime.endpoint,
        unavailableSince: new Date(sinceMs).toISOString(),
        unavailableForMs: Math.max(0, atMs - sinceMs),
        ...(version === undefined
          ? {}
          : { runtime: { name: version.runtimeName, version: version.runtimeVersion } }),
      },
    });
    since.set(undefined);
  }
}
