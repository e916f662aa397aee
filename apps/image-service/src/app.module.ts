import { Module } from '@nestjs/common';
import { CommandsController } from './commands.controller';
import { EndpointModule } from './endpoint.module';
import { VerbsModule } from './verbs.module';

/** image-service as a NestJS application. */
@Module({ imports: [EndpointModule, VerbsModule], controllers: [CommandsController] })
export class ImageServiceModule {}
