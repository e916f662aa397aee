import { Module } from '@nestjs/common';
import { provider } from '@stowage/service-kit';
import { CONTEXT } from './config';
import { EngineModule } from './engine.module';
import { ImageFsInfo } from './image/image-fs-info';
import { ImageLocks } from './image/image-locks';
import { ImageStatus } from './image/image-status';
import { ListImages } from './image/list-images';
import { pinnedImages } from './image/pinned-images';
import { PullImage } from './image/pull-image';
import { RemoveImage } from './image/remove-image';
import { ENGINE, IMAGES, IMAGE_LOCKS, METRICS } from './tokens';

const imageLocks = provider(IMAGE_LOCKS, [], () => new ImageLocks());

const images = provider(
  IMAGES,
  [CONTEXT, ENGINE, METRICS, IMAGE_LOCKS],
  ({ config }, connection, metrics, locks) => {
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
      remove: new RemoveImage(connection, locks, () => fsInfo.changed()),
      fsInfo,
    };
  },
);

/** The verbs of ImageService. */
@Module({
  imports: [EngineModule],
  providers: [imageLocks, images],
  exports: [imageLocks, images],
})
export class ImageModule {}
