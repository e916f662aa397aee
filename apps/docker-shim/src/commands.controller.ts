import { Controller } from '@nestjs/common';
import { dockerShim, type CheckedInput } from '@stowage/commands';
import type { EventBus } from '@stowage/event-bus';
import { BUS, Handles, Injects, recentEvents, type ServiceContext } from '@stowage/service-kit';
import { shimStatus } from './commands/shim-status';
import { CONTEXT, type ShimConfig } from './config';
import type { EngineConnection } from './engine/engine-connection';
import { ENGINE } from './tokens';

/** The commands `stowage.cmd.<node>.docker-shim.<verb>`. */
@Controller()
export class CommandsController {
  constructor(
    @Injects(CONTEXT) private readonly context: ServiceContext<ShimConfig>,
    @Injects(ENGINE) private readonly connection: EngineConnection,
    @Injects(BUS) private readonly bus: Pick<EventBus, 'recent'>,
  ) {}

  @Handles(dockerShim.status)
  status() {
    return shimStatus(this.connection, this.context.config, this.context.version);
  }

  @Handles(dockerShim.events)
  events(input: CheckedInput<typeof dockerShim.events>) {
    return recentEvents(this.bus, input);
  }
}
