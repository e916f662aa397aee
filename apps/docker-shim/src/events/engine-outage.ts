import type { EventBus } from '@stowage/event-bus';
import { RuntimeOutage } from '@stowage/service-kit';
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
  readonly #outage: RuntimeOutage;
  readonly #unsubscribe: () => void;

  constructor({ connection, bus, since, now = Date.now, onUnpublished }: EngineOutageOptions) {
    const { endpoint } = connection;
    this.#outage = new RuntimeOutage({
      endpoint,
      version: () => {
        const version = connection.lastKnown()?.version.engine ?? '';
        return Promise.resolve(version === '' ? undefined : { name: 'docker', version });
      },
      publish: (name, event) => bus.publish(name, event),
      now,
      since,
      onUnpublished,
    });
    const changed = (availability: EngineAvailability) => this.#outage.changed(availability);
    this.#unsubscribe = connection.onAvailability(changed);
    const availability = connection.availability();
    if (availability.reason !== connectingReason(endpoint)) changed(availability);
  }

  /** Resolves when all that was seen is published. */
  async close(): Promise<void> {
    this.#unsubscribe();
    await this.#outage.settled();
  }
}
