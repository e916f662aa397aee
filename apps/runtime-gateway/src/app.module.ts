import { Module } from '@nestjs/common';
import { provider, RUNTIME, statusSections, token } from '@stowage/service-kit';
import { CommandsController } from './commands.controller';
import { Gateway } from './gateway';
import { OBSERVER, ObserverModule } from './observer.module';
import { runtimeStatus } from './queries/runtime-status';
import { gatewaySections } from './queries/status-sections';
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
    statusSections([RUNTIME, OBSERVER], (runtime, observer) => ({
      title: 'Runtime',
      sections: async (options) =>
        gatewaySections(await runtimeStatus(runtime, observer, options), Date.now()),
    })),
  ],
})
export class RuntimeGatewayModule {}
