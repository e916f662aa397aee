import { Module } from '@nestjs/common';
import { provider, token } from '@stowage/service-kit';
import { CommandsController } from './commands.controller';
import { Gateway } from './gateway';
import { OBSERVER, ObserverModule } from './observer.module';
import { SOCKETS, SocketsModule } from './sockets.module';

const GATEWAY = token<Gateway>('Gateway');

/** runtime-gateway as a NestJS application. */
@Module({
  imports: [SocketsModule, ObserverModule],
  controllers: [CommandsController],
  providers: [
    provider(GATEWAY, [SOCKETS, OBSERVER], (...parts) => new Gateway(...parts), {
      handOver: (gateway) => gateway.stopObserving(),
    }),
  ],
})
export class RuntimeGatewayModule {}
