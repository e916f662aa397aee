import { Module } from '@nestjs/common';
import { IMAGE_RUNTIME, statusSections } from '@stowage/service-kit';
import { CommandsController } from './commands.controller';
import { EndpointModule } from './endpoint.module';
import { imageStats } from './queries/image-stats';
import { imageSections, pullSections } from './queries/status-sections';
import { PULLS_IN_PROGRESS, QUEUE } from './tokens';
import { VerbsModule } from './verbs.module';

/** image-service as a NestJS application. */
@Module({
  imports: [EndpointModule, VerbsModule],
  controllers: [CommandsController],
  providers: [
    statusSections([PULLS_IN_PROGRESS, QUEUE], (pulls, queue) => ({
      title: 'Pulls in progress',
      sections: () => pullSections(pulls.list(), queue.waiting, Date.now()),
    })),
    statusSections([IMAGE_RUNTIME], (runtime) => ({
      title: 'Images',
      place: 1,
      sections: async (options) => imageSections(await imageStats(runtime, options)),
    })),
  ],
})
export class ImageServiceModule {}
