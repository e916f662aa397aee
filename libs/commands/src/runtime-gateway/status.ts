import * as z from 'zod';
import { defineCommand } from '../define-command';
import { count, noInput, openWord, text, timestamp } from '../fields';

/** The runtime and the gateway. */
export const status = defineCommand({
  app: 'runtime-gateway',
  verb: 'status',
  description:
    'Returns the status of the runtime and of the gateway. A runtime that is away is a result, not an error.',
  answered: 'by-default',
  input: noInput,
  reply: z.object({
    endpoint: text('Socket of the runtime.'),
    available: z.boolean().describe('Whether the runtime answers.'),
    since: timestamp('Since when it does, or does not.'),
    reason: text('Why it does not.').optional(),
    criVersion: openWord(['v1', 'v1alpha2'], 'CRI version that is spoken with it.').optional(),
    conditions: z
      .array(
        z.object({
          type: text('Condition, as in `RuntimeReady`.'),
          status: z.boolean().describe('Whether it holds.'),
          reason: text('One word for why not.'),
          message: text('The same in words.'),
        }),
      )
      .describe('The runtime’s conditions; empty when they cannot be asked for.'),
    error: text('Why they could not be asked for, where the runtime is available.').optional(),
    observing: z
      .object({
        mode: openWord(['event-stream', 'listing'], 'How changes are noticed.'),
        listings: count('How often the runtime was listed.'),
        known: z
          .object({ sandbox: count('Sandboxes.'), container: count('Containers.') })
          .describe('What is known to be there.'),
      })
      .describe('How the runtime is observed.'),
  }),
  example: {
    input: {},
    reply: {
      endpoint: 'unix:///run/containerd/containerd.sock',
      available: true,
      since: '2026-11-20T22:00:00.000Z',
      criVersion: 'v1',
      conditions: [
        { type: 'RuntimeReady', status: true, reason: '', message: '' },
        { type: 'NetworkReady', status: true, reason: '', message: '' },
      ],
      observing: { mode: 'event-stream', listings: 3, known: { sandbox: 1, container: 1 } },
    },
  },
});
