import { Controller, Inject } from '@nestjs/common';
import type { RuntimeServiceClient } from '@stowage/cri-client';
import { Command } from '@stowage/service-kit';
import type { CommandCall, ServiceContext } from '@stowage/service-kit';
import * as z from 'zod';
import type { GatewayConfig } from './config';
import { listPods } from './list-pods';
import { runInContainer, runInContainerInput } from './run-in-container';
import type { RunInContainer } from './run-in-container';
import type { RuntimeObserver } from './runtime-observer';
import { runtimeStatus } from './runtime-status';
import { runtimeVersion } from './runtime-version';
import { CONTEXT, OBSERVER, RUNTIME } from './tokens';

const podsInput = z.strictObject({ all: z.boolean().optional() });
const noInput = z.strictObject({});

/** The NATS queries of this app, and `exec`, which only a configuration allows: `stowage.cmd.<node>.runtime-gateway.<verb>`. */
@Controller()
export class CommandsController {
  constructor(
    @Inject(CONTEXT) private readonly context: ServiceContext<GatewayConfig>,
    @Inject(RUNTIME) private readonly runtime: RuntimeServiceClient,
    @Inject(OBSERVER) private readonly observer: RuntimeObserver,
  ) {}

  @Command('pods', podsInput)
  pods(input: z.infer<typeof podsInput>, { signal }: CommandCall) {
    return listPods(this.runtime, input, { signal });
  }

  @Command('status', noInput)
  status(_input: object, { signal }: CommandCall) {
    return runtimeStatus(this.runtime, this.observer, { signal });
  }

  @Command('version', noInput)
  version(_input: object, { signal }: CommandCall) {
    return runtimeVersion(this.runtime, this.context.version, { signal });
  }

  @Command('exec', runInContainerInput)
  exec(input: RunInContainer, { signal, log }: CommandCall) {
    log.info({ containerId: input.containerId }, 'running a command in a container');
    return runInContainer(this.runtime, input, { signal });
  }
}
