import * as z from 'zod';
import { defineCommand } from '../define-command';
import { bytesToFree, collection, exampleCollection } from './fields';

/** A collection now. */
export const run = defineCommand({
  app: 'gc-worker',
  verb: 'run',
  description:
    'Collects now. A collection that falls short is a result with `failure`, not an error.',
  answered: 'when-allowed',
  limitMs: 'own', // by the limit of each removal
  input: z.strictObject({
    bytes: bytesToFree,
    planId: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Carry out exactly this plan, or refuse it with FAILED_PRECONDITION when it is stale; not with `bytes`',
      ),
  }),
  reply: collection,
  example: { input: { bytes: 52428800 }, reply: exampleCollection },
});
