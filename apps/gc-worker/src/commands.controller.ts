import { Controller } from '@nestjs/common';
import { gcWorker, type CheckedInput } from '@stowage/commands';
import type { EventBus } from '@stowage/event-bus';
import { BUS, Handles, Injects, recentEvents, type CommandCall } from '@stowage/service-kit';
import type { GcQueries } from './queries';
import { QUERIES } from './tokens';

/** The commands `stowage.cmd.<node>.gc-worker.<verb>`. */
@Controller()
export class CommandsController {
  constructor(
    @Injects(QUERIES) private readonly queries: GcQueries,
    @Injects(BUS) private readonly bus: EventBus,
  ) {}

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

  @Handles(gcWorker.pause)
  pause(input: CheckedInput<typeof gcWorker.pause>) {
    return this.queries.pause(input);
  }

  @Handles(gcWorker.resume)
  resume() {
    return this.queries.resume();
  }

  @Handles(gcWorker.hold)
  hold(input: CheckedInput<typeof gcWorker.hold>, { signal }: CommandCall) {
    return this.queries.hold(input, { signal });
  }

  @Handles(gcWorker.release)
  release(input: CheckedInput<typeof gcWorker.release>) {
    return this.queries.release(input);
  }

  @Handles(gcWorker.events)
  events(input: CheckedInput<typeof gcWorker.events>) {
    return recentEvents(this.bus, input);
  }
}
