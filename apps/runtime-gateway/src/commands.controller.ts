import { Controller } from '@nestjs/common';
import { runtimeGateway, type CheckedInput } from '@stowage/commands';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import type { EventBus } from '@stowage/event-bus';
import {
  BUS,
  Handles,
  Injects,
  recentEvents,
  RUNTIME,
  type CommandCall,
  type ServiceContext,
} from '@stowage/service-kit';
import { CONTEXT, type GatewayConfig } from './config';
import { listPods } from './queries/list-pods';
import { runInContainer } from './queries/run-in-container';
import type { RuntimeObserver } from './observe/runtime-observer';
import { OBSERVER } from './observer.module';
import { runtimeStatus } from './queries/runtime-status';
import { runtimeVersion } from './queries/runtime-version';

/**
 * The NATS queries of this app, and `exec`, which only a configuration allows:
 * `stowage.cmd.<node>.runtime-gateway.<verb>`.
 */
@Controller()
export class CommandsController {
  constructor(
    @Injects(CONTEXT) private readonly context: ServiceContext<GatewayConfig>,
    @Injects(RUNTIME) private readonly runtime: RuntimeServiceClient,
    @Injects(OBSERVER) private readonly observer: RuntimeObserver,
    @Injects(BUS) private readonly bus: EventBus,
  ) {}

  @Handles(runtimeGateway.pods)
  pods(input: CheckedInput<typeof runtimeGateway.pods>, { signal }: CommandCall) {
    return listPods(this.runtime, input, { signal });
  }

  @Handles(runtimeGateway.status)
  status(_input: object, { signal }: CommandCall) {
    return runtimeStatus(this.runtime, this.observer, { signal });
  }

  @Handles(runtimeGateway.version)
  version(_input: object, { signal }: CommandCall) {
    return runtimeVersion(this.runtime, this.context.version, { signal });
  }

  @Handles(runtimeGateway.exec)
  exec(input: CheckedInput<typeof runtimeGateway.exec>, { signal, log }: CommandCall) {
    log.info({ containerId: input.containerId }, 'running a command in a container');
    return runInContainer(this.runtime, input, { signal });
  }

  @Handles(runtimeGateway.events)
  events(input: CheckedInput<typeof runtimeGateway.events>) {
    return recentEvents(this.bus, input);
  }
}
