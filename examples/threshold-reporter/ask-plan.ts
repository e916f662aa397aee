import { commandSubject } from '@stowage/events';
import type { NatsConnection } from 'nats';
import * as z from 'zod';

/** What this example reads of a plan; gc-worker tells more. */
const planSchema = z.looseObject({
  planId: z.string(),
  total: z.number(),
  removeCount: z.number(),
  expectedBytes: z.number(),
  keptByRule: z.record(z.string(), z.number()),
  images: z.array(
    z.looseObject({
      imageId: z.string(),
      repoTags: z.array(z.string()),
      verdict: z.string(),
      expectedBytes: z.number(),
      why: z.string(),
    }),
  ),
});

/** What gc-worker would do on its node, images in the order of their removal. */
export type Plan = z.infer<typeof planSchema>;

const replySchema = z.discriminatedUnion('ok', [
  z.looseObject({ ok: z.literal(true), result: planSchema }),
  z.looseObject({
    ok: z.literal(false),
    error: z.looseObject({ code: z.string(), message: z.string() }),
  }),
]);

/** Images of the plan that are asked for: those to be removed stand first. */
const listedImages = 50;

/** Asks gc-worker of a node what it would remove. Changes nothing. Throws when there is no answer, or a refusal. */
export async function askPlan(
  connection: NatsConnection,
  node: string,
  { timeoutMs }: { timeoutMs: number },
): Promise<Plan> {
  const subject = commandSubject(node, 'gc-worker', 'plan');
  const request = JSON.stringify({ limit: listedImages });
  const message = await connection
    .request(subject, request, { timeout: timeoutMs })
    .catch((error: unknown) => {
      const { code } = error as { code?: string };
      if (code === '503') throw new Error('nobody answers commands there');
      if (code === 'TIMEOUT') throw new Error(`no answer within ${String(timeoutMs / 1000)} s`);
      throw error;
    });
  const reply = replySchema.parse(message.json());
  if (!reply.ok) throw new Error(`${reply.error.code}: ${reply.error.message}`);
  return reply.result;
}
