import { boundedText } from '@stowage/events';
import type { EventBus } from '@stowage/event-bus';
import {
  connectingReason,
  type EngineAvailability,
  type EngineConnection,
} from '../engine/engine-connection';

export interface EngineOutageOptions {
  readonly connection: Pick<
    EngineConnection,
    'endpoint' | 'lastKnown' | 'availability' | 'onAvailability'
  >;
  readonly bus: Pick<EventBus, 'publish'>;
  /** When the outage began that was published last and has not ended, milliseconds. */
  readonly since: { get(): number | undefined; set(sinceMs: number | undefined): void };
  readonly now?: () => number;
  readonly onUnpublished: (error: unknown) => void;
}

/**
 * Publishes once that the engine is away, and once that it is back, also when another process saw
 * it go.
 */
export class EngineOutage {
  readonly #unsubscribe: () => void;

  constructor(private readonly options: EngineOutageOptions) {
    const { connection } = options;
    this.#unsubscribe = connection.onAvailability((availability) => this.#changed(availability));
    const availability = connection.availability();
    if (availability.reason !== connectingReason(connection.endpoint)) this.#changed(availability);
  }

  close(): void {
    this.#unsubscribe();
  }

  #changed(availability: EngineAvailability): void {
    try {
      if (availability.available) this.#recovered();
      else this.#unavailable(availability);
    } catch (error) {
      this.options.onUnpublished(error);
    }
  }

  #unavailable({ since: from, reason }: EngineAvailability): void {
    const { bus, connection, since } = this.options;
    if (since.get() !== undefined) return;
    bus.publish('RuntimeUnavailable', {
      subject: connection.endpoint,
      data: {
        endpoint: connection.endpoint,
        unavailableSince: from.toISOString(),
        reason: boundedText(reason ?? 'not connected'),
      },
    });
    since.set(from.getTime());
  }

  #recovered(): void {
    const { bus, connection, since, now = Date.now } = this.options;
    const sinceMs = since.get();
    if (sinceMs === undefined) return;
    const version = connection.lastKnown()?.version.engine ?? '';
    bus.publish('RuntimeRecovered', {
      subject: connection.endpoint,
      data: {
        endpoint: connection.endpoint,
        unavailableSince: new Date(sinceMs).toISOString(),
        unavailableForMs: Math.max(0, now() - sinceMs),
        runtime: version === '' ? undefined : { name: 'docker', version },
      },
    });
    since.set(undefined);
  }
}
