import { gcWorker, type CommandInput, type CommandReply } from '@stowage/commands';
import { refusalStatus } from '../failure-text';
import { CommandFailure } from '../failures';
import type { Transport } from '../transport/reach';

export type Plan = CommandReply<typeof gcWorker.plan>;
export type PlannedImage = Plan['images'][number];

/** Images of one request, and how often reading begins again. */
const pageSize = 500;
const attempts = 5;

/**
 * All pages of a node's plan. It is made anew for each page: when it has become another one in
 * between, reading begins again.
 */
export async function wholePlan(
  transport: Transport,
  node: string,
  input: Pick<CommandInput<typeof gcWorker.plan>, 'bytes' | 'assumedAge'> = {},
): Promise<Plan> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const first = await transport.send(node, gcWorker.plan, { ...input, limit: pageSize });
    const images = [...first.images];
    let { next } = first;
    let isSame = true;
    while (next !== undefined && isSame) {
      const page: Plan | undefined = await transport
        .send(node, gcWorker.plan, { ...input, limit: pageSize, after: next })
        .catch((error: unknown) => {
          // The image that the page before ended with is gone.
          if (refusalStatus(error) === 'NOT_FOUND') return undefined;
          throw error;
        });
      isSame = page?.planId === first.planId && page.total === first.total;
      images.push(...(page?.images ?? []));
      next = page?.next;
    }
    if (isSame) return { ...first, images, next: undefined };
  }
  throw new CommandFailure(
    `the plan of ${node} changed ${attempts} times while it was read`,
    'images come and go there: try again',
  );
}
