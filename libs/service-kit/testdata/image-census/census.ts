import type { OnApplicationBootstrap } from '@nestjs/common';
import type { ImageServiceClient, RuntimeServiceClient } from '@stowage/cri-client';
import { errorMessage } from '@stowage/errors';
import type { EventBus } from '@stowage/event-bus';
import { setTimeout as pause } from 'node:timers/promises';
import { Gauge, type Registry } from 'prom-client';
import { token, type ServiceContext } from '../../src/index';
import type { CensusConfig } from './config';

export const IMAGE_COUNT = token<Gauge>('ImageCount');
export const CENSUS = token<Census>('Census');

export const imageCount = (registry: Registry): Gauge =>
  new Gauge({
    name: 'stowage_census_images',
    help: 'Images that the runtime lists.',
    registers: [registry],
  });

/** Lists the images of the node again and again. */
export class Census implements OnApplicationBootstrap {
  readonly #known = new Set<string>();
  #running: Promise<void> | undefined;

  constructor(
    private readonly context: ServiceContext<CensusConfig>,
    private readonly bus: Pick<EventBus, 'publish'>,
    private readonly runtime: Pick<RuntimeServiceClient, 'version'>,
    private readonly images: Pick<ImageServiceClient, 'listImages' | 'whenAvailable'>,
    private readonly gauge: Pick<Gauge, 'set'>,
  ) {}

  onApplicationBootstrap(): void {
    this.#running = this.#run();
  }

  async count(options: { signal: AbortSignal }): Promise<{ runtime: string; images: number }> {
    const { runtimeName } = await this.runtime.version({}, options);
    return { runtime: runtimeName, images: this.#known.size };
  }

  /** Waits for the end, which the signal of the service has asked for. */
  async ended(): Promise<void> {
    await this.#running;
    this.context.log.info({ images: this.#known.size }, 'census ended');
  }

  async #run(): Promise<void> {
    const { config, health, signal } = this.context;
    for (;;) {
      try {
        await this.images.whenAvailable({ signal });
        await this.#look();
        health.report('census', { state: 'ok' });
      } catch (error) {
        if (signal.aborted) return;
        health.report('census', { state: 'degraded', reason: errorMessage(error) });
      }
      // Ended by the signal, the pause rejects.
      const isOver = pause(config.intervalMs, false, { signal }).catch(() => true);
      if (await isOver) return;
    }
  }

  async #look(): Promise<void> {
    const { images } = await this.images.listImages({}, { signal: this.context.signal });
    for (const { id, repoTags, repoDigests, size, pinned } of images) {
      if (this.#known.has(id)) continue;
      this.#known.add(id);
      this.bus.publish('ImageDetected', {
        subject: id,
        data: {
          imageId: id,
          repoTags,
          repoDigests,
          sizeBytes: Number(size),
          pinned,
          inUse: false,
          firstDetected: new Date().toISOString(),
        },
      });
    }
    this.gauge.set(images.length);
  }
}
