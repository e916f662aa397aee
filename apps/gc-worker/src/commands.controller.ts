import { Controller, Inject } from '@nestjs/common';
import { Command, type CommandCall } from '@stowage/service-kit';
import * as z from 'zod';
import { GC_QUERIES, type GcQueries } from './queries';

const page = {
  limit: z.int().min(1).max(5000).optional().describe('Most entries in the reply; 500 when absent'),
  after: z
    .string()
    .optional()
    .describe('Image id after which the list goes on: `next` of the reply before'),
};
const bytes = z
  .int()
  .positive()
  .optional()
  .describe('Bytes to free; absent: what the policy asks for');
const planInput = z.strictObject({ bytes, ...page });
const runInput = z.strictObject({
  bytes,
  planId: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Carry out exactly this plan, or refuse it with FAILED_PRECONDITION when it is stale; not with `bytes`',
    ),
});
const imagesInput = z.strictObject({
  ...page,
  nodeStatus: z
    .boolean()
    .optional()
    .describe('The largest images as a Kubernetes node status lists them'),
});
const noInput = z.strictObject({});

/** NATS commands `stowage.cmd.<node>.gc-worker.<verb>`. */
@Controller()
export class CommandsController {
  constructor(@Inject(GC_QUERIES) private readonly queries: GcQueries) {}

  @Command('plan', planInput, {
    does: 'Says what a collection would do now, and changes nothing.',
    answers:
      '`{planId, trigger, plannedAt, total, removeCount, expectedBytes, keptByRule, images, next?}`; each image with `verdict`, `rule`, `why`, `order` and `expectedBytes`',
  })
  plan(input: z.infer<typeof planInput>, { signal }: CommandCall) {
    return this.queries.plan(input, { signal });
  }

  @Command('run', runInput, {
    does: 'Collects now. A collection that falls short is a result with `failure`, not an error.',
    answers:
      '`{planId, trigger, startedAt, durationMs, removedCount, expectedBytes, measuredBytes, keptByReason, failures, images, failure?}`',
    timeoutMs: 'own', // by the limit of each removal
  })
  run(input: z.infer<typeof runInput>, { signal }: CommandCall) {
    return this.queries.run(input, { signal });
  }

  @Command('images', imagesInput, {
    does: 'Lists the records of images as of the last detection.',
    answers:
      '`{total, images, next?}`; each image with `firstDetected`, `lastUsed`, `usedBy`, `pinned`, `sizeBytes`',
  })
  images({ nodeStatus, ...page }: z.infer<typeof imagesInput>) {
    return nodeStatus === true ? this.queries.nodeImages() : this.queries.images(page);
  }

  @Command('status', noInput, {
    does: 'Tells policy, file systems, records and the last collection.',
    answers:
      '`{policy, collects, disks, records, use, lastCollection}`; `use` says how many containers went missing and still count, and why unused images are kept',
  })
  status(_input: object, { signal }: CommandCall) {
    return this.queries.status({ signal });
  }
}
