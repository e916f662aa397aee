import { Controller } from '@nestjs/common';
import { gcWorker, type CheckedInput } from '@stowage/commands';
import { Handles, Injects, type CommandCall } from '@stowage/service-kit';
import type { GcQueries } from './queries';
import { QUERIES } from './tokens';

/** NATS commands `stowage.cmd.<node>.gc-worker.<verb>`. */
@Controller()
export class CommandsController {
  constructor(@Injects(QUERIES) private readonly queries: GcQueries) {}

  @Handles(gcWorker.plan)
  plan(input: CheckedInput<typeof gcWorker.plan>, { signal }: CommandCall) {
    return this.queries.plan(input, { signal });
  }

  @Handles(gcWorker.run)
  run(input: CheckedInput<typeof gcWorker.run>, { signal }: CommandCall) {
    return this.queries.run(input, { signal });
  }

  @Handles(gcWorker.images)
  async images({ nodeStatus, ...page }: CheckedInput<typeof gcWorker.images>) {
    return nodeStatus === true ? this.queries.nodeImages() : this.queries.images(page);
  }

  @Handles(gcWorker.status)
  status(_input: object, { signal }: CommandCall) {
    return this.queries.status({ signal });
  }
}
