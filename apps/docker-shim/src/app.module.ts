import { Module } from '@nestjs/common';
import { parseEndpoint } from '@stowage/cri-client';
import type { Endpoint } from '@stowage/cri-endpoint';
import { BUS, eventBusProvider, observeRuntime, provider, token } from '@stowage/service-kit';
import { CONTEXT } from './config';
import { EngineConnection } from './engine/engine-connection';
import { EngineOutage } from './events/engine-outage';
import { OutageFile } from './events/outage-file';
import { ImageFsInfo } from './image/image-fs-info';
import { ImageStatus } from './image/image-status';
import { ListImages } from './image/list-images';
import { pinnedImages } from './image/pinned-images';
import { PullImage } from './image/pull-image';
import { RemoveImage } from './image/remove-image';
import { shimMetrics, type ShimMetrics } from './metrics';
import { openShimEndpoint, type ImageVerbs } from './shim-endpoint';

const METRICS = token<ShimMetrics>('ShimMetrics');
const ENGINE = token<EngineConnection>('EngineConnection');
const IMAGES = token<ImageVerbs>('ImageVerbs');
const ENDPOINT = token<Endpoint>('ShimEndpoint');
const OUTAGE_FILE = token<OutageFile>('OutageFile');
const OUTAGE = token<EngineOutage>('EngineOutage');

const engine = [
  provider(METRICS, [CONTEXT], ({ metrics }) => shimMetrics(metrics)),
  provider(
    ENGINE,
    [CONTEXT, METRICS],
    (context, { engineCalled }) => {
      const { dockerEndpoint, requestTimeoutMs } = context.config;
      const connection = new EngineConnection({
        socketPath: parseEndpoint(dockerEndpoint).address,
        timeoutMs: requestTimeoutMs,
        onEnded: engineCalled,
      });
      observeRuntime(context, connection, 'docker');
      return connection;
    },
    { close: (connection) => connection.close() },
  ),
];

/** The way to the engine. */
@Module({ providers: engine, exports: engine })
class EngineModule {}

const images = provider(IMAGES, [CONTEXT, ENGINE, METRICS], ({ config }, connection, metrics) => {
  const isPinned = pinnedImages(config);
  const fsInfo = new ImageFsInfo(connection, config.containerdRoot);
  const pull = new PullImage(connection, config.imagePullProgressDeadlineMs, {
    ...metrics.pulls,
    pulled: () => fsInfo.changed(),
  });
  metrics.show({
    availability: () => connection.availability(),
    engine: () => {
      const known = connection.lastKnown();
      return known && { version: known.version.engine, api: known.api };
    },
    pullsInFlight: () => pull.running().length,
  });
  return {
    list: new ListImages(connection, isPinned),
    status: new ImageStatus(connection, isPinned),
    pull,
    remove: new RemoveImage(connection, () => fsInfo.changed()),
    fsInfo,
  };
});

/** The verbs of ImageService. */
@Module({ imports: [EngineModule], providers: [images], exports: [images] })
class ImageModule {}

const endpoint = provider(
  ENDPOINT,
  [CONTEXT, ENGINE, IMAGES, METRICS],
  async ({ config, log }, connection, verbs, { calls }) => {
    const { listen, sandboxImage } = config;
    const opened = await openShimEndpoint(connection, verbs, { listen, sandboxImage, calls });
    log.info({ socket: opened.socketPath }, 'serving CRI RuntimeService and ImageService');
    return opened;
  },
  { drain: (opened, options) => opened.close(options) },
);

const outage = [
  eventBusProvider(CONTEXT),
  provider(
    OUTAGE_FILE,
    [CONTEXT],
    ({ config: { stateDir }, log }) => new OutageFile({ stateDir, now: Date.now, log }),
    { close: (file) => file.close() },
  ),
  provider(
    OUTAGE,
    [CONTEXT, ENGINE, BUS, OUTAGE_FILE],
    ({ log }, connection, bus, since) =>
      new EngineOutage({
        connection,
        bus,
        since,
        onUnpublished: (err) => log.error({ err }, 'an outage of the engine was not published'),
      }),
    { close: (published) => published.close() },
  ),
];

/** Outages of the engine on the event bus. */
@Module({ imports: [EngineModule], providers: outage })
class OutageModule {}

/** docker-shim as a NestJS application. */
@Module({ imports: [EngineModule, ImageModule, OutageModule], providers: [endpoint] })
export class DockerShimModule {}
