import { Module } from '@nestjs/common';
import { BUS, IMAGE_RUNTIME, provider, RUNTIME, statusSections, token } from '@stowage/service-kit';
import { traced } from '@stowage/tracing';
import { CollectionModule } from './collection.module';
import { CommandsController } from './commands.controller';
import { CONTEXT } from './config';
import { ImageEvents } from './detect/image-events';
import { GcQueries } from './queries';
import { RuntimeModule } from './runtime.module';
import { StateModule } from './state.module';
import { gcSections } from './status-sections';
import {
  BREAKDOWNS,
  COLLECTION_HEALTH,
  DETECTIONS,
  DETECTOR,
  DISKS,
  HINTS,
  IMAGE_LIST,
  PAUSE,
  POLICY,
  QUERIES,
  RECORDS,
  REPORTS,
  RUNNER,
} from './tokens';
import { Worker } from './worker';

const IMAGE_EVENTS = token<ImageEvents>('ImageEvents');
const WORKER = token<Worker>('Worker');

const now = (): number => Date.now();

/** gc-worker as a NestJS application. */
@Module({
  imports: [StateModule, RuntimeModule, CollectionModule],
  controllers: [CommandsController],
  providers: [
    provider(
      QUERIES,
      [
        ...([CONTEXT, IMAGE_LIST, RUNNER, REPORTS, RECORDS, DISKS] as const),
        ...([BREAKDOWNS, POLICY, DETECTOR, PAUSE] as const),
      ],
      ({ config: { nodeStatusMaxImages } }, ...parts) => {
        const [imageList, runner, reports, store, disks, breakdowns, policy, detector, pause] =
          parts;
        return new GcQueries({
          ...{ runner, reports, store, disks, breakdowns, policy, detector, imageList, pause },
          nodeStatusMaxImages,
        });
      },
    ),
    statusSections([QUERIES], (queries) => ({
      title: 'Disks and collections',
      sections: async (options) => gcSections(await queries.status(options), now()),
    })),
    provider(
      IMAGE_EVENTS,
      [CONTEXT, HINTS, RECORDS, DETECTOR, REPORTS],
      ({ config: { nodeName } }, hints, store, detector, reports) =>
        new ImageEvents({
          ...{ nodeName, hints, store, now },
          containerRemoved: (containerId) => {
            detector.containerRemoved(containerId);
          },
          cameBack: (imageId) => {
            reports.cameBack(imageId);
          },
        }),
    ),
    provider(
      WORKER,
      [
        CONTEXT,
        DETECTIONS,
        DETECTOR,
        RUNNER,
        DISKS,
        COLLECTION_HEALTH,
        PAUSE,
        RECORDS,
        POLICY,
        IMAGE_LIST,
        IMAGE_EVENTS,
        BUS,
        RUNTIME,
        IMAGE_RUNTIME,
      ],
      (
        context,
        detections,
        detector,
        runner,
        disks,
        collectionHealth,
        pause,
        store,
        policy,
        imageList,
        events,
        bus,
        ...of
      ) =>
        new Worker({
          ...context,
          detect: traced('gc.detection', {}, (options: { signal: AbortSignal }) =>
            detections.detect(options),
          ),
          ...{
            detector,
            runner,
            disks,
            collectionHealth,
            pause,
            store,
            policy,
            imageList,
            events,
            bus,
            now,
          },
          runtimes: of,
        }),
      { close: (worker) => worker.ended() },
    ),
  ],
})
export class GcWorkerModule {}
