import { Module } from '@nestjs/common';
import {
  BUS,
  eventBusProvider,
  IMAGE_RUNTIME,
  imageRuntimeProvider,
  provider,
  RUNTIME,
  runtimeProvider,
} from '../../src/index';
import { Census, CENSUS, IMAGE_COUNT, imageCount } from './census';
import { CommandsController } from './commands.controller';
import { CONTEXT } from './config';

const connections = [
  eventBusProvider(CONTEXT),
  runtimeProvider(CONTEXT),
  imageRuntimeProvider(CONTEXT),
];

/** What leads out of the process. */
@Module({ providers: connections, exports: connections })
class ConnectionsModule {}

const census = provider(
  CENSUS,
  [CONTEXT, BUS, RUNTIME, IMAGE_RUNTIME, IMAGE_COUNT],
  (...parts) => new Census(...parts),
  { close: (running) => running.ended() },
);

/** What the service does. */
@Module({
  imports: [ConnectionsModule],
  providers: [census, provider(IMAGE_COUNT, [CONTEXT], ({ metrics }) => imageCount(metrics))],
  exports: [census],
})
class CensusModule {}

/** image-census as a NestJS application. */
@Module({ imports: [CensusModule], controllers: [CommandsController] })
export class ImageCensusModule {}
