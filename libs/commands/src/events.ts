import * as z from 'zod';
import { defineCommand } from './define-command';
import { count, timestamp } from './fields';

/** The last events of a service: the same command for each that publishes. */
export const eventsOf = (app: string, example: Record<string, unknown>) =>
  defineCommand({
    app,
    verb: 'events',
    description:
      'Returns the last events that the service published, from a ring of 10 000 on its disk: also without NATS, and whatever became of their delivery.',
    answered: 'when-allowed',
    input: z.strictObject({
      since: z.iso.datetime({ offset: true }).optional().describe('Events at this time and later'),
      types: z
        .array(z.string().min(1).max(128))
        .min(1)
        .max(64)
        .optional()
        .describe('Only these, as in `ImageRemoved` or `io.stowage.node.v1.ImageRemoved`'),
      subject: z
        .string()
        .min(1)
        .max(512)
        .optional()
        .describe('Only events whose attribute `subject` is this: the id of an image, say'),
      after: z
        .int()
        .min(0)
        .optional()
        .describe(
          '`next` of an earlier answer: the events that follow it, the oldest first. Absent: the last ones there are',
        ),
      limit: z.int().min(1).max(10_000).default(100).describe('Events at most'),
    }),
    reply: z.object({
      events: z
        .array(z.record(z.string(), z.unknown()))
        .describe('CloudEvents as they go on the wire, in the order in which they were published.'),
      next: count('Position to ask for what follows with.'),
      more: z.boolean().describe('There are more events after `next` already.'),
      kept: count('Events in the ring, of all kinds.'),
      oldest: timestamp(
        'Time of the oldest event in the ring; absent when there is none.',
      ).optional(),
    }),
    example: {
      input: { limit: 1 },
      reply: { events: [example], next: 41, more: false, kept: 41, oldest: String(example.time) },
    },
  });

/** An event as the examples of the references show one. */
export const exampleEvent = (
  app: string,
  name: string,
  subject: string,
  data: Record<string, unknown>,
): Record<string, unknown> => ({
  specversion: '1.0',
  id: '01K9Q3T9Z6M4T1V4Q5M8A7R2WX',
  source: `/nodes/worker-1/${app}`,
  type: `io.stowage.node.v1.${name}`,
  subject,
  time: '2026-11-20T22:12:00.000Z',
  datacontenttype: 'application/json',
  sequence: '0000000000000041',
  data,
});
