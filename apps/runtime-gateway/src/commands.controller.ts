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

const podsInput = z.strictObject({
  all: z
    .boolean()
    .optional()
    .describe('Everything the runtime lists; else ready sandboxes and running containers'),
});
const noInput = z.strictObject({});

/** The NATS queries of this app, and `exec`, which only a configuration allows: `stowage.cmd.<node>.runtime-gateway.<verb>`. */
@Controller()
export class CommandsController {
  constructor(
    @Inject(CONTEXT) private readonly context: ServiceContext<GatewayConfig>,
    @Inject(RUNTIME) private readonly runtime: RuntimeServiceClient,
    @Inject(OBSERVER) private readonly observer: RuntimeObserver,
  ) {}

  @Command('pods', podsInput, {
    does: 'Lists pods with their sandboxes and containers (kubelet’s GetPods).',
    answers: '`{pods}`',
  })
  pods(input: z.infer<typeof podsInput>, { signal }: CommandCall) {
    return listPods(this.runtime, input, { signal });
  }

  @Command('status', noInput, {
    does: 'Tells the status of the runtime and of the gateway.',
    answers:
      '`{endpoint, available, since, reason?, criVersion, conditions, error?, observing}`; a runtime that is away is an answer',
  })
  status(_input: object, { signal }: CommandCall) {
    return runtimeStatus(this.runtime, this.observer, { signal });
  }

  @Command('version', noInput, {
    does: 'Tells name and version of the runtime, and the version of the gateway.',
    answers:
      '`{runtimeName, runtimeVersion, runtimeApiVersion, version, criVersion, gatewayVersion}`',
  })
  version(_input: object, { signal }: CommandCall) {
    return runtimeVersion(this.runtime, this.context.version, { signal });
  }

  @Command('exec', runInContainerInput, {
    does: 'Runs a command in a container and waits for its end.',
    answers: '`{exitCode, stdout, stderr, truncated}`; an exit code other than 0 is an answer',
    timeoutMs: 'own', // by timeoutSeconds
  })
  exec(input: RunInContainer, { signal, log }: CommandCall) {
    log.info({ containerId: input.containerId }, 'running a command in a container');
    return runInContainer(this.runtime, input, { signal });
  }
}
