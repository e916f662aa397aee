import { Controller, Inject } from '@nestjs/common';
import { Command, type CommandCall } from '@stowage/service-kit';
import * as z from 'zod';
import { GC_QUERIES, type GcQueries } from './queries';

const page = {
  /** Most entries in one reply. */
  limit: z.int().min(1).max(5000).optional(),
  /** Image id after which the reply goes on. */
  after: z.string().optional(),
};
const bytes = z.int().positive().optional();

/** NATS commands `stowage.cmd.<node>.gc-worker.<verb>`. */
@Controller()
export class CommandsController {
  constructor(@Inject(GC_QUERIES) private readonly queries: GcQueries) {}

  @Command('plan', z.strictObject({ bytes, ...page }))
  plan(input: { bytes?: number; limit?: number; after?: string }, { signal }: CommandCall) {
    return this.queries.plan(input, { signal });
  }

  @Command('run', z.strictObject({ bytes, planId: z.string().min(1).optional() }))
  run(input: { bytes?: number; planId?: string }, { signal }: CommandCall) {
    return this.queries.run(input, { signal });
  }

  @Command('images', z.strictObject({ ...page, nodeStatus: z.boolean().optional() }))
  images({ nodeStatus, ...page }: { limit?: number; after?: string; nodeStatus?: boolean }) {
    return nodeStatus === true ? this.queries.nodeImages() : this.queries.images(page);
  }

  @Command('status', z.strictObject({}))
  status(_input: object, { signal }: CommandCall) {
    return this.queries.status({ signal });
  }
}
